"""A study: agents on models for targets from seeds, each with the same number of evaluations, in one folder.

    run = start(SCHEMA.make(read_study(Path("study.toml"))), Path("runs/study"), [])
    study(run, workers=4)

Every search chooses on samples of its own; what is trained is known when all have chosen; the test part is
read when nothing is left to choose.

agent_text.py   how agents and their options are named
options.py      what decides a study, and the file that holds it
cells.py        which searches there are, and what each is asked for
listener.py     who is told
checking.py     what is checked before there is a study
working.py      one search, one model: what a worker does
jobs.py         many of them, here or in other processes, each once
records.py      what the searches came to, and which agents are trained
tables.py       means and deviations over the seeds, as tables and CSV
picture.py      curves as SVG
results.py      the files at the end
studying.py     all of it in a folder
"""

from onnxprune.runs.folder import RunFolder
from onnxprune.study.listener import Listener
from onnxprune.study.options import SCHEMA, StudyOptions, read_study
from onnxprune.study.results import summary_of
from onnxprune.study.studying import options_of, resume, start, study

__all__ = [
    "SCHEMA",
    "Listener",
    "RunFolder",
    "StudyOptions",
    "options_of",
    "read_study",
    "resume",
    "start",
    "study",
    "summary_of",
]

"""Compression: the whole path in a folder, which can stop at any moment and go on.

options.py       what decides a run
config.py        the options as flat keys, and as a TOML file
inputs.py        the model, and the parts of the samples
files.py         the files of a run
asking.py        what the search is asked for
listener.py      who is told
stages.py        the stages, and what each is to reach
descent.py       masks of a pruned model as masks of the original
work.py          what every box has at hand
boxes.py         inspect, prune, reconstruct
searching.py     search
teaching.py      who teaches
training.py      distill
candidates.py    the models of a run, and the metric that judges them
judging.py       baseline, choose, measure, latency
summary.py       a run in one document
report.py        report.md
variants.py      other options beside a run's
compress.py      all boxes in their order, for each stage
"""

from onnxprune.compression.compress import compress, options_of, resume, start
from onnxprune.compression.files import open_run
from onnxprune.compression.listener import Listener
from onnxprune.compression.options import CompressOptions
from onnxprune.compression.summary import summary_of
from onnxprune.runs.folder import RunFolder

__all__ = [
    "CompressOptions",
    "Listener",
    "RunFolder",
    "compress",
    "open_run",
    "options_of",
    "resume",
    "start",
    "summary_of",
]

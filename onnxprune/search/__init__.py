"""The search: an agent proposes masks, evaluations say what they are worth, the best are written.

    run = start(SearchOptions("model.onnx", "val.npz", ("macs=50%",), agent="random"), Path("runs/a"), [])
    search(run)

options.py      what decides a search
agents.py       the agent that the options name
inputs.py       the model, the splits of the samples, the problem
listener.py     who is told
history.py      what was tried
scoring.py      what masks are worth
originals.py    what the original is worth, before anything else
checkpoint.py   the state of an agent as a file, without pickles
journal.py      the files of a search, and how they go on
loop.py         ask, evaluate, tell, write down
selection.py    the best few on other samples
result.py       the masks, and search.json
searching.py    all of it in a folder
"""

from onnxprune.search.inputs import Opened
from onnxprune.search.listener import Listener, Progress
from onnxprune.search.loop import Baseline, Loop
from onnxprune.search.options import SearchOptions
from onnxprune.search.result import summary_of
from onnxprune.search.searching import options_of, resume, search, start

__all__ = [
    "Baseline",
    "Listener",
    "Loop",
    "Opened",
    "Progress",
    "SearchOptions",
    "options_of",
    "resume",
    "search",
    "start",
    "summary_of",
]

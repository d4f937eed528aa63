"""Latency as a target: measured of pieces, looked up for masks, confirmed by the whole model.

segments.py     the pieces of a graph: each contraction with what follows it
extract.py      a piece as a model of its own, at given masks
grids.py        the kept counts at which a piece is measured
stopwatch.py    who measures: ONNX Runtime, or a test's stand-in
store.py        times on disk, so that nothing is measured twice
table.py        LatencyTable: what was measured, as a file
model.py        TimedCostModel: a cost model that knows the latency
measuring.py    measure_table: from a model to its table
confirming.py   choose_confirmed: masks whose latency was measured
timed.py        timed_model: all of it in one call
"""

from onnxprune.latency.confirming import Choice, Confirmed, choose_confirmed, confirm, judged
from onnxprune.latency.measuring import Step, ignore, measure_table
from onnxprune.latency.model import TimedCostModel
from onnxprune.latency.stopwatch import Beside, RuntimeWatch, Stopwatch, WatchOptions
from onnxprune.latency.store import Store, default_folder
from onnxprune.latency.table import LatencyTable, Setting, Times
from onnxprune.latency.timed import anchored, cost_model_for, timed_model

__all__ = [
    "Beside",
    "Choice",
    "Confirmed",
    "LatencyTable",
    "RuntimeWatch",
    "Setting",
    "Step",
    "Stopwatch",
    "Store",
    "TimedCostModel",
    "Times",
    "WatchOptions",
    "anchored",
    "choose_confirmed",
    "confirm",
    "cost_model_for",
    "default_folder",
    "ignore",
    "judged",
    "measure_table",
    "timed_model",
]

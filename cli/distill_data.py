"""Which rows `onnxprune distill` learns from, chooses by, and reads once at the end."""

from dataclasses import replace
from typing import TYPE_CHECKING

from onnxprune.cli.data_options import DataSource
from onnxprune.data import Samples
from onnxprune.data.options import Part
from onnxprune.errors import DataError
from onnxprune.onnx_file import Graph

if TYPE_CHECKING:
    from onnxprune.distillation import TrainingData

# Where one undivided set is for training alone, because --test names another one.
TRAINING_ONLY: dict[Part, tuple[float, float]] = {"fit": (0.0, 0.9), "search": (0.9, 1.0), "test": (0.0, 0.0)}


def training_data(data: DataSource, graph: Graph, test: str | None) -> "TrainingData":
    """The fit and search parts.

    Raises:
        DataError: E504, no data, or invented data.
    """
    from onnxprune.distillation import TrainingData

    if data.spec is None:
        raise DataError("E504", "nothing to learn from", hint="--data train.npz; it needs no labels")
    portions = None if test is None or test == data.spec else TRAINING_ONLY
    source = replace(data, options=replace(data.options, portions=portions))
    fit, search = (source.open(graph.inputs, part=part) for part in ("fit", "search"))
    assert fit is not None
    assert search is not None
    if fit.synthetic:
        raise DataError("E504", "on random inputs there is nothing to learn", hint="--data train.npz")
    return TrainingData(fit, search)


def test_data(data: DataSource, test: str, graph: Graph) -> Samples:
    """The test part; all rows where other undivided data is given for it."""
    part: Part | None = "test" if test == data.spec else None
    samples = DataSource(test, replace(data.options, part=part)).open(graph.inputs)
    assert samples is not None
    return samples

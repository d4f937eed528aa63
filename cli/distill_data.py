"""Which rows `onnxprune distill` learns from, chooses by, and reads once at the end."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from onnxprune.cli.data_options import DataSource
from onnxprune.data import Samples
from onnxprune.data.options import Part
from onnxprune.errors import DataError, UsageError
from onnxprune.onnx_file import Graph

if TYPE_CHECKING:
    from onnxprune.distillation import TrainingData

# Where one undivided set is for training alone, because --test names another one.
TRAINING_ONLY: dict[Part, tuple[float, float]] = {"fit": (0.0, 0.9), "search": (0.9, 1.0), "test": (0.0, 0.0)}


def training_data(data: DataSource, graph: Graph, test: str | None) -> "TrainingData":
    """The fit and search parts.

    Raises:
        UsageError: E201, one part is named for all.
        DataError: E504, no data, or invented data.
    """
    from onnxprune.distillation import TrainingData

    if data.spec is None:
        raise DataError("E504", "nothing to learn from", hint="--data train.npz; it needs no labels")
    if data.part is not None:
        raise UsageError(
            "E201",
            f"--part {data.part}: to learn and to choose by the same rows misleads",
            hint="leave --part out: the weights learn from the fit part, the search part chooses among them",
        )
    portions = None if test is None or same_data(test, data.spec) else TRAINING_ONLY
    source = replace(data, options=replace(data.options, portions=portions))
    fit, search = (source.open(graph.inputs, part=part) for part in ("fit", "search"))
    assert fit is not None
    assert search is not None
    if fit.synthetic:
        raise DataError("E504", "on random inputs there is nothing to learn", hint="--data train.npz")
    return TrainingData(fit, search)


def test_data(data: DataSource, test: str, graph: Graph) -> Samples:
    """The test part; all rows where other undivided data is given for it."""
    assert data.spec is not None
    part: Part | None = "test" if same_data(test, data.spec) else None
    samples = DataSource(test, replace(data.options, part=part)).open(graph.inputs)
    assert samples is not None
    return samples


def same_data(one: str, other: str) -> bool:
    """Whether both name the same data, be it by different paths."""
    if one == other:
        return True
    paths = (Path(one), Path(other))
    return all(path.exists() for path in paths) and paths[0].samefile(paths[1])

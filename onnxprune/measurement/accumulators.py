"""What is fed batch by batch and gives one figure in the end."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from onnxprune.data.samples import Array
from onnxprune.errors import DataError
from onnxprune.measurement.metrics import Compared, Metric, Rows, classes_last
from onnxprune.measurement.running import has_rows


@dataclass(frozen=True, eq=False)
class Observed:
    """What a model, and the original where there is one, gave for a batch.

    Args:
        outputs: By output name, one row a sample.
        rows: Samples in the batch.
        labels: One a sample, where there are any.
        reference: The original's outputs for the same rows.
    """

    outputs: Mapping[str, Array]
    rows: int
    labels: Array | None = None
    reference: Mapping[str, Array] | None = None

    def compared(self, output: str) -> Compared:
        """One output, with what it is compared to."""
        theirs = None if self.reference is None else self.reference.get(output)
        return Compared(self.outputs[output], self.labels, theirs)


class Accumulator(Protocol):
    """Fed batch by batch, then asked once."""

    def update(self, observed: Observed) -> None: ...

    def result(self) -> float: ...


class MeanOfRows:
    """The mean of a metric's figures of all rows."""

    def __init__(self, name: str, metric: Metric, output: str) -> None:
        self._name, self._metric, self._output = name, metric, output
        self._total = 0.0
        self._rows = 0

    def update(self, observed: Observed) -> None:
        rows = rows_by(self._metric, self._name, observed, self._output)
        self._total += float(rows.sum())
        self._rows += len(rows)

    def result(self) -> float:
        if not math.isfinite(self._total):
            where = "an output" if self._metric.every_output else f"output {self._output}"
            raise DataError("E506", f"{self._name} is {self._total}: {where} is not finite")
        return self._total / self._rows


def rows_by(metric: Metric, metric_name: str, observed: Observed, output: str) -> Rows:
    """(rows,) figures of a batch by a metric, of one output or of all.

    Raises:
        DataError: E503, E504, an output has not what the metric needs.
    """
    if metric.every_output:
        found = [of_any(metric, observed.compared(name), observed.rows) for name in observed.outputs]
        return np.asarray(np.mean(found, axis=0))
    compared = observed.compared(output)
    check_output(metric, metric_name, compared.output, output)
    return metric.rows(compared)


def of_any(metric: Metric, compared: Compared, rows: int) -> Rows:
    """(rows,) figures of any output; what has not one row a sample is one row, and counts for all of them."""
    if has_rows(compared.output, rows):
        return metric.rows(compared)
    ours, theirs = pieces(compared.output), pieces(compared.reference)
    if len(ours) != len(theirs):
        return np.ones(rows)
    pairs = zip(ours, theirs, strict=True)
    found = [metric.rows(Compared(mine[None], None, other[None])) for mine, other in pairs]
    return np.full(rows, np.mean(found) if found else 0.0)


def pieces(output: object) -> list[Array]:
    """The tensors of an output, which may be a sequence of them."""
    return [np.asarray(part) for part in (output if isinstance(output, list | tuple) else [output])]


class Predictions:
    """Which classes are predicted at all: too few, and figures about classes mean nothing."""

    def __init__(self, output: str) -> None:
        self._output = output
        self._seen: set[int] = set()
        self._classes = 0
        self._rows = 0

    def update(self, observed: Observed) -> None:
        scores = classes_last(observed.outputs[self._output])  # (N, positions, classes)
        self._seen.update(np.unique(scores.argmax(-1)).tolist())
        self._classes = scores.shape[-1]
        self._rows += scores.shape[0] * scores.shape[1]

    def warning(self) -> str:
        """W505 where under a quarter of the classes that could be seen were seen; else "".

        Of models with many classes ten are enough: real samples may be of one domain.
        """
        expected = min(self._classes, self._rows, 40) / 4
        if self._rows < 4 or (len(self._seen) > 1 and len(self._seen) >= expected):
            return ""
        return (
            f"W505: predictions cover {len(self._seen)} of {self._classes} classes; "
            "accuracy figures are not meaningful"
        )


def check_output(metric: Metric, metric_name: str, output: Array, name: str) -> None:
    """Nothing, where a metric can be computed of an output: scores of two classes or more, or any rows.

    Raises:
        DataError: E504, it has not what the metric needs.
    """
    if metric.classes and output.ndim > 1 and classes_last(output[:1]).shape[-1] > 1:
        return
    if not metric.classes and output.ndim > 0:
        return
    wanted, other = ("scores [N, classes]", "--metric mse, or ") if metric.classes else ("rows [N, ...]", "")
    raise DataError(
        "E504",
        f"{metric_name} needs {wanted}; output {name} has shape {list(output.shape)}",
        hint=f"use {other}your own: --metric package.module:function",
    )

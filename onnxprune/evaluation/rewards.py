"""The rows that candidates are judged by, and the figure of each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxprune.data import Batch
from onnxprune.errors import DataError, OnnxPruneError
from onnxprune.evaluation.racing import looks_of
from onnxprune.measurement.accumulators import Observed, pieces, rows_by
from onnxprune.measurement.choice import Metric
from onnxprune.measurement.custom_metrics import CustomMetric
from onnxprune.measurement.metrics import METRICS
from onnxprune.measurement.running import has_rows, run_batch
from onnxprune.measurement.session import Session

Array = NDArray[Any]
Figures = NDArray[np.float64]
SPREAD = {
    "top1": 1.0,
    "top5": 1.0,
    "agreement": 1.0,
    "cosine": 2.0,
    "relative-mse": 4.0,
}  # largest minus smallest figure


@dataclass(frozen=True, eq=False)
class Rows:
    """Reward rows in the order in which every candidate meets them.

    Attributes:
        batches: What is run at a time.
        looks: Numbers of rows after which a candidate may be given up; the last one is all.
    """

    batches: tuple[Batch, ...]
    looks: tuple[int, ...]

    @property
    def count(self) -> int:
        return self.looks[-1]

    def parts(self) -> Iterator[range]:
        """Indices of the batches between one look and the next."""
        start = done = rows = 0
        for look in self.looks:
            while rows < look:
                rows += len(self.batches[done])
                done += 1
            yield range(start, done)
            start = done


def rows_of(batches: Sequence[Batch], *, size: int, seed: int) -> Rows:
    """The rows in random order, cut at the looks; in the given order and with one look where shapes differ.

    Raises:
        DataError: E504, there are none.
    """
    count = sum(map(len, batches))
    if not count:
        raise DataError("E504", "there are no samples to judge candidates by")
    if len({signature(batch) for batch in batches}) > 1 or any(
        array.ndim == 0 for array in batches[0].inputs.values()
    ):
        return Rows(tuple(batches), (count,))
    order = np.random.default_rng(seed).permutation(count)
    whole = joined(batches).rows(order)
    looks = looks_of(count)
    pieces = [
        whole.rows(slice(at, min(at + size, end)))
        for start, end in zip([0, *looks], looks, strict=False)
        for at in range(start, end, size)
    ]
    return Rows(tuple(pieces), tuple(looks))


def signature(batch: Batch) -> tuple[object, ...]:
    shapes = [(name, array.dtype, array.shape[1:]) for name, array in sorted(batch.inputs.items())]
    return (*shapes, None if batch.labels is None else batch.labels.shape[1:])


def joined(batches: Sequence[Batch]) -> Batch:
    inputs = {name: np.concatenate([b.inputs[name] for b in batches]) for name in batches[0].inputs}
    labels = [batch.labels for batch in batches if batch.labels is not None]
    return Batch(inputs, np.concatenate(labels) if labels else None)


@dataclass(frozen=True, eq=False)
class Judge:
    """What outputs are compared with.

    Attributes:
        rows: The reward rows.
        metric: What they are judged by.
        output: The output that metrics of one output look at.
        reference: The original's outputs for each batch; empty where the metric does not need them.
    """

    rows: Rows
    metric: Metric
    output: str
    reference: tuple[Mapping[str, Array], ...] = ()

    @property
    def by_row(self) -> bool:
        """Whether each row has a figure of its own; a metric of the user is one of all rows."""
        return self.metric.name in METRICS

    @property
    def by_itself(self) -> bool:
        """Whether the figure of a row says nothing of another's; an output without rows is one of all."""
        pairs = zip(self.reference, self.rows.batches, strict=False)
        return self.by_row and all(has_rows(v, len(batch)) for run, batch in pairs for v in run.values())

    def figures(self, session: Session, number: int) -> Figures:
        """(n,) of the rows of one batch, larger is better.

        Raises:
            DataError: E503, unfit labels or outputs; E504, no scores of classes; E506, not finite.
        """
        observed = self.observe(session, number)
        metric = METRICS[self.metric.name]
        for name in observed.outputs if metric.every_output else [self.output]:
            if is_nan(observed.outputs[name]):
                raise DataError("E506", f"output {name} is NaN")
        found = self.metric.sign * rows_by(metric, self.metric.name, observed, self.output)
        if not np.isfinite(found).all():
            raise DataError("E506", f"{self.metric.name} is not finite: the outputs are no numbers")
        return found

    def whole(self, session: Session) -> float:
        """The figure of a metric of the user.

        Raises:
            DataError: E506, it fails.
        """
        custom = CustomMetric(self.metric.name)
        for number in range(len(self.rows.batches)):
            custom.update(self.observe(session, number))
        return float(custom.result())

    def observe(self, session: Session, number: int) -> Observed:
        batch = self.rows.batches[number]
        reference = self.reference[number] if self.reference else None
        return Observed(run_batch(session, batch), len(batch), batch.labels, reference)


def is_nan(output: Array) -> bool:
    """Whether any number of an output is none; integers always are some."""
    return any(part.dtype.kind == "f" and bool(np.isnan(part).any()) for part in pieces(output))


def check_rows(metric: Metric, rows: Rows) -> None:
    """Raises: DataError: E504, the metric needs labels and there are none."""
    if metric.labelled and metric.name in METRICS and any(b.labels is None for b in rows.batches):
        error: OnnxPruneError = DataError(
            "E504", f"{metric.name} needs labels", hint="--metric agreement needs none"
        )
        raise error

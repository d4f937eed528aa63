"""The models of a run, and how good they are by one metric."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onnxprune.data import Samples
from onnxprune.data.callables import is_callable_spec
from onnxprune.data.samples import Batch
from onnxprune.errors import UsageError
from onnxprune.measurement import (
    Measurement,
    MeasureOptions,
    Recorded,
    Session,
    SessionSettings,
    make_session,
    measure,
    record,
)
from onnxprune.measurement.metrics import METRICS
from onnxprune.onnx_file import Graph

LOWER_IS_BETTER = frozenset({"mse", "kl"})
CANDIDATES = ("pruned", "reconstructed", "student")
MOST_RECORDED = 1 << 30  # bytes of outputs held in memory


@dataclass(frozen=True)
class Metric:
    """What models are judged by.

    Attributes:
        name: As `measure` knows it.
        labelled: It compares with labels; else with the original.
    """

    name: str
    labelled: bool

    @property
    def sign(self) -> int:
        """Of a figure, so that more is better."""
        return -1 if self.name in LOWER_IS_BETTER else 1

    @property
    def measured(self) -> tuple[str, ...]:
        """All metrics worth telling beside it."""
        if self.name == "top1":
            return ("top1", "agreement")
        return ("agreement", "cosine", "kl") if self.name == "agreement" else (self.name,)


def choose_metric(wanted: str, graph: Graph, search: Samples) -> Metric:
    """The metric asked for; by itself top1 with labels, agreement for classes, mse for anything else.

    Raises:
        UsageError: E201, a name that is not known.
    """
    if wanted != "auto":
        if wanted not in METRICS and not is_callable_spec(wanted):
            known = ", ".join(METRICS)
            raise UsageError(
                "E201", f"unknown metric '{wanted}'", hint=f"{known}, or package.module:function"
            )
        return Metric(wanted, wanted not in METRICS or METRICS[wanted].needs_labels)
    if not gives_classes(graph):
        return Metric("mse", labelled=False)
    if search.labelled and are_classes(next(iter(search.batches(1)))):
        return Metric("top1", labelled=True)
    return Metric("agreement", labelled=False)


def gives_classes(graph: Graph) -> bool:
    """Whether the only output looks like the scores of classes: (N, C) floats, C at least two."""
    if len(graph.outputs) != 1:
        return False
    shape = graph.shapes.get(graph.outputs[0].name, ())
    dtype = graph.outputs[0].dtype
    return len(shape) == 2 and shape[1] > 1 and dtype is not None and np.dtype(dtype).kind not in "iub"


def are_classes(batch: Batch) -> bool:
    return batch.labels is not None and batch.labels.size == len(batch) and batch.labels.dtype.kind in "iu"


@dataclass(frozen=True)
class Bench:
    """The original, run once, and what models are measured with.

    Attributes:
        samples: Of one part.
        metric: See there.
        settings: Of every session.
        original: Its session.
        reference: Its outputs, or its session again where they are too large to keep.
    """

    samples: Samples
    metric: Metric
    settings: SessionSettings
    original: Session
    reference: Session | Recorded

    def measure(self, model: Path, progress: Callable[[int, int | None], None] | None = None) -> Measurement:
        """The figures of a model on the samples."""
        session = make_session(model, self.settings)
        options = MeasureOptions(self.metric.measured)
        return measure(session, self.samples, options=options, reference=self.reference, progress=progress)

    def measure_original(self) -> Measurement:
        """The figures of the original beside itself."""
        options = MeasureOptions(self.metric.measured)
        return measure(self.original, self.samples, options=options, reference=self.reference)


def make_bench(graph: Graph, samples: Samples, metric: Metric, settings: SessionSettings) -> Bench:
    original = make_session(graph.path, settings)
    each = sum(int(np.prod(graph.shapes.get(v.name, (1,))[1:])) * 4 for v in graph.outputs)
    fits = samples.count is not None and samples.count * each <= MOST_RECORDED
    reference = record(original, samples) if fits else original
    return Bench(samples, metric, settings, original, reference)


def present(folder: Path) -> dict[str, Path]:
    """The candidates that a run has so far, by name, in the order in which they came about."""
    paths = {name: folder / f"{name}.onnx" for name in CANDIDATES}
    return {name: path for name, path in paths.items() if path.exists()}


def best_of(figures: dict[str, float], metric: Metric) -> str:
    """The name of the best; of equal ones the later."""
    best = ""
    for name, figure in figures.items():
        if not best or metric.sign * figure >= metric.sign * figures[best]:
            best = name
    return best

"""The models of a run, and how good they are by one metric."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onnxprune.data import Samples
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
from onnxprune.measurement.choice import Metric
from onnxprune.onnx_file import Graph

CANDIDATES = ("pruned", "reconstructed", "student")
MOST_RECORDED = 1 << 30  # bytes of outputs held in memory


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

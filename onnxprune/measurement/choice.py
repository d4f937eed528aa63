"""Which metric models are judged by, and which way is better."""

from dataclasses import dataclass

import numpy as np

from onnxprune.data import Batch, Samples
from onnxprune.data.callables import is_callable_spec
from onnxprune.data.labels import class_labels, not_whole
from onnxprune.data.samples import Array
from onnxprune.errors import DataError, UsageError
from onnxprune.measurement.metrics import METRICS, rows_differ
from onnxprune.onnx_file import Graph

LOWER_IS_BETTER = frozenset({"cross-entropy", "kl", "mse", "relative-mse"})
FIRST = 64  # rows whose labels are looked at


@dataclass(frozen=True)
class Metric:
    """What models are judged by.

    Attributes:
        name: As `measure` knows it.
        labelled: It compares with labels; else with the original.
        unused: What does not count though it is there, labels or outputs, and why; "" where all does.
    """

    name: str
    labelled: bool
    unused: str = ""

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
    """`metric_for` the samples of the search part.

    Raises:
        UsageError: E201, a name that is not known.
    """
    asks = wanted == "auto" and search.labelled
    return metric_for(wanted, graph, next(iter(search.batches(FIRST)), None) if asks else None)


def metric_for(wanted: str, graph: Graph, first: Batch | None) -> Metric:
    """The metric asked for; by itself top1 with labels, agreement for classes, mse for anything else.

    Of several outputs relative-mse, which looks at all of them.

    Args:
        wanted: A name of `METRICS`, package.module:function, or auto.
        graph: Of the original.
        first: Some samples with their labels; None where there are none.

    Raises:
        UsageError: E201, a name that is not known.
    """
    if wanted != "auto":
        if wanted not in METRICS and not is_callable_spec(wanted):
            known = ", ".join(METRICS)
            raise UsageError(
                "E201", f"unknown metric '{wanted}'", hint=f"{known}, or package.module:function"
            )
        return Metric(
            wanted, wanted not in METRICS or METRICS[wanted].needs_labels, not_looked_at(wanted, graph)
        )
    numbers = "mse" if len(graph.outputs) == 1 else "relative-mse"
    labels = None if first is None else first.labels
    if first is None or labels is None:
        return Metric("agreement" if gives_classes(graph) else numbers, labelled=False)
    if not gives_classes(graph):
        return Metric(
            numbers, labelled=False, unused="W507: labels do not count: the model does not give classes"
        )
    why = no_classes(labels, len(first), graph.shapes[graph.outputs[0].name][1])
    if not why:
        return Metric("top1", labelled=True)
    return Metric("agreement", labelled=False, unused=f"W507: labels do not count: {why}")


def not_looked_at(metric: str, graph: Graph) -> str:
    """Which outputs a metric does not look at; "" where it does at all."""
    others = [value.name for value in graph.outputs[1:]]
    if not others or metric not in METRICS or METRICS[metric].every_output:
        return ""
    return (
        f"W508: {metric} looks at output {graph.outputs[0].name} alone, not at {', '.join(others)}; "
        "--metric relative-mse looks at all"
    )


def no_classes(labels: Array, rows: int, classes: int) -> str:
    """Why labels are none of so many classes; "" where they are, or integers that should be."""
    if labels.size != rows:
        return f"they are {labels.size // max(1, rows)} numbers a row, and a class is one"
    broken = not_whole(labels)
    if broken is not None:
        return f"{broken:g} is no class"
    if class_labels(labels, rows) is None:
        return f"they are {labels.dtype}"
    beyond = labels[(labels < 0) | (labels >= classes)]
    return f"{beyond[0]:g} is none of {classes} classes" if labels.dtype.kind == "f" and beyond.size else ""


def gives_classes(graph: Graph) -> bool:
    """Whether the only output looks like the scores of classes: (N, C) floats, C at least two."""
    if len(graph.outputs) != 1:
        return False
    shape = graph.shapes.get(graph.outputs[0].name, ())
    dtype = graph.outputs[0].dtype
    return len(shape) == 2 and shape[1] > 1 and dtype is not None and np.dtype(dtype).kind not in "iub"


def require_labels(metric: Metric, samples: Samples, part: str, graph: Graph) -> None:
    """Nothing, where samples have the labels that a metric compares with.

    Args:
        metric: What models are judged by.
        samples: Of one part.
        part: Its name, for the message.
        graph: Of the original.

    Raises:
        DataError: E504, they have none; E503, the first ones are no classes of this model.
    """
    if metric.name not in METRICS or not metric.labelled:
        return
    if not samples.labelled:
        raise DataError(
            "E504",
            f"{metric.name} needs labels: {samples.source} has none, and gives the {part} part",
            hint="--metric agreement needs none",
        )
    check_labels(metric, next(iter(samples.batches(FIRST))), samples.source, graph)


def check_labels(metric: Metric, batch: Batch, source: str, graph: Graph) -> None:
    """Raises: DataError: E503, the first labels are no classes of this model."""
    hint = "--metric agreement needs none"
    broken = None if batch.labels is None else not_whole(batch.labels)
    if broken is not None:
        raise DataError("E503", f"{source}: label {broken:g} is no class", hint=hint)
    if metric.name == "top1" and class_labels(batch.labels, len(batch)) is None:
        raise DataError("E503", f"top1 needs one whole number a row as label: {source} has others", hint=hint)
    if batch.labels is not None and batch.labels.size == len(batch):
        require_rows(graph)
    if batch.labels is None or not gives_classes(graph):
        return
    classes, low, high = graph.shapes[graph.outputs[0].name][1], batch.labels.min(), batch.labels.max()
    if low < 0 or high >= classes:
        raise DataError(
            "E503", f"{source}: labels {low} to {high} for a model of {classes} classes", hint=hint
        )


def require_rows(graph: Graph) -> None:
    """Nothing, where the first output may have one row a sample, as far as shapes tell.

        x (N, 12), y (N * 4, 3)        refused: labels, one a sample, do not fit

    Raises:
        DataError: E503, it has another number of rows than every input.
    """
    name = graph.outputs[0].name
    shape = graph.shapes.get(name)
    given = [extents[0] for extents in graph.assumed.values() if extents]
    if given and shape is not None and not {*shape[:1]} & {*given}:
        raise rows_differ(f"{graph.path.name}, output {name}", shape, max(given))

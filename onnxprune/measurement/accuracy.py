"""How good a model is on samples: against labels, or against the original.

measure(session, samples)                                        top-1 and top-5
measure(session, samples, reference=original)                    agreement, cosine, KL
measure(session, samples, options=MeasureOptions(metrics=("my_metrics:mean_iou",)))
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from onnxprune.data.samples import Array, Batch, Samples
from onnxprune.errors import DataError
from onnxprune.measurement.accumulators import Accumulator, MeanOfRows, Observed, Predictions
from onnxprune.measurement.custom_metrics import CustomMetric
from onnxprune.measurement.metrics import METRICS
from onnxprune.measurement.running import Progress, has_rows, run_batch
from onnxprune.measurement.session import Session

FEW = 100
AGREEMENT = ("agreement", "cosine", "kl")


@dataclass(frozen=True)
class MeasureOptions:
    """What is measured.

    Args:
        metrics: Names (see metrics.py) or `module:function`; none: what the samples allow.
        batch_size: Rows at a time, for models that take any number.
        output: The output that metrics of one output look at; "" for the first.
    """

    metrics: tuple[str, ...] = ()
    batch_size: int = 64
    output: str = ""


@dataclass(frozen=True)
class Measurement:
    """Observed in ONNX Runtime.

    Args:
        metrics: Figure of each metric by name; top1, top5 and agreement are fractions.
        samples: Rows that were run.
        provider: What really ran the model.
        warnings: What limits the meaning of the figures.
    """

    metrics: Mapping[str, float]
    samples: int
    provider: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Recorded:
    """All outputs of an original for some samples, in their order: run once, compared with many."""

    values: Mapping[str, Array]


def record(session: Session, samples: Samples, *, batch_size: int = 64) -> Recorded | Session:
    """The outputs of `session` for `samples`, all of them held in memory.

    The session itself where an output has not one row a sample, so that no part of it belongs to some of
    them: such as a mean over the batch.
    """
    size = session.static_batch or batch_size
    values: dict[str, list[Array]] = {name: [] for name in session.output_names}
    for batch in samples.batches(size):
        for name, value in run_batch(session, batch).items():
            if not has_rows(value, len(batch)):
                return session
            values[name].append(value)
    return Recorded({name: np.concatenate(parts) for name, parts in values.items()})


def measure(
    session: Session,
    samples: Samples,
    *,
    options: MeasureOptions | None = None,
    reference: Session | Recorded | None = None,
    progress: Progress | None = None,
) -> Measurement:
    """The figures of a model on samples, in one pass that holds one batch at a time.

        measure(session, samples).metrics  ->  {"top1": 0.9173, "top5": 0.9967}

    Args:
        session: The model.
        samples: Real ones; invented ones only for `mse` and metrics of the user.
        options: Metrics, batch size, output.
        reference: The original, for metrics that compare, or its recorded outputs for these samples.
        progress: Called with rows done and rows in all.

    Raises:
        DataError: E503 shapes or labels do not fit, E504 no labels, no original or no samples, E506
            a metric of the user failed.
        ModelError: E309, a model does not run on the samples.
    """
    options = options or MeasureOptions()
    names = options.metrics or _default_metrics(samples, reference)
    _check_needs(names, samples, reference)
    output = _output_name(session, options)
    accumulators = {name: _accumulator(name, output) for name in names}
    predictions = [Predictions(output)] if any(_is_of_classes(name) for name in names) else []
    updates = [*(fed.update for fed in accumulators.values()), *(fed.update for fed in predictions)]
    rows = 0
    for observed in _observe(session, samples, _original(reference), options.batch_size):
        for update in updates:
            update(observed)
        rows += observed.rows
        if progress is not None:
            progress(rows, samples.count)
    if rows == 0:
        raise DataError("E504", f"{samples.source}: no samples in this part")
    figures = {name: accumulator.result() for name, accumulator in accumulators.items()}
    degenerate = tuple(filter(None, (seen.warning() for seen in predictions)))
    warnings = (*session.warnings, *_doubts(samples, rows), *degenerate)
    return Measurement(figures, rows, session.provider, warnings)


Original = Callable[[Batch, int], Mapping[str, Array]]  # a batch and the number of its first row


def _original(reference: Session | Recorded | None) -> Original | None:
    if isinstance(reference, Recorded):
        values = reference.values
        return lambda batch, start: {n: value[start : start + len(batch)] for n, value in values.items()}
    return None if reference is None else lambda batch, _start: run_batch(reference, batch)


def _observe(
    session: Session, samples: Samples, original: Original | None, batch_size: int
) -> Iterator[Observed]:
    position = 0
    for batch in samples.batches(session.static_batch or batch_size):
        theirs = None if original is None else original(batch, position)
        yield Observed(run_batch(session, batch), len(batch), batch.labels, theirs)
        position += len(batch)


def _accumulator(name: str, output: str) -> Accumulator:
    return MeanOfRows(name, METRICS[name], output) if name in METRICS else CustomMetric(name)


def _is_of_classes(name: str) -> bool:
    return name in METRICS and METRICS[name].classes


def _default_metrics(samples: Samples, reference: Session | Recorded | None) -> tuple[str, ...]:
    with_labels = ("top1", "top5") if samples.labelled else ()
    with_original = AGREEMENT if reference is not None else ()
    if not with_labels and not with_original:
        raise DataError(
            "E504", f"{samples.source} has no labels", hint="give --reference, the original, for agreement"
        )
    return (*with_labels, *with_original)


def _check_needs(names: tuple[str, ...], samples: Samples, reference: Session | Recorded | None) -> None:
    for name in names:
        metric = METRICS.get(name)
        if metric is None and ":" not in name:
            known = ", ".join(METRICS)
            raise DataError(
                "E504", f"metric {name} is not known", hint=f"{known}, or package.module:function"
            )
        if metric and metric.needs_labels and not samples.labelled:
            raise DataError("E504", f"{name} needs labels", hint="use --metric agreement with --reference")
        if metric and metric.needs_reference and reference is None:
            raise DataError("E504", f"{name} needs the original model", hint="give --reference")
        if samples.synthetic and metric and metric.classes:
            raise DataError(
                "E504",
                f"{name} on random inputs means nothing: models predict one or two classes for noise",
                hint="give real samples; they need no labels for --metric agreement",
            )


def _output_name(session: Session, options: MeasureOptions) -> str:
    names = session.output_names
    if options.output and options.output not in names:
        raise DataError("E504", f"{session.name} has no output {options.output}; it has {', '.join(names)}")
    return options.output or names[0]


def _doubts(samples: Samples, rows: int) -> list[str]:
    doubts = [f"W504: only {rows} samples"] if rows < FEW else []
    return [*doubts, "W505: the inputs are invented, not real samples"] if samples.synthetic else doubts

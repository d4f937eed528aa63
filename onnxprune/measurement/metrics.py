"""Metrics as numbers of each row; the figure of a metric is their mean over all rows.

    top1, top5     the label is the likeliest class, is among the five likeliest
    cross-entropy  minus the logarithm of the label's probability, in nats
    agreement      the likeliest class is that of the original
    cosine         between the centred logits of both, 1 where they are alike
    kl             Kullback-Leibler divergence from the original's classes, in nats, 0 where they are alike
    mse            mean squared difference to the original's output
    relative-mse   the same over the mean square of the output, in the mean over all outputs of the model

Classes lie on axis 1 of an output (N, classes, ...), or on the last of (N, positions, classes). The
figures of a row with several positions are means over them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxprune.data.labels import not_whole
from onnxprune.data.samples import Array
from onnxprune.errors import DataError

Rows = NDArray[np.float64]  # (N,)


@dataclass(frozen=True, eq=False)
class Compared:
    """One output for a batch, with what it is compared to.

    Args:
        output: (N, ...).
        labels: (N,), where there are any.
        reference: The original's output, same shape, where there is an original.
    """

    output: Array
    labels: Array | None = None
    reference: Array | None = None


@dataclass(frozen=True)
class Metric:
    """A function of a batch, and what it needs."""

    rows: Callable[[Compared], Rows]
    needs_labels: bool = False
    needs_reference: bool = False
    classes: bool = True  # works on class scores; anything else on plain numbers
    every_output: bool = False  # the mean over all outputs of the model; else of the one that is looked at


def classes_last(output: Array) -> Array:
    """Scores as (N, positions, classes), float64."""
    scores = output.astype(np.float64)
    if scores.ndim != 3:
        scores = np.moveaxis(scores, 1, -1)
    return scores.reshape(len(output), -1, scores.shape[-1])


def top1(batch: Compared) -> Rows:
    return _among_best(batch, 1)


def top5(batch: Compared) -> Rows:
    return _among_best(batch, 5)


def cross_entropy(batch: Compared) -> Rows:
    scores = classes_last(batch.output)
    labels = _labels(batch, scores)
    return _mean(-np.take_along_axis(_log_probabilities(scores), labels[..., None], -1)[..., 0])


def agreement(batch: Compared) -> Rows:
    mine, theirs = _both(batch)
    numbers = ~(np.isnan(mine) | np.isnan(theirs)).any(-1)  # where there is none, there is no likeliest class
    return _mean((mine.argmax(-1) == theirs.argmax(-1)) & numbers)


def cosine(batch: Compared) -> Rows:
    """Centred first: a constant on all logits changes no class, but every plain cosine."""
    mine, theirs = (scores - scores.mean(-1, keepdims=True) for scores in _both(batch))
    lengths = np.linalg.norm(mine, axis=-1) * np.linalg.norm(theirs, axis=-1)
    products = (mine * theirs).sum(-1)
    alike = np.where((mine == theirs).all(-1), 1.0, 0.0)  # where a row is constant, there is no angle
    return _mean(np.divide(products, lengths, out=alike, where=lengths > 0))


def kl(batch: Compared) -> Rows:
    mine, theirs = (_log_probabilities(scores) for scores in _both(batch))
    return _mean((np.exp(theirs) * (theirs - mine)).sum(-1))


def mse(batch: Compared) -> Rows:
    mine = batch.output.astype(np.float64).reshape(len(batch.output), -1)
    theirs = _reference(batch).astype(np.float64).reshape(mine.shape)
    return _mean(np.square(mine - theirs))


def relative_mse(batch: Compared) -> Rows:
    """Over the larger of both mean squares: where the original gives zeros, the figure stays finite.

    Of integers and the like the share that differs. 1 for a model that gives zeros, or another shape, or
    other infinities. NaN where anything is none.
    """
    output, reference = batch.output, batch.reference
    if reference is None or reference.shape != output.shape:
        return np.ones(len(output))
    rows = len(output)
    if not output.size:
        return np.zeros(rows)
    if output.dtype.kind != "f":
        return _mean((output != reference).reshape(rows, -1))
    mine, theirs = (values.astype(np.float64).reshape(rows, -1) for values in (output, reference))
    infinite = np.isinf(mine) | np.isinf(theirs)
    other = (infinite & (mine != theirs)).any(-1)
    mine, theirs = (np.where(infinite, 0.0, values) for values in (mine, theirs))
    scale = np.maximum(np.square(mine).sum(-1), np.square(theirs).sum(-1))
    difference = np.square(mine - theirs).sum(-1)
    figures: Rows = np.divide(difference, scale, out=np.zeros(rows), where=scale != 0)  # NaN stays NaN
    return np.where(other & ~np.isnan(figures), 1.0, figures)


METRICS: dict[str, Metric] = {
    "top1": Metric(top1, needs_labels=True),
    "top5": Metric(top5, needs_labels=True),
    "cross-entropy": Metric(cross_entropy, needs_labels=True),
    "agreement": Metric(agreement, needs_reference=True),
    "cosine": Metric(cosine, needs_reference=True),
    "kl": Metric(kl, needs_reference=True),
    "mse": Metric(mse, needs_reference=True, classes=False),
    "relative-mse": Metric(relative_mse, needs_reference=True, classes=False, every_output=True),
}


def _among_best(batch: Compared, count: int) -> Rows:
    """1.0 where the label is among the `count` best; of equal scores the first class is the better."""
    scores = classes_last(batch.output)  # (N, positions, classes)
    labels = _labels(batch, scores)
    own = np.take_along_axis(scores, labels[..., None], -1)
    before = np.arange(scores.shape[-1]) < labels[..., None]
    better = (scores > own) | ((scores == own) & before)
    found = (better.sum(-1) < count) & ~np.isnan(own[..., 0])
    return _mean(found)


def _labels(batch: Compared, scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """(N, positions) classes that fit scores (N, positions, classes)."""
    given = np.asarray(batch.labels)
    broken = not_whole(given)
    if broken is not None:
        raise DataError("E503", f"label {broken:g} is no class", hint="--metric agreement needs no labels")
    if given.size % max(1, len(scores)):
        raise rows_differ("the output", batch.output.shape, len(given))
    labels = given.astype(np.int64).reshape(len(scores), -1)
    if labels.shape[1] != scores.shape[1]:
        raise DataError("E503", f"{labels.shape[1]} labels a row for {scores.shape[1]} predictions a row")
    classes = scores.shape[-1]
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise DataError("E503", f"labels {labels.min()} to {labels.max()} for a model of {classes} classes")
    return labels


def rows_differ(where: str, shape: Sequence[int], rows: int) -> DataError:
    """What is wrong where labels of so many samples meet an output with other rows."""
    samples = "1 sample" if rows == 1 else f"{rows} samples"
    return DataError(
        "E503",
        f"{where} has shape {list(shape)} for {samples}, want one row a sample",
        hint="export the model with the batch as the first axis of its output, or give a metric of your own: "
        "--metric package.module:function",
    )


def _mean(figures: Array) -> Rows:
    """Over the positions of each row."""
    rows: Rows = figures.mean(-1, dtype=np.float64)
    return rows


def _both(batch: Compared) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return classes_last(batch.output), classes_last(_reference(batch))


def _reference(batch: Compared) -> Array:
    if batch.reference is None or batch.reference.shape != batch.output.shape:
        theirs = None if batch.reference is None else list(batch.reference.shape)
        raise DataError("E503", f"outputs differ in shape: {list(batch.output.shape)}, original {theirs}")
    return batch.reference


def _log_probabilities(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of logits by softmax; scores that are probabilities already, or their logarithms, as they are."""
    sums = scores.sum(-1)
    if (scores >= 0).all() and np.allclose(sums, 1, atol=1e-3):
        return np.log(np.maximum(scores, 1e-12))  # where a probability is 0, KL would be infinite
    shifted = scores - scores.max(-1, keepdims=True)
    logs: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return logs

"""The light form: means (and variances) of the original, in biases and BatchNormalizations."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxprune.calibration.forms import NoForm
from onnxprune.errors import DataError
from onnxprune.reconstruction.bench import Bench
from onnxprune.reconstruction.moments import Moments, match_normalisation, moments
from onnxprune.reconstruction.nodes import Consumer, Task, first_output
from onnxprune.reconstruction.options import Repair

Array = NDArray[Any]
Floats = NDArray[np.float64]


def recalibrate(bench: Bench, task: Task, start: Repair) -> Repair:
    """Give what a BatchNormalization makes the moments that it has in the original, in place.

    Raises:
        NoForm: Its statistics cannot be changed.
    """
    pair = moments_of(bench, task, task.node.inputs[0], 1)
    if not match_normalisation(bench.patch, task.node, pair.target, pair.output):
        raise NoForm("its statistics are shared or computed")
    return replace(start, note="mean and variance matched")


def put_shift(bench: Bench, consumer: Consumer, shift: Floats) -> bool:
    """Add a shift of a contraction's output where it can be stored, in place."""
    place = consumer.place
    if place is None:
        return False
    old = place.stored.read()
    return place.stored.write(bench.patch, old + (place.factor * shift).reshape(old.shape))


def shift_mean(bench: Bench, task: Task, consumer: Consumer, start: Repair) -> Repair:
    """Give each output channel the mean that it has in the original, in place."""
    if consumer.place is None:
        raise NoForm("it has no bias")
    pair = moments_of(bench, task, first_output(task.node), consumer.tail.axis)
    if not put_shift(bench, consumer, pair.target.mean - pair.output.mean):
        raise NoForm("its bias would overflow its type")
    return replace(start, before=pair.before, after=pair.after, note=start.note)


@dataclass(frozen=True)
class MomentsPair:
    """Of a value in both models, with the relative error before and after a shift of the means."""

    target: Moments
    output: Moments
    before: float
    after: float


def moments_of(bench: Bench, task: Task, name: str, axis: int) -> MomentsPair:
    """Means and variances of a value in both models.

    Raises:
        DataError: E502, they are not finite.
    """
    target = output = difference = Moments.none()
    for value, values in bench.pairs(name, (name,)):
        target += moments(value, axis)
        output += moments(values[name], axis)
        difference += moments(difference_of(value, values[name]), axis)
    if not (target.finite and output.finite):
        raise DataError("E502", f"values at node {task.node.name} are NaN or infinite")
    scale = max(float(target.variance.sum()), np.finfo(np.float64).tiny)
    before = float((difference.variance + np.square(difference.mean)).sum()) / scale
    return MomentsPair(target, output, before, float(difference.variance.sum()) / scale)


def difference_of(a: Array, b: Array) -> Floats:
    return a.astype(np.float64) - b.astype(np.float64)

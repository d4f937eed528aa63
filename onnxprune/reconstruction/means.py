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
MATCHED = "mean and variance matched"


def recalibrate(bench: Bench, task: Task, start: Repair) -> Repair:
    """Give what a BatchNormalization makes the moments that it has in the original, in place.

    Raises:
        NoForm: Its statistics cannot be changed.
    """
    pair = moments_of(bench, task, task.node.inputs[0], 1)
    if not match_normalisation(bench.patch, task.node, pair.target, pair.output):
        raise NoForm("its statistics are shared or computed")
    return replace(start, note=MATCHED)


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


def match_moments(bench: Bench, task: Task, consumer: Consumer, start: Repair) -> Repair:
    """Give each output channel the mean and the variance that it has in the original, in place.

        w' = w * sd(y) / sd(y'),   b' = E(y) + (b - E(y')) * sd(y) / sd(y')

    What recalibration does to a BatchNormalization (Li et al., EagleEye, ECCV 2020), where export has folded
    it into the contraction.

    Raises:
        NoForm: It has no bias, or its weights would overflow their type.
    """
    weight, place = consumer.weight, consumer.place
    if place is None:
        raise NoForm("it has no bias")
    assert weight is not None
    pair = moments_of(bench, task, first_output(task.node), consumer.tail.axis)
    moving = (pair.target.variance > 0) & (pair.output.variance > 0)
    stretch = np.sqrt(
        np.where(moving, pair.target.variance, 1.0) / np.where(moving, pair.output.variance, 1.0)
    )
    by_output = stretch.reshape(len(consumer.matrix), 1, -1)
    if not weight.write(bench.patch, consumer.form.weight_of(consumer.matrix * by_output)):
        raise NoForm("its weights would overflow their type")
    own = consumer.bias
    shift = pair.target.mean + (own - pair.output.mean) * stretch - own
    if not put_shift(bench, consumer, shift):
        raise NoForm("its bias would overflow its type")
    return replace(start, before=pair.before, after=pair.after_stretch(stretch), note=MATCHED)


@dataclass(frozen=True)
class MomentsPair:
    """Of a value in both models, with the relative error before and after a shift of the means."""

    target: Moments
    output: Moments
    difference: Moments
    before: float
    after: float

    def after_stretch(self, stretch: Floats) -> float:
        """The relative error once means agree and outputs are stretched: Var(y) + s^2 Var(y') - 2 s Cov."""
        own, found = self.target.variance, self.output.variance
        twice_cov = own + found - self.difference.variance
        left = np.maximum(0.0, own + np.square(stretch) * found - stretch * twice_cov)
        return float(left.sum()) / max(float(own.sum()), np.finfo(np.float64).tiny)


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
    return MomentsPair(target, output, difference, before, float(difference.variance.sum()) / scale)


def difference_of(a: Array, b: Array) -> Floats:
    return a.astype(np.float64) - b.astype(np.float64)

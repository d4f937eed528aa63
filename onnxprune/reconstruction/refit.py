"""New weights for a contraction, by least squares on the calibration inputs."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxprune.calibration.forms import NoForm
from onnxprune.calibration.grams import Equations, Gram, Solution, not_finite
from onnxprune.errors import DataError
from onnxprune.reconstruction.bench import Bench
from onnxprune.reconstruction.means import put_shift
from onnxprune.reconstruction.nodes import Consumer, Task, first_output
from onnxprune.reconstruction.options import Repair
from onnxprune.reconstruction.tails import only_reader

Array = NDArray[Any]
Floats = NDArray[np.floating[Any]]
AGREES = 1e-2  # of the largest output: float16 and quantised weights round
ROWS_A_COLUMN = 32  # at least, where there are so many
RECTIFIER = "Relu"


@dataclass(frozen=True)
class Rows:
    """One portion as a product.

    Attributes:
        x, y: (g, rows, K) and (g, rows, M), what is read and what should come out.
        floor: (g, rows, M) or (g, 1, M): where what follows begins to let y through.
    """

    x: Floats
    y: Floats
    floor: Floats


@dataclass(frozen=True)
class Aim:
    """Where the target of a contraction is taken from.

    Attributes:
        at_sum: From the sum behind it.
        sign: (g, 1, M) of what y is multiplied by up to a rectifier; None where none follows.
    """

    at_sum: bool
    sign: Floats | None


def refit(bench: Bench, task: Task, consumer: Consumer, start: Repair) -> Repair:
    """New weights, in place.

    Raises:
        NoForm: They cannot be written, or the node is not what it seems.
        DataError: E502, values that are not finite.
    """
    weight = consumer.weight
    assert weight is not None
    require_understood(bench, task, consumer)
    aim = aim_of(bench, consumer)
    gram = Gram.empty(*consumer.matrix.shape)
    for rows in rows_of(bench, task, consumer, aim):
        gram.add(rows.x, rows.y)
    if not gram.finite:
        raise not_finite(task.node.name)
    prior, options = (consumer.matrix, consumer.bias.reshape(gram.y.shape)), bench.options
    equations = Equations.of(gram, prior, ridge=options.ridge, intercept=consumer.place is not None)
    found = equations.solve(gram)
    if aim.sign is not None:
        found = rectified(bench, task, consumer, gram, equations, found)
    if not weight.write(bench.patch, consumer.form.weight_of(found[0])):
        raise NoForm("its weights would overflow their type")
    put_shift(bench, consumer, found[1].reshape(-1) - consumer.bias)
    note = "" if consumer.place is not None else "without an intercept: it has no bias"
    before, after = gram.relative_error(*prior), gram.relative_error(*found)
    return replace(start, before=before, after=after, note=note)


def rectified(
    bench: Bench, task: Task, consumer: Consumer, gram: Gram, equations: Equations, first: Solution
) -> Solution:
    """The fit of what a rectifier lets through: below its floor every value is as good as another.

        y' = y where y > floor, else min(prediction, floor)

    is fitted again and again, and each pass lowers the error behind the rectifier (Zhang et al., Accelerating
    Very Deep Convolutional Networks, TPAMI 2016, section 3.2, without its penalty). The predictions run
    ahead with Nesterov's momentum, so that few passes do.
    """
    aim, found, ahead, pace = aim_of(bench, consumer), first, first, 1.0
    assert aim.sign is not None
    for _ in range(bench.options.passes):
        passed = gram.without_targets()
        weight, bias = ahead
        for rows in rows_of(bench, task, consumer, aim):
            predicted = rows.x @ weight.astype(rows.x.dtype) + bias[:, None].astype(rows.x.dtype)
            through = aim.sign * (rows.y - rows.floor) > 0
            beyond = aim.sign * np.minimum(aim.sign * predicted, aim.sign * rows.floor)
            passed.add_targets(rows.x, np.where(through, rows.y, beyond))
        last, found = found, equations.solve(passed)
        following = (1 + sqrt(1 + 4 * pace**2)) / 2
        beta, pace = (pace - 1) / following, following
        ahead = found[0] + beta * (found[0] - last[0]), found[1] + beta * (found[1] - last[1])
    return found


def aim_of(bench: Bench, consumer: Consumer) -> Aim:
    """The sum behind a contraction where all else that it adds up is repaired; else its own output."""
    tail, shape = consumer.tail, (len(consumer.matrix), 1, consumer.matrix.shape[2])
    at_sum = bench.options.residual and tail.corrects and bench.is_ready(tail.other)
    end = only_reader(bench.pruned.graph, tail.total if at_sum else tail.value)
    gated = end is not None and end.op_type == RECTIFIER and bench.options.passes > 0
    certain = gated and bool((tail.scale != 0).all())
    return Aim(at_sum, np.sign(tail.scale).reshape(shape).astype(np.float32) if certain else None)


def rows_of(bench: Bench, task: Task, consumer: Consumer, aim: Aim) -> Iterator[Rows]:
    """Inputs and targets, portion by portion: the same positions in every pass."""
    form, tail, rng = consumer.form, consumer.tail, np.random.default_rng(bench.options.seed)
    source, own = task.node.inputs[form.data], first_output(task.node)
    wanted = max(bench.options.rows, ROWS_A_COLUMN * consumer.matrix.shape[1])
    most = -(-wanted // bench.samples)
    scale = np.where(tail.scale == 0, 1.0, tail.scale)
    fixed = (-tail.shift / scale).reshape(len(consumer.matrix), 1, -1).astype(np.float32)
    names = (source, tail.other) if aim.at_sum else (source,)
    for found, values in bench.pairs(tail.total if aim.at_sum else own, names):
        at = form.positions(found, most, rng)
        x = form.columns(values[source], found, at)
        if aim.at_sum:
            sums, other = form.targets(found, at), form.targets(values[tail.other], at)
            factor = scale.reshape(fixed.shape).astype(x.dtype)
            yield Rows(x, (sums - other) / factor + fixed, fixed - other / factor)
        else:
            yield Rows(x, form.targets(found, at), fixed)


def require_understood(bench: Bench, task: Task, consumer: Consumer) -> None:
    """Raises: NoForm: the node as a product does not give what ONNX Runtime gives."""
    form, output = consumer.form, first_output(task.node)
    source = task.node.inputs[form.data]
    values = next(bench.pruned.values([source, output]))
    at = form.positions(values[output], CHECKED, np.random.default_rng(0))
    found = form.targets(values[output], at)
    own = consumer.bias.reshape(len(consumer.matrix), 1, -1)
    expected = form.columns(values[source], values[output], at) @ consumer.matrix + own
    if not np.isfinite(found).all():
        raise DataError("E502", f"values at node {task.node.name} are NaN or infinite")
    if np.abs(found - expected).max(initial=0) > AGREES * np.abs(found).max(initial=1e-6):
        raise NoForm("it computes something else than its attributes say")


CHECKED = 64  # positions

"""Repairing node after node: what each reads comes from the model that is repaired up to there."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from onnxprune.calibration.forms import NoForm
from onnxprune.calibration.grams import Gram, least_squares
from onnxprune.calibration.walks import Array, Shelf, Walk
from onnxprune.errors import DataError
from onnxprune.groups import Groups
from onnxprune.onnx_file import Graph
from onnxprune.onnx_file.patch import Patch
from onnxprune.pruning.weights import kept_axes, sliced
from onnxprune.reconstruction.moments import Moments, match_normalisation, moments
from onnxprune.reconstruction.nodes import NORMALISATION, Consumer, Task, consumer_of, first_output
from onnxprune.reconstruction.options import ReconstructOptions, Repair, Told

Bits = NDArray[np.bool_]
Floats = NDArray[np.float64]
AGREES = 1e-2  # of the largest output: float16 and quantised weights round


@dataclass
class Bench:
    """Both models on their way through the calibration inputs, and the copy whose weights change.

    Attributes:
        groups: Of the original.
        keep: Keep bits by label.
        original, pruned: The walks.
        patch: Writes into the pruned model.
        options: How to repair.
        pending: Indices of nodes that are not repaired yet.
    """

    groups: Groups
    keep: Bits
    original: Walk
    pruned: Walk
    patch: Patch
    options: ReconstructOptions
    pending: set[int]

    @staticmethod
    def of(
        groups: Groups, masks: Mapping[str, Bits], pruned: Graph, inputs: Shelf, options: ReconstructOptions
    ) -> "Bench":
        nodes = {next((o for o in n.output if o), ""): n for n in pruned.model.graph.node}
        patch = Patch(pruned, pruned.model, nodes, {t.name: t for t in pruned.model.graph.initializer})
        keep = groups.keep_labels(dict(masks))
        return Bench(groups, keep, Walk(groups.graph, inputs), Walk(pruned, inputs), patch, options, set())

    def kept(self, name: str, value: Array) -> Array:
        """A value of the original without the removed channels."""
        return sliced(value, kept_axes(self.groups.axis_labels(name), self.keep))

    def pairs(self, of_original: str, of_pruned: Iterable[str]) -> Iterator[tuple[Array, dict[str, Array]]]:
        """For each portion a value of the original, cut to what is kept, and values of the pruned model."""
        before, after = self.original.values([of_original]), self.pruned.values(list(of_pruned))
        for source, values in zip(before, after, strict=True):
            yield self.kept(of_original, source[of_original]), values


def repair_all(bench: Bench, tasks: list[Task], told: Told) -> None:
    """Repair every node, in place."""
    bench.pending = {task.node.index for task in tasks}
    for number, task in enumerate(tasks, 1):
        start = Repair(task.node.name, task.node.op_type, number, len(tasks))
        bench.original.move(task.original)
        bench.pruned.move(task.node.index)
        try:
            result = repair(bench, task, start)
        except NoForm as reason:
            result = replace(start, note=f"left alone: {reason}")
        bench.pending.discard(task.node.index)
        told(result)


def repair(bench: Bench, task: Task, start: Repair) -> Repair:
    """Repair one node, in place.

    Raises:
        NoForm: It cannot be repaired.
        DataError: E502, its values are not finite.
    """
    if task.node.op_type == NORMALISATION:
        pair = moments_of(bench, task, task.node.inputs[0], 1)
        if not match_normalisation(bench.patch, task.node, pair.target, pair.output):
            raise NoForm("its statistics are shared or computed")
        return replace(start, note="mean and variance matched")
    consumer = consumer_of(bench.pruned.graph, task.node)
    bias_only = bench.options.method == "bias"
    if bias_only and consumer.tail.norm is not None:
        raise NoForm("the BatchNormalization behind it is recalibrated")
    if bias_only or consumer.weight is None or consumer.matrix.shape[1] > bench.options.columns:
        reason = consumer.why or f"{consumer.matrix.shape[1]} columns are too many to solve"
        return shift_mean(
            bench, task, consumer, replace(start, note="" if bias_only else f"mean alone: {reason}")
        )
    return refit(bench, task, consumer, start)


def refit(bench: Bench, task: Task, consumer: Consumer, start: Repair) -> Repair:
    """New weights by least squares, in place."""
    form, weight = consumer.form, consumer.weight
    assert weight is not None
    require_understood(bench, task, consumer)
    groups, columns, targets = consumer.matrix.shape
    gram = Gram.empty(groups, columns, targets)
    source = task.node.inputs[form.data]
    for value, target in targets_of(bench, task, consumer, source):
        gram.add(form.columns(value, target), form.targets(target))
    if not gram.finite:
        raise DataError("E502", f"values at node {task.node.name} are NaN, or too large to square")
    bias = consumer.bias.reshape(groups, targets)
    fit = least_squares(
        gram, consumer.matrix, bias, ridge=bench.options.ridge, intercept=consumer.place is not None
    )
    note = "" if consumer.place is not None else "without an intercept: it has no bias"
    if fit.after > fit.before:
        return replace(start, before=fit.before, after=fit.before, note="left alone: nothing to win")
    if not weight.write(bench.patch, form.weight_of(fit.weight)):
        raise NoForm("its weights would overflow their type")
    if consumer.place is not None:
        put_shift(bench, consumer, (fit.bias - bias).reshape(-1))
    return replace(start, before=fit.before, after=fit.after, note=note)


def targets_of(bench: Bench, task: Task, consumer: Consumer, source: str) -> Iterator[tuple[Array, Array]]:
    """(input, target) of a contraction for each portion: its own output, or what the sum behind it lacks."""
    tail, output = consumer.tail, first_output(task.node)
    if bench.options.residual and tail.corrects and is_ready(bench, tail.other):
        for total, values in bench.pairs(tail.total, (source, tail.other)):
            yield values[source], tail.sum_to_target(total, values[tail.other])
    else:
        for target, values in bench.pairs(output, (source,)):
            yield values[source], target


def is_ready(bench: Bench, name: str) -> bool:
    """Whether everything that leads to a value of the pruned model is repaired."""
    nodes = bench.pruned.nodes_for([name], bench.pruned.example())
    return not any(node.index in bench.pending for node in nodes)


def require_understood(bench: Bench, task: Task, consumer: Consumer) -> None:
    """Raises: NoForm: the node as a product does not give what ONNX Runtime gives."""
    form, output = consumer.form, first_output(task.node)
    source = task.node.inputs[form.data]
    values = next(bench.pruned.values([source, output]))
    found = form.targets(values[output])
    own = consumer.bias.reshape(len(consumer.matrix), 1, -1)
    expected = form.columns(values[source], values[output]) @ consumer.matrix + own
    if not np.isfinite(found).all():
        raise DataError("E502", f"values at node {task.node.name} are NaN or infinite")
    if np.abs(found - expected).max(initial=0) > AGREES * np.abs(found).max(initial=1e-6):
        raise NoForm("it computes something else than its attributes say")


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

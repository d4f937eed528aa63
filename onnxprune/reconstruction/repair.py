"""Repairing node after node: what each reads comes from the model that is repaired up to there."""

from dataclasses import replace

from onnxprune.calibration.forms import NoForm
from onnxprune.reconstruction.bench import Bench
from onnxprune.reconstruction.means import match_moments, recalibrate, shift_mean
from onnxprune.reconstruction.nodes import NORMALISATION, Task, consumer_of
from onnxprune.reconstruction.options import Repair, Told
from onnxprune.reconstruction.refit import refit


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
        return recalibrate(bench, task, start)
    consumer = consumer_of(bench.pruned.graph, task.node)
    light = bench.options.light
    if light and consumer.tail.norm is not None:
        return replace(start, note="through the BatchNormalization behind it")
    if bench.options.method == "moments" and consumer.weight is not None:
        return match_moments(bench, task, consumer, start)
    if light or consumer.weight is None or consumer.matrix.shape[1] > bench.options.columns:
        reason = consumer.why or f"{consumer.matrix.shape[1]} columns are too many to solve"
        note = "" if bench.options.method == "bias" else f"mean alone: {reason}"
        return shift_mean(bench, task, consumer, replace(start, note=note))
    return refit(bench, task, consumer, start)

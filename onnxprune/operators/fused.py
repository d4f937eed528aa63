"""Fusions of com.microsoft, as ONNX Runtime's optimizer writes them into saved models."""

import numpy as np

from onnxprune.operators.context import CannotFollow, NodeContext
from onnxprune.operators.contraction import convolve, meet_broadcast
from onnxprune.operators.elementwise import broadcast_labels
from onnxprune.operators.grids import couple_inner, couple_rows
from onnxprune.operators.labels import AxisLabels
from onnxprune.operators.normalization import OVER_CHANNELS


def fused_conv(ctx: NodeContext) -> None:
    """X, W, B, Z: a convolution, Z added to its result, and an activation."""
    convolve(ctx, data=0, weight=1, bias=2)
    if ctx.has(3):
        meet_broadcast(ctx, 3, list(ctx.store.values[ctx.node.outputs[0]]), ctx.out_shape())


def fused_matmul(ctx: NodeContext) -> None:
    """A times B, each with its axes in another order first."""
    left, right = matrix_order(ctx, 0, "A"), matrix_order(ctx, 1, "B")
    a, b = ctx.take_all(0), ctx.take_all(1)
    b_inner = right[max(0, len(right) - 2)]
    ctx.couple(a[left[-1]], b[b_inner])
    ctx.contract(0, left[-1])
    ctx.consumes(a[left[-1]])
    ctx.consumes(b[b_inner])
    outer = [*(a[axis] for axis in left[-2:-1]), *(b[axis] for axis in right[-1:] if len(right) > 1)]
    for labels in outer:
        ctx.produces(labels)
    ctx.put([*batch_of(ctx, left[:-2], right[:-2]), *outer])
    ctx.macs(1, *ctx.all_axes(ctx.node.outputs[0]), (ctx.name(0), left[-1]))


def matrix_order(ctx: NodeContext, slot: int, side: str) -> list[int]:
    """The axes of an operand in the order (batch..., row, column)."""
    order = list(range(ctx.rank(slot)))
    if not order:
        raise CannotFollow("an operand without axes")
    if ctx.node.attr(f"transBatch{side}", 0) and len(order) > 2:
        order = [*order[1:-1], 0, order[-1]]
    if ctx.node.attr(f"trans{side}", 0) and len(order) > 1:
        order[-2:] = order[-1], order[-2]
    return order


def batch_of(ctx: NodeContext, left: list[int], right: list[int]) -> list[AxisLabels]:
    """Labels of the leading axes, broadcast from the right."""
    result: list[AxisLabels] = []
    for back in range(max(len(left), len(right)), 0, -1):
        wide: list[AxisLabels] = []
        for slot, axes in ((0, left), (1, right)):
            if back <= len(axes) and ctx.shape(slot)[axes[-back]] > 1:
                wide.append(ctx.labels(slot)[axes[-back]])
        if len(wide) == 2:
            ctx.couple(*wide)
        result.append(None if not wide or any(labels is None for labels in wide) else wide[0])
    return result


def add_bias(ctx: NodeContext) -> None:
    """The sum of all inputs, and an activation of it: BiasGelu, FastGelu, BiasAdd, GatedAdd."""
    labels = broadcast_labels(ctx, [slot for slot in range(len(ctx.node.inputs)) if ctx.has(slot)])
    ctx.put(labels)


def bias_dropout(ctx: NodeContext) -> None:
    """data, bias, residual, ratio, training -> output, mask."""
    labels = broadcast_labels(ctx, [slot for slot in range(3) if ctx.has(slot)])
    ctx.put(labels)
    ctx.put(labels, 1)


def bias_split_gelu(ctx: NodeContext) -> None:
    """X (N, S, 2 * D) plus bias; the left half times the GELU of the right half: (N, S, D)."""
    labels = ctx.take_all(0)
    last = labels[-1]
    ctx.couple(last, ctx.take(1, 0))
    half = None if last is None else couple_rows(ctx, np.ascontiguousarray(last.reshape(2, -1).T))
    ctx.put([*labels[:-1], half])


def skip_layer_norm(ctx: NodeContext) -> None:
    """input, skip, gamma, beta, bias -> output, mean, deviation, and the sum before it is normalised.

    The simplified form has no beta: its fourth input is the bias.
    """
    labels = ctx.take_all(0)
    ctx.inexact(labels[-1], OVER_CHANNELS)
    for slot in range(1, len(ctx.node.inputs)):
        if ctx.has(slot):
            meet_broadcast(ctx, slot, labels, ctx.shape(0))
    ctx.put(labels)
    statistics: list[AxisLabels] = [*labels[:-1], None]
    ctx.put(statistics, 1)
    ctx.put(statistics, 2)
    ctx.put(labels, 3)


def embed_layer_norm(ctx: NodeContext) -> None:
    """ids, segment ids, word / position / segment table (V, H), gamma, beta -> (B, S, H), mask index, sum."""
    channels = ctx.take(2, 1)
    ctx.inexact(channels, OVER_CHANNELS)
    for slot, axis in ((3, 1), (4, 1), (5, 0), (6, 0)):
        if ctx.has(slot):
            ctx.couple(channels, ctx.take(slot, axis))
    ctx.put([None, None, channels])
    ctx.put([None], 1)
    ctx.put([None, None, channels], 2)


def group_norm(ctx: NodeContext) -> None:
    """X, gamma, beta in `groups` groups, the channels last unless it says otherwise."""
    normalise_groups(ctx, skip=None)


def skip_group_norm(ctx: NodeContext) -> None:
    """X, gamma, beta, skip, bias -> Y and the sum that was normalised."""
    normalise_groups(ctx, skip=3)


def normalise_groups(ctx: NodeContext, *, skip: int | None) -> None:
    groups = int(ctx.node.attr("groups"))
    axis = ctx.rank(0) - 1 if ctx.node.attr("channels_last", 1) else 1
    channels = ctx.take(0, axis)
    couple_inner(ctx, channels, groups)
    ctx.inexact(channels, OVER_CHANNELS)
    for slot in (1, 2, 4):
        if ctx.has(slot):
            ctx.couple(channels, ctx.take(slot, 0))
    if skip is not None:
        ctx.couple(channels, ctx.take(skip, -1 if ctx.node.attr("channels_last", 1) else 1))
    result: list[AxisLabels] = [None] * ctx.rank(0)
    result[axis] = channels
    ctx.put(result)
    ctx.put(result, 1)

"""Pools and reductions."""

from onnxprune.operators.context import CannotFollow, NodeContext
from onnxprune.operators.labels import AxisLabels

MEAN_OF_THE_REST = "the reduction runs over the channels that are left"


def pool(ctx: NodeContext) -> None:
    """X (N, C, ...): every channel by itself."""
    for index in range(len(ctx.node.outputs)):
        ctx.put([None, ctx.take(0, 1), *[None] * (ctx.rank(0) - 2)], index)
    if len(ctx.node.outputs) > 1 and ctx.node.outputs[1]:
        raise CannotFollow("the indices of the maxima count through all channels")


def reduce_axes(ctx: NodeContext) -> list[int]:
    rank = ctx.rank(0)
    axes = ctx.ints("axes", 1)
    if not axes:
        return [] if ctx.node.attr("noop_with_empty_axes", 0) else list(range(rank))
    return [a % rank for a in axes]


def keep_the_rest(ctx: NodeContext, axes: list[int]) -> None:
    labels = ctx.take_all(0)
    keep = bool(ctx.node.attr("keepdims", 1))
    result: list[AxisLabels] = []
    for axis, of_axis in enumerate(labels):
        if axis not in axes:
            result.append(of_axis)
        elif keep:
            result.append(None)
    ctx.put(result)


def reduce_sum(ctx: NodeContext) -> None:
    """Sums and norms: a removed channel adds nothing, as a masked one does."""
    axes = reduce_axes(ctx)
    for axis in axes:
        ctx.contract(0, axis)
    keep_the_rest(ctx, axes)


def reduce_inexact(ctx: NodeContext) -> None:
    """Means, extrema and products: well defined over what is left."""
    axes = reduce_axes(ctx)
    for axis in axes:
        ctx.inexact(ctx.take(0, axis), MEAN_OF_THE_REST)
    keep_the_rest(ctx, axes)


def default_axis(ctx: NodeContext) -> int:
    """Softmax and its kin: 1 before opset 13, the last axis since."""
    return 1 if ctx.node.opset < 13 else -1


def softmax(ctx: NodeContext) -> None:
    rank = ctx.rank(0)
    axis = ctx.axis("axis", default_axis(ctx), rank=rank)
    frozen_axes(ctx, list(range(axis, rank)) if ctx.node.opset < 13 else [axis])


def arg_extremum(ctx: NodeContext) -> None:
    axis = ctx.axis("axis", 0, rank=ctx.rank(0))
    ctx.freeze(ctx.take(0, axis), "positions along the axis matter")
    keep_the_rest(ctx, [axis])


def top_k(ctx: NodeContext) -> None:
    axis = ctx.axis("axis", -1, rank=ctx.rank(0))
    frozen_axes(ctx, [axis])
    labels = ctx.labels(0)
    ctx.put([*labels[:axis], None, *labels[axis + 1 :]], 1)


def cum_sum(ctx: NodeContext) -> None:
    frozen_axes(ctx, [int(ctx.const(1).item()) % ctx.rank(0)])


def frozen_axes(ctx: NodeContext, axes: list[int]) -> None:
    """The axes stay as they are; the others pass through."""
    labels = ctx.take_all(0)
    for axis in axes:
        ctx.freeze(labels[axis], "positions along the axis matter")
        labels[axis] = None
    ctx.put(labels)

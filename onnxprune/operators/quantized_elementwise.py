"""com.microsoft operators that treat quantised elements alike: scales and zero points are scalars."""

from onnxprune.operators.context import NodeContext
from onnxprune.operators.elementwise import broadcast_labels
from onnxprune.operators.labels import AxisLabels
from onnxprune.operators.reduction import frozen_axes
from onnxprune.operators.selection import join


def binary(ctx: NodeContext) -> None:
    """A, A_scale, A_zero, B, B_scale, B_zero, C_scale, C_zero: QLinearAdd, QLinearMul."""
    ctx.put(broadcast_labels(ctx, [0, 3]))


def where(ctx: NodeContext) -> None:
    """condition, X, x_scale, x_zero, Y, y_scale, y_zero, z_scale, z_zero."""
    ctx.put(broadcast_labels(ctx, [0, 1, 4]))


def concat(ctx: NodeContext) -> None:
    """Y_scale, Y_zero, then tensor, scale, zero for each part."""
    join(ctx, range(2, len(ctx.node.inputs), 3))


def pool(ctx: NodeContext) -> None:
    """X, x_scale, x_zero, y_scale, y_zero: every channel by itself."""
    rank = ctx.rank(0)
    axis = rank - 1 if ctx.node.attr("channels_last", 0) else 1
    labels: list[AxisLabels] = [None] * rank
    labels[axis] = ctx.take(0, axis)
    ctx.put(labels)


def softmax(ctx: NodeContext) -> None:
    """With the meaning that `axis` had in the opset that it names."""
    rank = ctx.rank(0)
    old = int(ctx.node.attr("opset", 13)) < 13
    axis = ctx.axis("axis", 1 if old else -1, rank=rank)
    frozen_axes(ctx, list(range(axis, rank)) if old else [axis])

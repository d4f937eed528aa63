"""Contractions on quantised values: as their float forms, with scales and zero points between the inputs."""

from collections.abc import Sequence
from math import prod

from onnxprune.operators.context import NodeContext
from onnxprune.operators.contraction import convolve, meet_broadcast, multiply
from onnxprune.operators.labels import AxisLabels


def qlinear_conv(ctx: NodeContext) -> None:
    """X, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, B."""
    axis = ctx.rank(0) - 1 if ctx.node.attr("channels_last", 0) else 1  # an option of com.microsoft
    convolve(ctx, data=0, weight=3, bias=8, axis=axis)
    per_column(ctx, (4, 5), ctx.labels(3)[0])


def conv_integer(ctx: NodeContext) -> None:
    """X, w, x_zero, w_zero."""
    convolve(ctx, data=0, weight=1, bias=None)
    per_column(ctx, (3,), ctx.labels(1)[0])


def per_column(ctx: NodeContext, slots: Sequence[int], labels: AxisLabels) -> None:
    """Vectors with one element for each of these channels; scalars are for all of them."""
    for slot in slots:
        if ctx.has(slot) and prod(ctx.shape(slot)) > 1:
            ctx.couple(labels, ctx.take(slot, -1))


def qlinear_matmul(ctx: NodeContext) -> None:
    """A, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero."""
    multiply(ctx, 0, 3)
    parameters_of(ctx, 0, (1, 2), vector_axis=-2)
    parameters_of(ctx, 3, (4, 5), vector_axis=-1)
    result = list(ctx.store.values[ctx.node.outputs[0]])
    for slot in (6, 7):
        meet_parameter(ctx, slot, result, ctx.out_shape(), -2)


def matmul_integer(ctx: NodeContext) -> None:
    """A, b, a_zero, b_zero."""
    multiply(ctx, 0, 1)
    parameters_of(ctx, 0, (2,), vector_axis=-2)
    parameters_of(ctx, 1, (3,), vector_axis=-1)


def parameters_of(ctx: NodeContext, operand: int, slots: Sequence[int], *, vector_axis: int) -> None:
    """Scales and zero points of an operand: a vector along `vector_axis`, or a tensor that broadcasts."""
    for slot in slots:
        meet_parameter(ctx, slot, list(ctx.labels(operand)), ctx.shape(operand), vector_axis)


def meet_parameter(
    ctx: NodeContext, slot: int, labels: list[AxisLabels], shape: tuple[int, ...], vector_axis: int
) -> None:
    if not ctx.has(slot) or prod(ctx.shape(slot)) <= 1:
        return
    if ctx.rank(slot) > 1:
        meet_broadcast(ctx, slot, labels, shape)
    elif len(shape) >= -vector_axis:
        ctx.couple(labels[vector_axis], ctx.take(slot, 0))


def matmul_integer_to_float(ctx: NodeContext) -> None:
    """A, b, a_scale, b_scale, a_zero, b_zero, bias -> float."""
    multiply(ctx, 0, 1)
    per_column(ctx, (3, 5, 6), ctx.labels(1)[-1])


def dynamic_quantize_matmul(ctx: NodeContext) -> None:
    """A (float, quantised by its range), b, b_scale, b_zero, bias -> float."""
    multiply(ctx, 0, 1)
    for labels in ctx.labels(0):
        ctx.inexact(labels, "it is quantised by the range of what is left")
    per_column(ctx, (2, 3, 4), ctx.labels(1)[-1])


def qgemm(ctx: NodeContext) -> None:
    """A, a_scale, a_zero, B, b_scale, b_zero, C, y_scale, y_zero."""
    a, b = ctx.take_all(0), ctx.take_all(3)
    a_inner, b_inner = (0 if ctx.node.attr("transA", 0) else 1), (1 if ctx.node.attr("transB", 0) else 0)
    ctx.couple(a[a_inner], b[b_inner])
    ctx.contract(0, a_inner)
    ctx.consumes(a[a_inner])
    ctx.consumes(b[b_inner])
    rows, columns = a[1 - a_inner], b[1 - b_inner]
    ctx.produces(columns)
    per_column(ctx, (4, 5), columns)
    if ctx.has(6):
        meet_broadcast(ctx, 6, [rows, columns], ctx.out_shape())
    ctx.put([rows, columns])
    ctx.macs(1, *ctx.all_axes(ctx.node.outputs[0]), (ctx.name(0), a_inner))


def matmul_nbits(ctx: NodeContext) -> None:
    """A (..., K), B (N, blocks of K, bytes), scales, zero points, g_idx, bias: outputs only.

    The inputs are packed in blocks along K, several to a byte, and stay.
    """
    outputs = ctx.take(1, 0)
    blocks = -(-int(ctx.node.attr("K")) // int(ctx.node.attr("block_size")))
    for slot in (2, 3):
        if ctx.has(slot):
            rows_of_blocks(ctx, slot, outputs, blocks)
    if ctx.has(5):
        ctx.couple(outputs, ctx.take(5, 0))
    if outputs is not None:
        ctx.bind_attr("N", outputs)
    ctx.produces(outputs)
    rank = ctx.rank(0)
    ctx.put([*(ctx.take(0, axis) for axis in range(rank - 1)), outputs])
    ctx.macs(1, *ctx.all_axes(ctx.node.outputs[0]), (ctx.name(0), rank - 1))


def rows_of_blocks(ctx: NodeContext, slot: int, outputs: AxisLabels, blocks: int) -> None:
    """(N, blocks) or the same flat; a flat one whose rows share bytes cannot be cut."""
    shape = ctx.shape(slot)
    if len(shape) > 1:
        ctx.couple(outputs, ctx.take(slot, 0))
        return
    labels, count = ctx.take(slot, 0), len(outputs) if outputs is not None else int(ctx.node.attr("N"))
    if labels is None or outputs is None or shape[0] % count:
        ctx.freeze(outputs, "its quantisation parameters cannot be cut by rows")
        ctx.freeze(labels, "its quantisation parameters cannot be cut by rows")
    else:
        ctx.couple(outputs.repeat(shape[0] // count), labels)

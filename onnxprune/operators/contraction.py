"""Operators that multiply by weights: Conv, ConvTranspose, Gemm, MatMul."""

import numpy as np

from onnxprune.operators.context import CannotFollow, NodeContext
from onnxprune.operators.grids import couple_inner, couple_rows
from onnxprune.operators.labels import AxisLabels


def conv(ctx: NodeContext) -> None:
    """X (N, C, ...), W (M, C/g, k...), B (M) -> (N, M, ...)."""
    convolve(ctx, data=0, weight=1, bias=2)


def convolve(ctx: NodeContext, *, data: int, weight: int, bias: int | None, axis: int = 1) -> None:
    """Any convolution whose weight is (M, C/g, k...), by input slot; `axis` holds the data's channels."""
    group, channels = int(ctx.node.attr("group", 1)), ctx.shape(data)[axis]
    if group < 1 or channels % group or ctx.shape(weight)[0] % group:
        raise CannotFollow(f"its {group} groups do not divide its channels")
    inputs, outputs, columns = ctx.take(data, axis), ctx.take(weight, 0), ctx.take(weight, 1)
    if group == 1:
        ctx.couple(inputs, columns)
    elif drops_groups(ctx, channels // group, ctx.shape(weight)[0] // group):
        couple_groups(ctx, inputs, outputs, group)
        ctx.freeze(columns, "whole groups go")
    else:
        couple_grouped(ctx, inputs, columns, group)
        couple_inner(ctx, outputs, group)
        ctx.consumes(columns)
    if group == 1:
        ctx.consumes(columns)
    ctx.contract(data, axis)
    ctx.produces(outputs)
    if bias is not None and ctx.has(bias):
        ctx.couple(outputs, ctx.take(bias, 0))
    result: list[AxisLabels] = [None] * ctx.rank(data)
    result[axis] = outputs
    ctx.put(result)
    count_conv(ctx, weight)


def count_conv(ctx: NodeContext, weight: int) -> None:
    """MACs: every output element sums over the weight's axes but the first."""
    output, name = ctx.node.outputs[0], ctx.name(weight)
    ctx.macs(1, *ctx.all_axes(output), *ctx.all_axes(name)[1:])


def drops_groups(ctx: NodeContext, inner_inputs: int, inner_outputs: int) -> bool:
    """Whether whole groups go: where a group has one channel on a side, nothing else can."""
    return ctx.options.heads or inner_inputs == 1 or inner_outputs == 1


def couple_groups(ctx: NodeContext, inputs: AxisLabels, outputs: AxisLabels, group: int) -> None:
    """All inputs and outputs of a group together: the number of groups counts them."""
    if inputs is None or outputs is None:
        ctx.couple(inputs, outputs)
        return
    of_group = couple_rows(ctx, inputs.reshape(group, -1))
    ctx.couple(of_group, couple_rows(ctx, outputs.reshape(group, -1)))
    ctx.bind_attr("group", of_group)


def couple_grouped(ctx: NodeContext, inputs: AxisLabels, weight: AxisLabels, group: int) -> None:
    """Input j of every group is coupled with column j of the weight: the number of groups stays."""
    ctx.couple(inputs, None if weight is None else np.tile(weight, group))


def conv_transpose(ctx: NodeContext) -> None:
    """X (N, C, ...), W (C, M/g, k...), B (M) -> (N, M, ...)."""
    group = int(ctx.node.attr("group", 1))
    inputs, rows, columns = ctx.take(0, 1), ctx.take(1, 0), ctx.take(1, 1)
    inner_outputs = ctx.shape(1)[1]
    ctx.couple(inputs, rows)
    ctx.contract(0, 1)
    if group > 1 and drops_groups(ctx, ctx.shape(1)[0] // group, inner_outputs):
        outputs = None if inputs is None else np.repeat(inputs.reshape(group, -1)[:, 0], inner_outputs)
        couple_groups(ctx, inputs, outputs, group)
        ctx.freeze(columns, "whole groups go")
    else:
        outputs = None if columns is None else np.tile(columns, group)
        couple_inner(ctx, rows, group)
        ctx.consumes(rows)
    ctx.produces(outputs)
    if ctx.has(2):
        ctx.couple(outputs, ctx.take(2, 0))
    ctx.put([None, outputs, *[None] * (ctx.rank(0) - 2)])
    data, weight = ctx.node.inputs[:2]
    ctx.macs(1, *ctx.all_axes(data), *ctx.all_axes(weight)[1:])


def gemm(ctx: NodeContext) -> None:
    """A (M, K) or its transpose, B (K, N) or its transpose, C broadcast to (M, N)."""
    a, b = ctx.take_all(0), ctx.take_all(1)
    a_inner, b_inner = (0 if ctx.node.attr("transA", 0) else 1), (1 if ctx.node.attr("transB", 0) else 0)
    ctx.couple(a[a_inner], b[b_inner])
    ctx.contract(0, a_inner)
    ctx.consumes(a[a_inner])
    ctx.consumes(b[b_inner])
    result = [a[1 - a_inner], b[1 - b_inner]]
    for labels in result:
        ctx.produces(labels)
    if ctx.has(2):
        meet_broadcast(ctx, 2, result, ctx.out_shape())
    ctx.put(result)
    ctx.macs(1, *ctx.all_axes(ctx.node.outputs[0]), (ctx.name(0), a_inner))


def meet_broadcast(ctx: NodeContext, slot: int, result: list[AxisLabels], shape: tuple[int, ...]) -> None:
    """Couple an input that broadcasts to `shape` with the labels of the result."""
    offset = len(shape) - ctx.rank(slot)
    for axis, labels in enumerate(ctx.take_all(slot)):
        if ctx.shape(slot)[axis] == shape[axis + offset] > 1:
            ctx.couple(result[axis + offset], labels)


def matmul(ctx: NodeContext) -> None:
    """A (..., M, K) times B (..., K, N); one-dimensional operands as in numpy."""
    multiply(ctx, 0, 1)


def multiply(ctx: NodeContext, left: int, right: int) -> None:
    """The matrix product of two input slots."""
    a, b = ctx.take_all(left), ctx.take_all(right)
    if not a or not b:
        raise CannotFollow("an operand without axes")
    b_inner = max(0, len(b) - 2)
    ctx.couple(a[-1], b[b_inner])
    ctx.contract(left, len(a) - 1)
    ctx.consumes(a[-1])
    ctx.consumes(b[b_inner])
    rows = a[-2:-1]  # empty for a vector
    columns = b[-1:] if len(b) > 1 else []
    batch = broadcast_batch(ctx, left, right)
    for labels in (*rows, *columns):
        ctx.produces(labels)
    ctx.put([*batch, *rows, *columns])
    ctx.macs(1, *ctx.all_axes(ctx.node.outputs[0]), (ctx.name(left), len(a) - 1))


def leading_axes(ctx: NodeContext, slot: int, rank: int) -> tuple[list[AxisLabels], tuple[int, ...]]:
    """Labels and extents of all but the last two axes, filled up on the left to `rank` of them."""
    labels, shape = ctx.labels(slot)[:-2], ctx.shape(slot)[:-2]
    missing = rank - len(shape)
    return [*[None] * missing, *labels], (1,) * missing + shape


def broadcast_batch(ctx: NodeContext, left: int, right: int) -> list[AxisLabels]:
    """Labels of the leading axes of a batched product."""
    rank = max(len(ctx.shape(left)), len(ctx.shape(right))) - 2
    (a, a_shape), (b, b_shape) = leading_axes(ctx, left, rank), leading_axes(ctx, right, rank)
    result: list[AxisLabels] = []
    for axis in range(rank):
        if a_shape[axis] == b_shape[axis]:
            ctx.couple(a[axis], b[axis])
            result.append(a[axis] if b[axis] is not None else None)
        else:
            result.append(a[axis] if a_shape[axis] > 1 else b[axis])
    return result

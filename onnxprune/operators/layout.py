"""Operators that only move elements: Transpose, Reshape and its kin, Expand, Tile, pixel shuffles."""

import numpy as np

from onnxprune.operators.context import CannotFollow, NodeContext
from onnxprune.operators.grids import couple_rows
from onnxprune.operators.labels import AxisLabels
from onnxprune.operators.regrid import regrid


def transpose(ctx: NodeContext) -> None:
    labels = ctx.take_all(0)
    order = ctx.node.attr("perm") or range(len(labels))[::-1]
    ctx.put([labels[axis] for axis in order])


def reshape(ctx: NodeContext) -> None:
    """Any Reshape whose result shape is known; the target's integers count what is left."""
    target = ctx.ints("shape", 1)
    if target is None:
        raise CannotFollow("it has no target shape")
    source = ctx.take_all(0)
    result = regrid(ctx, ctx.shape(0), ctx.out_shape(), source)
    ctx.put(result)
    if len(target) != len(result):
        raise CannotFollow("its target does not fit the shape of its output")
    for index, labels in enumerate(result):
        # 0 copies the extent of the input, which is right where that has the same channels
        copied = target[index] == 0 and index < len(source) and same(source[index], labels)
        if target[index] != -1 and not copied:
            ctx.bind_ints(("shape", 1), index, labels)


def same(a: AxisLabels, b: AxisLabels) -> bool:
    return (a is None and b is None) or (a is not None and b is not None and np.array_equal(a, b))


def flatten(ctx: NodeContext) -> None:
    ctx.put(regrid(ctx, ctx.shape(0), ctx.out_shape(), ctx.take_all(0)))


def squeeze(ctx: NodeContext) -> None:
    shape = ctx.shape(0)
    axes = ctx.ints("axes", 1)
    gone = {a % len(shape) for a in axes} if axes else {a for a, n in enumerate(shape) if n == 1}
    ctx.put([labels for axis, labels in enumerate(ctx.take_all(0)) if axis not in gone])


def unsqueeze(ctx: NodeContext) -> None:
    axes = ctx.ints("axes", 1)
    if axes is None:
        raise CannotFollow("it has no axes")
    rank = ctx.rank(0) + len(axes)
    new = {a % rank for a in axes if -rank <= a < rank}
    if len(new) < len(axes):
        raise CannotFollow("its axes do not exist")
    old = iter(ctx.take_all(0))
    ctx.put([None if axis in new else next(old) for axis in range(rank)])


def expand(ctx: NodeContext) -> None:
    """Broadcast to a shape: an axis that it creates has channels of its own, counted by the target."""
    shape, source = ctx.out_shape(), ctx.take_all(0)
    target = ctx.const(1).reshape(-1)
    labels = [None] * (len(shape) - len(source)) + source
    extents = (1,) * (len(shape) - len(source)) + ctx.shape(0)
    first = len(shape) - len(target)
    for axis, extent in enumerate(shape):
        index = axis - first
        if extents[axis] == 1 and extent > 1:
            labels[axis] = new_axis(ctx, 1, index, extent)
        if index >= 0 and (labels[axis] is not None or extents[axis] == extent) and target[index] != 1:
            ctx.bind(1, index, labels[axis])
    ctx.put(labels)


def new_axis(ctx: NodeContext, slot: int, index: int, extent: int) -> AxisLabels:
    """Labels of an axis that a number creates; None where neither the file nor channels decide it."""
    return ctx.fresh(extent) if index >= 0 and ctx.may_change(slot, index) else None


def constant_of_shape(ctx: NodeContext) -> None:
    """A constant filled tensor; the axes that come from literals may shrink with what they meet."""
    target = ctx.const(0).reshape(-1)
    labels = [new_axis(ctx, 0, index, int(n)) if n > 1 else None for index, n in enumerate(target)]
    for index, of_axis in enumerate(labels):
        if of_axis is not None:
            ctx.bind(0, index, of_axis)
    ctx.put(labels)


def tile(ctx: NodeContext) -> None:
    repeats = ctx.ints("repeats", 1)
    if repeats is None:
        raise CannotFollow("it has no repeats")
    ctx.put([None if ls is None else np.tile(ls, n) for ls, n in zip(ctx.take_all(0), repeats, strict=True)])


def depth_to_space(ctx: NodeContext) -> None:
    """(N, b*b*C, H, W) -> (N, C, H*b, W*b): all b*b positions of an output channel together."""
    labels, block = ctx.take(0, 1), int(ctx.node.attr("blocksize"))
    if labels is not None:
        inner = ctx.node.attr("mode", "DCR") == "CRD"
        grid = labels.reshape(-1, block * block) if inner else labels.reshape(block * block, -1).T
        labels = couple_rows(ctx, grid)
    ctx.put([None, labels, None, None])


def space_to_depth(ctx: NodeContext) -> None:
    """(N, C, H, W) -> (N, b*b*C, H/b, W/b): channel c stands at c, C+c, ..., or b*b times in a row."""
    labels, copies = ctx.take(0, 1), int(ctx.node.attr("blocksize")) ** 2
    if labels is not None:
        in_a_row = ctx.node.attr("mode", "DCR") == "CRD"
        labels = np.repeat(labels, copies) if in_a_row else np.tile(labels, copies)
    ctx.put([None, labels, None, None])


def resize(ctx: NodeContext) -> None:
    """Axes that are not resampled pass their channels through; sizes that count them follow."""
    source, target = ctx.shape(0), ctx.out_shape()
    sizes = 3 if ctx.node.opset >= 11 and ctx.has(3) and ctx.shape(3) != (0,) else None
    axes = [a % len(source) for a in ctx.node.attr("axes", range(len(source)))]
    scales = resize_scales(ctx)
    labels = ctx.take_all(0)
    for axis, of_axis in enumerate(labels):
        scaled = axis in axes and (scales is None or scales[axes.index(axis)] != 1)
        if source[axis] != target[axis] or scaled:
            ctx.freeze(of_axis, "it is interpolated")
            labels[axis] = None
        if sizes is not None and axis in axes:
            ctx.bind(sizes, axes.index(axis), labels[axis])
    ctx.put(labels)


def resize_scales(ctx: NodeContext) -> list[float] | None:
    """Factors of the resized axes, 1 where an axis of equal extents stays; None where all could change."""
    policy, mode = "keep_aspect_ratio_policy", "coordinate_transformation_mode"
    if ctx.node.attr(policy, "stretch") != "stretch" or ctx.node.attr(mode) == "tf_crop_and_resize":
        return None
    slot = 2 if ctx.node.opset >= 11 else 1
    known = ctx.initializer(slot) if "scales" not in ctx.node.attributes else None
    found = ctx.node.attr("scales") or ([] if known is None else known.array().tolist())
    return found or [1.0] * ctx.rank(0)

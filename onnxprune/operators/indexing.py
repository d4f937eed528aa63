"""Operators that pick or write elements by index: axes that the indices count stay, the others pass."""

import numpy as np

from onnxprune.operators.context import CannotFollow, NodeContext
from onnxprune.operators.labels import AxisLabels, Labels
from onnxprune.operators.reduction import frozen_axes

BY_POSITION = "elements are picked along it by position"


def gather_elements(ctx: NodeContext) -> None:
    """Data, indices of its rank -> the shape of the indices.

    Constant indices that pick the same channels everywhere are counted anew, as those of a Gather.
    """
    labels, shape, extents = ctx.take_all(0), ctx.shape(0), ctx.shape(1)
    axis = ctx.axis("axis", 0, rank=len(shape))
    if labels[axis] is not None and ctx.initializer(1) is not None:
        pick_constant(ctx, labels, axis)
        return
    ctx.freeze(labels[axis], BY_POSITION)
    indices = ctx.take_all(1)
    if ctx.initializer(1) is not None:
        ctx.freeze(indices[axis], "constant indices")
    result: list[AxisLabels] = []
    for other, of_axis in enumerate(indices):
        equal = shape[other] == extents[other]
        result.append(of_axis if other == axis else same_extent(ctx, labels[other], of_axis, equal=equal))
    ctx.put(result)


def same_extent(ctx: NodeContext, data: AxisLabels, indices: AxisLabels, *, equal: bool) -> AxisLabels:
    """Along the other axes an index stands where its element stands; a shorter axis reads a part."""
    if not equal:
        ctx.freeze(data, "only a part of it is read")
        ctx.freeze(indices, "it reads a part of another axis")
        return None
    ctx.couple(data, indices)
    return data if indices is not None else None


def pick_constant(ctx: NodeContext, labels: list[AxisLabels], axis: int) -> None:
    """GatherElements with constant indices into a channel axis."""
    of_axis, indices = labels[axis], np.moveaxis(ctx.const(1).astype(np.int64), axis, 0)
    assert of_axis is not None
    rows = indices.reshape(len(indices), -1)
    if not rows.size or (rows != rows[:, :1]).any():
        raise CannotFollow("its indices pick other channels at other places")
    for other, of_other in enumerate(labels):
        if other != axis:
            ctx.freeze(of_other, "constant indices run along it")
    result: list[AxisLabels] = [None] * len(labels)
    result[axis] = picked(ctx, of_axis, rows[:, 0], axis)
    ctx.put(result)


def picked(ctx: NodeContext, labels: Labels, indices: Labels, axis: int) -> AxisLabels:
    """The labels at constant indices, which are counted anew; a single one must stay."""
    found = labels[indices]
    ctx.reindex(1, labels, axis=axis)
    if len(found) == 1:
        ctx.freeze(found, "it is picked by itself")
        return None
    return found


def gather_nd(ctx: NodeContext) -> None:
    """Data (batch, indexed, rest), indices (batch, ..., k) -> (batch, ..., rest)."""
    labels, indices = ctx.take_all(0), ctx.take_all(1)
    batch, depth = int(ctx.node.attr("batch_dims", 0)), ctx.shape(1)[-1]
    if ctx.initializer(1) is not None:
        if depth == 1 and labels[batch] is not None and ctx.rank(1) == batch + 2:
            pick_slices(ctx, labels, batch)
            return
        for of_axis in indices:
            ctx.freeze(of_axis, "constant indices")
    for of_axis in labels[batch : batch + depth]:
        ctx.freeze(of_axis, BY_POSITION)
    for of_data, of_indices in zip(labels[:batch], indices, strict=False):
        ctx.couple(of_data, of_indices)
    ctx.freeze(indices[-1], "the elements of an index")
    ctx.put([*indices[:-1], *labels[batch + depth :]])


def pick_slices(ctx: NodeContext, labels: list[AxisLabels], batch: int) -> None:
    """GatherND whose constant indices (batch, n, 1) pick channels of the axis after the batch."""
    of_axis, indices = labels[batch], np.moveaxis(ctx.const(1).astype(np.int64)[..., 0], -1, 0)
    assert of_axis is not None
    rows = indices.reshape(len(indices), -1)
    if not rows.size or (rows != rows[:, :1]).any():
        raise CannotFollow("its indices pick other channels at other places")
    for of_batch in labels[:batch]:
        ctx.freeze(of_batch, "constant indices run along it")
    ctx.put([*[None] * batch, picked(ctx, of_axis, rows[:, 0], batch), *labels[batch + 1 :]])


def scatter_elements(ctx: NodeContext) -> None:
    """Data, indices, updates -> data with the updates written along `axis`."""
    axis = ctx.axis("axis", 0, rank=ctx.rank(0))
    labels = ctx.take_all(0)
    ctx.freeze(labels[axis], "elements are written along it by position")
    for slot in (1, 2):
        for other, of_axis in enumerate(ctx.take_all(slot)):
            if other == axis:
                ctx.freeze(of_axis, "elements are written along it by position")
            else:
                equal = ctx.shape(0)[other] == ctx.shape(slot)[other]
                same_extent(ctx, labels[other], of_axis, equal=equal)
    ctx.put([None if other == axis else of_axis for other, of_axis in enumerate(labels)])


def scatter_nd(ctx: NodeContext) -> None:
    """Data (indexed, rest), indices (..., k), updates (..., rest): the rest passes through."""
    labels, updates = ctx.take_all(0), ctx.take_all(2)
    depth = ctx.shape(1)[-1]
    for of_axis in labels[:depth]:
        ctx.freeze(of_axis, "elements are written along it by position")
    leading = ctx.rank(1) - 1
    for of_updates in updates[:leading]:
        ctx.freeze(of_updates, "each row of it is written to its place")
    for of_data, of_updates in zip(labels[depth:], updates[leading:], strict=True):
        ctx.couple(of_data, of_updates)
    ctx.put([*[None] * depth, *labels[depth:]])


def tensor_scatter(ctx: NodeContext) -> None:
    """Past cache, update -> cache; only the sequence axis is written by position."""
    axis = ctx.axis("axis", -2, rank=ctx.rank(0))
    labels, updates = ctx.take_all(0), ctx.take_all(1)
    result: list[AxisLabels] = []
    for other, (of_cache, of_update) in enumerate(zip(labels, updates, strict=True)):
        if other in (0, axis):  # each sequence of the batch has a position of its own
            ctx.freeze(of_cache, "elements are written along it by position")
            ctx.freeze(of_update, "elements are written along it by position")
            result.append(None)
        else:
            ctx.couple(of_cache, of_update)
            result.append(of_cache if of_update is not None else None)
    ctx.put(result)


def one_hot(ctx: NodeContext) -> None:
    """Indices of any shape -> the same with an axis for the classes, whose number stays."""
    labels = ctx.take_all(0)
    axis = ctx.axis("axis", -1, rank=len(labels) + 1)
    ctx.put([*labels[:axis], None, *labels[axis:]])


def compress(ctx: NodeContext) -> None:
    """A condition picks along one axis; without an axis along all elements."""
    if "axis" not in ctx.node.attributes:
        raise CannotFollow("it picks from all elements in a row")
    frozen_axes(ctx, [ctx.axis(rank=ctx.rank(0))])


def reverse_sequence(ctx: NodeContext) -> None:
    rank = ctx.rank(0)
    frozen_axes(ctx, [ctx.axis("batch_axis", 1, rank=rank), ctx.axis("time_axis", 0, rank=rank)])


def last_two(ctx: NodeContext) -> None:
    """Matrices: Trilu keeps their shape."""
    frozen_axes(ctx, [ctx.rank(0) - 2, ctx.rank(0) - 1])


def determinant(ctx: NodeContext) -> None:
    labels = ctx.take_all(0)
    for of_axis in labels[-2:]:
        ctx.freeze(of_axis, "positions along the axis matter")
    ctx.put(labels[:-2])


def center_crop_pad(ctx: NodeContext) -> None:
    """Axes that are cropped or padded stay; the others pass."""
    rank = ctx.rank(0)
    axes = [a % rank for a in ctx.node.attr("axes", range(rank))]
    changed = [axis for axis in axes if ctx.labels(0)[axis] is not None]
    for axis in changed:
        ctx.freeze(ctx.take(0, axis), "it is cropped or padded about its centre")
    labels = ctx.take_all(0)
    ctx.put([None if axis in axes else of_axis for axis, of_axis in enumerate(labels)])

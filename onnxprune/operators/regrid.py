"""Labels through a Reshape: how a flat axis stays a full grid.

Input and output extents are cut into blocks of equal product. Within a block the labels of the axis that
carries channels are spread over the block's elements and read again in the output's extents:

    (64, 7, 7) -> (3136)      every label 49 times                                   flatten
    (12*64)    -> (12, 64)    index d of all 12 rows is one channel                  attention heads
    (2*32)     -> (2, 32), later (32, 2) -> (64): 32 channels of two, shuffled       channel shuffle

Where several axes could carry, equal inner indices are coupled across the outer ones (the number of
groups or heads stays); with `heads`, whole outer indices.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from onnxprune.operators.context import CannotFollow, NodeContext
from onnxprune.operators.labels import AxisLabels, Labels

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Block:
    """Input axes [a, b) and output axes [c, d) that hold the same elements."""

    inputs: range
    outputs: range


def blocks(source: Shape, target: Shape) -> Iterator[Block]:
    """The finest cut into blocks of equal product; extents of 1 join the block before them."""
    i = j = 0
    while i < len(source) or j < len(target):
        a, c = i, j
        left = right = 1
        while True:
            if left == right and (i > a or j > c) and left > 1:
                break
            if left <= right and i < len(source):
                left *= source[i]
                i += 1
            elif j < len(target):
                right *= target[j]
                j += 1
            elif i < len(source):
                left *= source[i]
                i += 1
            else:
                break
        while i < len(source) and source[i] == 1:
            i += 1
        while j < len(target) and target[j] == 1:
            j += 1
        yield Block(range(a, i), range(c, j))


def regrid(ctx: NodeContext, source: Shape, target: Shape, labels: list[AxisLabels]) -> list[AxisLabels]:
    """Labels of the output of a Reshape from `source` to `target`."""
    if np.prod(source, dtype=np.int64) != np.prod(target, dtype=np.int64) or 0 in source:
        raise CannotFollow(f"shapes {list(source)} and {list(target)} hold different numbers of elements")
    result: list[AxisLabels] = [None] * len(target)
    for block in blocks(source, target):
        carriers = [axis for axis in block.inputs if labels[axis] is not None]
        if not carriers:
            continue
        axis = choose_input(ctx, labels, carriers)
        extents = [target[j] for j in block.outputs]
        grid = spread(labels, axis, [source[i] for i in block.inputs], axis - block.inputs.start)
        outer, found = carry(ctx, grid.reshape(extents))
        result[block.outputs.start + outer] = found
    return result


def choose_input(ctx: NodeContext, labels: list[AxisLabels], carriers: list[int]) -> int:
    """The axis of a merged block that may change; the other axes are frozen."""
    if len(carriers) == 1:
        return carriers[0]
    taken = carriers[ctx.choose([labels[axis] for axis in carriers])]  # type: ignore[misc]
    for axis in carriers:
        if axis != taken:
            ctx.freeze(labels[axis], "it is merged with another axis that carries channels")
    return taken


def spread(labels: list[AxisLabels], axis: int, extents: list[int], position: int) -> Labels:
    """The labels of one axis at every element of its block."""
    of_axis = labels[axis]
    assert of_axis is not None
    shape = [1] * len(extents)
    shape[position] = extents[position]
    return np.broadcast_to(of_axis.reshape(shape), extents)


def carry(ctx: NodeContext, grid: Labels) -> tuple[int, Labels]:
    """Which output axis carries the labels, and its labels; couples what must stay a full grid."""
    wide = [axis for axis, extent in enumerate(grid.shape) if extent > 1]
    planes = {axis: np.moveaxis(grid, axis, 0).reshape(grid.shape[axis], -1) for axis in wide}
    for axis, plane in planes.items():
        if (plane == plane[:, :1]).all():  # each index has one label already
            return axis, np.ascontiguousarray(plane[:, 0])
    order = wide if ctx.options.heads else wide[::-1]
    axis = order[ctx.choose([planes[axis][:, 0] for axis in order])]
    plane = planes[axis]
    ctx.couple(np.repeat(plane[:, 0], plane.shape[1] - 1), plane[:, 1:].reshape(-1))
    return axis, np.ascontiguousarray(plane[:, 0])

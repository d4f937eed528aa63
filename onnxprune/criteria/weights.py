"""Sums over the slices of weights, one initializer at a time, in double precision.

Integers that a node dequantises count as the numbers that they stand for; other integers as they are.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from onnxprune.calibration.dequantised import Floats, dequantised, is_learned, quantisation
from onnxprune.groups import Group, Groups, Member
from onnxprune.onnx_file import Graph

Axis = tuple[str, int]  # (tensor, axis)

BLOCK = 1 << 21  # elements that are turned into double precision at once


def producers(group: Group) -> tuple[Member, ...]:
    """The weights that make the channels; where nothing does, those that use them, else all members."""
    for role in ("out", "in"):
        found = tuple(member for member in group.members if member.role == role)
        if found:
            return found
    return group.members


def slice_sums(
    graph: Graph, members: Iterable[Member], elementwise: Callable[[Floats], Floats]
) -> dict[Axis, Floats]:
    """Sum of `elementwise(w)` over each slice across an axis, for the axes of these members.

    Returns:
        (extent,) by (tensor, axis). Each initializer is read once, in blocks.
    """
    axes: dict[str, set[int]] = defaultdict(set)
    for member in members:
        axes[member.tensor].add(member.axis)
    sums: dict[Axis, Floats] = {}
    for name, wanted in axes.items():
        shape = graph.initializers[name].shape
        own = {axis: np.zeros(shape[axis]) for axis in wanted}
        for rows, block in blocks(graph, name):
            values = elementwise(block)
            for axis, total in own.items():
                part = values.sum(axis=tuple(a for a in range(len(shape)) if a != axis))
                total[rows if axis == 0 else slice(None)] += part
        sums.update({(name, axis): total for axis, total in own.items()})
    return sums


def channel_sums(members: Iterable[Member], sums: dict[Axis, Floats], count: int) -> Floats:
    """(count,) the slices of all members that each channel consists of, added up."""
    total = np.zeros(count)
    for member in members:
        total += sums[member.tensor, member.axis][member.positions].sum(axis=1)
    return total


def blocks(graph: Graph, name: str) -> Iterator[tuple[slice, Floats]]:
    """(rows, values) of an initializer along its first axis, dequantised."""
    initializer = graph.initializers[name]
    array = initializer.array()
    offset, factor = quantisation(graph, initializer)
    size = max(1, BLOCK // max(1, array[:1].size))
    for start in range(0, len(array), size):
        rows = slice(start, start + size)
        yield rows, dequantised(array[rows], (along(offset, rows), along(factor, rows)))


def along(parameter: Floats | None, rows: slice) -> Floats | None:
    """The part of a broadcastable parameter that belongs to these rows."""
    return parameter if parameter is None or len(parameter) == 1 else parameter[rows]


def learned(groups: Groups, group: Group) -> tuple[Member, ...]:
    """Members that hold weights: no statistics, no quantisation parameters, no indices."""
    return tuple(member for member in group.members if is_learned(groups.graph, member.tensor))

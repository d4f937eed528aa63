"""Sums over the slices of weights, one initializer at a time, in double precision.

Integers that a node dequantises count as the numbers that they stand for; other integers as they are.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxprune.groups import Group, Groups, Member
from onnxprune.onnx_file import Edge, Graph, Initializer
from onnxprune.operators.slots import QUANTISED, STATISTICS

Array = NDArray[Any]
Floats = NDArray[np.float64]
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
        values = array[rows].astype(np.float64)
        yield rows, (values - along(offset, rows)) * along(factor, rows)


def along(parameter: Floats, rows: slice) -> Floats:
    """The part of a broadcastable parameter that belongs to these rows."""
    return parameter[rows] if parameter.ndim and len(parameter) > 1 else parameter


def quantisation(graph: Graph, weight: Initializer) -> tuple[Floats, Floats]:
    """(zero point, scale), broadcastable to the weight; (0, 1) where nothing dequantises it."""
    for edge in graph.consumers.get(weight.name, ()):
        node = graph.nodes[edge.node]
        slots = QUANTISED.get((node.domain, node.op_type), {}).get(edge.slot)
        if slots is not None:
            zero = parameter(graph, edge, slots.zero_point)
            scale = parameter(graph, edge, slots.scale)
            axis = int(node.attr("axis", 1)) if slots.axis is None else slots.axis
            return spread(zero, 0.0, weight, axis), spread(scale, 1.0, weight, axis)
    return np.zeros(()), np.ones(())


def parameter(graph: Graph, edge: Edge, slot: int) -> Floats | None:
    """Values of a quantisation parameter beside an input; None where it is absent or computed."""
    inputs = graph.nodes[edge.node].inputs
    name = inputs[slot] if 0 <= slot < len(inputs) else ""
    constant = graph.initializers.get(name)
    return None if constant is None else constant.array().astype(np.float64)


def spread(values: Floats | None, default: float, weight: Initializer, axis: int) -> Floats:
    """A parameter per tensor, per axis or per block, shaped to broadcast to the weight."""
    if values is None:
        return np.full((), default)
    if values.size == 1:
        return values.reshape(())
    rank = len(weight.shape)
    if values.ndim == 1:
        return values.reshape([-1 if a == axis % rank else 1 for a in range(rank)])
    if values.shape[axis] in (1, weight.shape[axis]):
        return values
    size = -(-weight.shape[axis] // values.shape[axis])  # blocked: one value for `size` indices
    return np.repeat(values, size, axis=axis).take(range(weight.shape[axis]), axis=axis)


def learned(groups: Groups, group: Group) -> tuple[Member, ...]:
    """Members that hold weights: no statistics, no quantisation parameters, no indices."""
    return tuple(member for member in group.members if is_learned(groups.graph, member.tensor))


def is_learned(graph: Graph, name: str) -> bool:
    dtype = graph.initializers[name].dtype
    if dtype.kind in "bOUS" or (dtype.kind in "iu" and dtype.itemsize >= 4):
        return False
    readers = [(graph.nodes[edge.node], edge.slot) for edge in graph.consumers.get(name, ())]
    return not any(slot in describing(node.domain, node.op_type) for node, slot in readers)


def describing(domain: str, op_type: str) -> set[int]:
    """Input slots that describe data or weights and are none themselves."""
    parameters = QUANTISED.get((domain, op_type), {}).values()
    slots = {slot for q in parameters for slot in (q.scale, q.zero_point)}
    return slots | set(STATISTICS.get((domain, op_type), ()))

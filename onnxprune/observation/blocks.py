"""Weights piece by piece, in double precision.

Integers that a node dequantises count as the numbers that they stand for.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxprune.onnx_file import Graph, Initializer
from onnxprune.operators.slots import QUANTISED, STATISTICS

Floats = NDArray[np.float64]
BLOCK = 1 << 18  # elements that are turned into double precision at once: what a processor's cache holds


def blocks(
    graph: Graph, weight: Initializer, *, axis: int, pieces: list[NDArray[np.int64]]
) -> Iterator[Floats]:
    """The values at these indices of an axis, which comes first; other axes stay in order."""
    stored = np.moveaxis(weight.array(), axis, 0)
    offset, factor = (moved(p, axis) for p in quantisation(graph, weight))
    for indices in pieces:
        values = picked(stored, indices).astype(np.float64)
        if offset is not None:
            values -= picked(offset, indices)
        if factor is not None:
            values *= picked(factor, indices)
        if not np.isfinite(values.sum()):
            values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
        yield values


def picked(array: NDArray[Any], indices: NDArray[np.int64]) -> NDArray[Any]:
    """Rows of an array, without a copy where they lie together; an only row stands for all."""
    if len(array) == 1:
        return array
    first, last = int(indices[0]), int(indices[-1])
    together = last - first + 1 == len(indices) and bool((np.diff(indices) == 1).all())
    return array[first : last + 1] if together else array[indices]


def moved(parameter: Floats | None, axis: int) -> Floats | None:
    """A parameter that broadcasts to the weight, with the same axis first."""
    return None if parameter is None else np.moveaxis(parameter, axis, 0)


def quantisation(graph: Graph, weight: Initializer) -> tuple[Floats | None, Floats | None]:
    """(zero point, scale), of the weight's rank; None where nothing dequantises it."""
    for edge in graph.consumers.get(weight.name, ()):
        node = graph.nodes[edge.node]
        slots = QUANTISED.get((node.domain, node.op_type), {}).get(edge.slot)
        if slots is not None:
            axis = int(node.attr("axis", 1)) if slots.axis is None else slots.axis
            found = []
            for slot in (slots.zero_point, slots.scale):
                name = node.inputs[slot] if 0 <= slot < len(node.inputs) else ""
                constant = graph.initializers.get(name)
                found.append(None if constant is None else spread(constant.array(), weight.shape, axis))
            return found[0], found[1]
    return None, None


def spread(values: NDArray[Any], shape: tuple[int, ...], axis: int) -> Floats:
    """A parameter per tensor, per axis or per block, of the rank of a weight of this shape."""
    values = values.astype(np.float64)
    if values.size == 1:
        return values.reshape([1] * len(shape))
    if values.ndim == 1:
        return values.reshape([-1 if a == axis % len(shape) else 1 for a in range(len(shape))])
    if values.shape[axis] in (1, shape[axis]):
        return values
    size = -(-shape[axis] // values.shape[axis])  # blocked: one value for `size` indices
    return np.repeat(values, size, axis=axis).take(range(shape[axis]), axis=axis)


def is_weight(graph: Graph, name: str) -> bool:
    """Whether an initializer holds learned numbers: no statistics, no quantisation parameters, no indices."""
    if not graph.initializers[name].is_weight:
        return False
    for edge in graph.consumers.get(name, ()):
        node = graph.nodes[edge.node]
        parameters = QUANTISED.get((node.domain, node.op_type), {}).values()
        described = {slot for q in parameters for slot in (q.scale, q.zero_point)}
        if edge.slot in described | set(STATISTICS.get((node.domain, node.op_type), ())):
            return False
    return True

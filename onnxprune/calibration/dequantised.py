"""Which constants are weights, and the numbers that quantised ones stand for."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxprune.onnx_file import Graph, Initializer, Node
from onnxprune.operators.slots import QUANTISED, STATISTICS

Floats = NDArray[np.float64]
Parameters = tuple[Floats | None, Floats | None]  # zero point and scale, of the weight's rank


def quantisation(graph: Graph, weight: Initializer) -> Parameters:
    """What the node that dequantises a weight subtracts and multiplies by; None where nothing does."""
    for edge in graph.consumers.get(weight.name, ()):
        node = graph.nodes[edge.node]
        slots = QUANTISED.get((node.domain, node.op_type), {}).get(edge.slot)
        if slots is not None:
            axis = int(node.attr("axis", 1)) if slots.axis is None else slots.axis
            zero, scale = (constant(graph, node, slot) for slot in (slots.zero_point, slots.scale))
            return spread(zero, weight.shape, axis), spread(scale, weight.shape, axis)
    return None, None


def constant(graph: Graph, node: Node, slot: int) -> NDArray[Any] | None:
    """Values of an input; None where it is absent or computed."""
    name = node.inputs[slot] if 0 <= slot < len(node.inputs) else ""
    found = graph.initializers.get(name)
    return None if found is None else found.array()


def spread(values: NDArray[Any] | None, shape: tuple[int, ...], axis: int) -> Floats | None:
    """A parameter per tensor, per axis or per block, of the rank of a weight of this shape."""
    if values is None:
        return None
    values = values.astype(np.float64)
    if values.size == 1:
        return values.reshape([1] * len(shape))
    if values.ndim == 1:
        return values.reshape([-1 if a == axis % len(shape) else 1 for a in range(len(shape))])
    if values.shape[axis] in (1, shape[axis]):
        return values
    size = -(-shape[axis] // values.shape[axis])  # blocked: one value for `size` indices
    return np.repeat(values, size, axis=axis).take(range(shape[axis]), axis=axis)


def dequantised(stored: NDArray[Any], parameters: Parameters) -> Floats:
    """A copy in double precision; the parameters broadcast to it."""
    offset, factor = parameters
    values = stored.astype(np.float64)
    if offset is not None:
        values -= offset
    if factor is not None:
        values *= factor
    return values


def is_learned(graph: Graph, name: str) -> bool:
    """Whether an initializer holds learned numbers: no statistics, no quantisation parameters, no indices."""
    readers = [(graph.nodes[edge.node], edge.slot) for edge in graph.consumers.get(name, ())]
    return graph.initializers[name].is_weight and not any(
        slot in describing(node.domain, node.op_type) for node, slot in readers
    )


def describing(domain: str, op_type: str) -> set[int]:
    """Input slots that describe data or weights and are none themselves."""
    parameters = QUANTISED.get((domain, op_type), {}).values()
    slots = {slot for q in parameters for slot in (q.scale, q.zero_point)}
    return slots | set(STATISTICS.get((domain, op_type), ()))

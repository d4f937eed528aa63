"""Weights where they are stored: an initializer, perhaps behind nodes that can be undone.

w ── DequantizeLinear ── Transpose ── MatMul        read: forwards, write: backwards
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxprune.onnx_file import Graph, Initializer, Node
from onnxprune.onnx_file.patch import Patch

Array = NDArray[Any]
Step = Callable[[Array], Array]


@dataclass(frozen=True)
class Undo:
    """One node on the way: what it does, and how to get from its output to its input."""

    forward: Step
    backward: Step


@dataclass(frozen=True)
class Stored:
    """A weight as a node reads it, and the initializer that holds it."""

    source: Initializer
    way: tuple[Undo, ...]  # from the initializer on

    def read(self) -> Array:
        array = self.source.array()
        for step in self.way:
            array = step.forward(array)
        return array

    def write(self, patch: Patch, values: Array) -> bool:
        """Store values, in place; False, and nothing is changed, where its type cannot hold them."""
        array = self.encoded(values)
        if array is None:
            return False
        patch.replace(self.source.name, array)
        return True

    def encoded(self, values: Array) -> Array | None:
        """What the initializer has to hold so that values are read; None where its type cannot."""
        for step in reversed(self.way):
            values = step.backward(values)
        with np.errstate(over="ignore", invalid="ignore"):
            array = np.ascontiguousarray(values).astype(self.source.dtype).reshape(self.source.shape)
        return array if np.isfinite(array.astype(np.float64)).all() else None


def stored(graph: Graph, name: str) -> Stored | None:
    """Where a value is stored that one node alone reads; None where it is shared, or computed otherwise."""
    producers = {output: node for node in graph.nodes for output in node.outputs}
    way: list[Undo] = []
    while name not in graph.initializers:
        node = producers.get(name)
        step = UNDO[node.op_type](graph, node) if node is not None and node.op_type in UNDO else None
        if node is None or step is None or node.domain or not read_once(graph, name):
            return None
        way.insert(0, step)
        name = node.inputs[0]
    source = graph.initializers[name]
    numbers = source.dtype.kind in "fiu" or source.dtype.name == "bfloat16"
    if not numbers or not read_once(graph, name):
        return None
    if source.dtype.kind in "iu" and not way:
        return None
    return Stored(source, tuple(way))


def readable(graph: Graph, name: str) -> Stored | None:
    """A float constant or one behind nodes that can be undone, for reading: others may read it too."""
    if not name:
        return None
    found = stored(graph, name)
    if found is None and name in graph.initializers and graph.initializers[name].dtype.kind == "f":
        return Stored(graph.initializers[name], ())
    return found


def read_once(graph: Graph, name: str) -> bool:
    """Whether one slot of one node reads a value, and nothing else."""
    return len(graph.consumers[name]) == 1 and name not in {output.name for output in graph.outputs}


def identity(_graph: Graph, _node: Node) -> Undo | None:
    return Undo(lambda a: a, lambda a: a)


def cast(graph: Graph, node: Node) -> Undo | None:
    """Between floats; what is stored is rounded when it is written."""
    source = graph.initializers.get(node.inputs[0])
    if source is not None and source.dtype.kind in "iu":
        return None
    return Undo(lambda a: a.astype(np.float64), lambda a: a)


def transpose(_graph: Graph, node: Node) -> Undo | None:
    order = node.attr("perm", None)

    def backward(a: Array) -> Array:
        return a.transpose(np.argsort(order)) if order else a.transpose()

    return Undo(lambda a: a.transpose(order) if order else a.transpose(), backward)


def dequantize(graph: Graph, node: Node) -> Undo | None:
    """(q - zero point) * scale; scales stay, so that what is written is rounded to them."""
    weight, scale = graph.initializers.get(node.inputs[0]), graph.initializers.get(node.inputs[1])
    zero = graph.initializers.get(node.inputs[2]) if len(node.inputs) > 2 else None
    if weight is None or scale is None or (len(node.inputs) > 2 and node.inputs[2] and zero is None):
        return None
    if weight.dtype.kind not in "iu" or weight.bits < 8 or len(scale.shape) > 1:
        return None
    shape = [1] * len(weight.shape)
    if scale.size > 1:
        shape[int(node.attr("axis", 1))] = scale.size
    size = scale.array().astype(np.float64).reshape(shape if scale.size > 1 else ())
    offset = np.zeros(()) if zero is None else zero.array().astype(np.float64).reshape(size.shape)
    limits = np.iinfo(weight.dtype)

    def backward(a: Array) -> Array:
        found: Array = np.clip(np.rint(a / np.where(size == 0, 1, size)) + offset, limits.min, limits.max)
        return found

    return Undo(lambda a: (a.astype(np.float64) - offset) * size, backward)


UNDO: dict[str, Callable[[Graph, Node], Undo | None]] = {
    "Identity": identity,
    "Cast": cast,
    "Transpose": transpose,
    "DequantizeLinear": dequantize,
}

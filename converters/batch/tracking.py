"""What is known while a graph is walked: where the batch lies in each value, and numbers that count it.

    at = At(tracked, node)
    at.place(0)      # BatchAxis(axis=0, outer=1), or None: the same for every batch
    at.numbers(1)    # what a computed or constant vector is at each of SIZES

A value with a batch axis has, at batch n, one slice for each sample, equal to what the model gives for that
sample alone. Every rule keeps this, so that a wrong guess leads to a dead end and never to wrong numbers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np

from onnxprune.converters.batch.types import BatchAxis, Edit, Entry, LostBatch, SetInput, Step
from onnxprune.onnx_file.graph import Graph, Node
from onnxprune.onnx_file.shape_functions import COMPUTES, MOVES, Array, attempt

SIZES = (1, 5, 7)  # batches at which numbers are computed; primes, so that nothing else grows alike
SMALL = 4096  # elements; larger constants are no numbers of a shape
Shape = tuple[int, ...]


@dataclass
class Tracked:
    """Everything found so far, by value name."""

    graph: Graph
    places: dict[str, BatchAxis] = field(default_factory=dict)
    numbers: dict[str, tuple[Array, ...]] = field(default_factory=dict)  # one array for each of SIZES

    def forget(self, nodes: Sequence[Node]) -> None:
        """Drop what was found for the outputs of these nodes, in place."""
        for node in nodes:
            for name in node.outputs:
                self.places.pop(name, None)
                self.numbers.pop(name, None)

    def compute(self, node: Node) -> bool:
        """Evaluate a node that computes numbers from shapes or constants; True if it did."""
        if node.domain or len(node.outputs) != 1:
            return False
        if node.op_type in ("Shape", "Size"):
            return self._measure(node)
        if any(name in self.places for name in node.inputs):
            return False
        function = MOVES.get(node.op_type) or COMPUTES.get(node.op_type)
        if function is None:
            return False
        inputs = [self.vector(name) if name else None for name in node.inputs]
        if not inputs or any(i is None for i, name in zip(inputs, node.inputs, strict=True) if name):
            return False
        return self._keep(
            node,
            [
                attempt(node, function, [None if i is None else i[size] for i in inputs])
                for size in range(len(SIZES))
            ],
        )

    def _keep(self, node: Node, found: Sequence[Array | None]) -> bool:
        arrays = tuple(array for array in found if array is not None)
        if len(arrays) < len(SIZES) or len({a.shape for a in arrays}) > 1 or arrays[0].size > SMALL:
            return False
        self.numbers[node.outputs[0]] = arrays
        return True

    def _measure(self, node: Node) -> bool:
        name = node.inputs[0]
        place = self.places.get(name)
        if name not in self.graph.shapes:
            if place is None:
                return False
            raise LostBatch(f"node {node}: the shape of {name!r} is not known")
        shapes = [scaled(self.graph.shapes[name], place, size) for size in SIZES]
        if node.op_type == "Size":
            return self._keep(node, [np.array(prod(shape)) for shape in shapes])
        part = slice(node.attr("start", 0), node.attr("end", len(shapes[0])))
        return self._keep(node, [np.array(shape, np.int64)[part] for shape in shapes])

    def vector(self, name: str) -> tuple[Array, ...] | None:
        """A small array at each of SIZES; None where it is data."""
        if name in self.numbers:
            return self.numbers[name]
        constant = self.graph.initializers.get(name)
        if constant is None or constant.size > SMALL or constant.dtype.kind not in "iufb":
            return None
        return (constant.array(),) * len(SIZES)


def varies(arrays: Sequence[Array]) -> bool:
    return any(not np.array_equal(arrays[0], other) for other in arrays[1:])


def scaled(shape: Shape, place: BatchAxis | None, size: int) -> Shape:
    """A shape at another batch."""
    return tuple(n * size if place and axis == place.axis else n for axis, n in enumerate(shape))


@dataclass(frozen=True)
class At:
    """A node and what is known about its inputs: all that a rule sees."""

    tracked: Tracked
    node: Node
    whole: bool  # no extent but the batch is free

    def lost(self, why: str) -> LostBatch:
        return LostBatch(f"node {self.node}: {why}")

    def given(self, slot: int) -> bool:
        return slot < len(self.node.inputs) and bool(self.node.inputs[slot])

    def slots(self) -> list[int]:
        return [slot for slot, name in enumerate(self.node.inputs) if name]

    def is_read(self, index: int) -> bool:
        """Whether a node or the caller of the model reads an output."""
        name, graph = self.node.outputs[index], self.tracked.graph
        return bool(name) and (name in graph.consumers or any(o.name == name for o in graph.outputs))

    def place(self, slot: int) -> BatchAxis | None:
        """Where the batch lies in an input that is data.

        Raises:
            LostBatch: The input counts the batch: it is no data that samples have one by one.
        """
        if not self.given(slot):
            return None
        name = self.node.inputs[slot]
        if varies(self.tracked.numbers.get(name, ())):
            raise self.lost(f"{name!r} is computed from the batch and used as data")
        return self.tracked.places.get(name)

    def shape(self, slot: int) -> Shape:
        """The shape of an input at batch 1."""
        return self._shape(self.node.inputs[slot])

    def result(self, index: int = 0) -> Shape:
        """The shape of an output at batch 1."""
        return self._shape(self.node.outputs[index])

    def _shape(self, name: str) -> Shape:
        found = self.tracked.graph.shapes.get(name)
        if found is None:
            raise self.lost(f"the shape of {name!r} is not known")
        return found

    def extent(self, slot: int) -> int:
        """The extent of the batch axis of an input at batch 1."""
        return self.shape(slot)[self.need(slot).axis]

    def need(self, slot: int) -> BatchAxis:
        """The batch axis of an input that must have one."""
        place = self.place(slot)
        if place is None:
            raise self.lost(f"input {slot} has no batch and another has")
        return place

    def only(self, *slots: int) -> None:
        """Raise where an input beside these has a batch axis."""
        for slot in self.slots():
            if slot not in slots and self.place(slot) is not None:
                raise self.lost(f"input {slot} ({self.node.inputs[slot]!r}) has the batch")

    def numbers(self, slot: int) -> tuple[Array, ...] | None:
        """A vector at each of SIZES; None where the input is missing or data."""
        return self.tracked.vector(self.node.inputs[slot]) if self.given(slot) else None

    def fixed(self, slot: int) -> Array | None:
        """A vector that is the same for every batch; None where the input is missing.

        Raises:
            LostBatch: It is data, or it counts the batch.
        """
        if not self.given(slot):
            return None
        arrays = self.numbers(slot)
        if arrays is None or varies(arrays):
            raise self.lost(f"{self.node.inputs[slot]!r} is not the same for every batch")
        return arrays[0]

    def set_input(self, slot: int, entries: Sequence[Entry]) -> SetInput:
        """An edit that gives a slot other numbers.

        Raises:
            LostBatch: They were computed from extents that are free: the new ones would fix them.
        """
        if not self.whole and self.node.inputs[slot] not in self.tracked.graph.initializers:
            raise self.lost(f"{self.node.inputs[slot]!r} follows other free extents too")
        return SetInput(slot, tuple(entries))

    def integers(self, name: str, slot: int) -> list[int] | None:
        """Integers given by an attribute in old opsets and by an input in new ones; None where absent."""
        found = self.fixed(slot)
        if found is not None:
            return [int(i) for i in found.reshape(-1)]
        attribute = self.node.attr(name)
        return None if attribute is None else [int(i) for i in np.atleast_1d(attribute)]

    def axis(self, default: int, rank: int) -> int:
        return int(self.node.attr("axis", default)) % max(rank, 1)

    def everywhere(self, place: BatchAxis | None, *edits: Edit) -> list[Step]:
        """One step: the batch lies alike in every output."""
        return [Step((place,) * len(self.node.outputs), edits)]


Rule = Callable[[At], list[Step]]

"""What a rule of the channel check sees of a node: the extents of its inputs and outputs, and its numbers.

A rule yields a line for each thing that does not fit. It knows nothing of channels or groups: it states what
the ONNX specification demands of extents, so that it can find what the coupling functions got wrong.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod

import numpy as np

from onnxprune.onnx_file import Graph, Node
from onnxprune.onnx_file.host import HostValues

Shape = tuple[int, ...]
NUMBERS = 1 << 16  # elements; larger constants are no sizes or bounds


@dataclass(frozen=True)
class NodeExtents:
    """One node with the extents that are known; None stands for an absent or unknown one."""

    node: Node
    ins: tuple[Shape | None, ...]
    outs: tuple[Shape | None, ...]
    numbers: Callable[[int], list[int] | None]  # the integers of a constant input

    def given(self, slot: int) -> Shape | None:
        return self.ins[slot] if slot < len(self.ins) else None

    def out(self, index: int = 0) -> Shape | None:
        return self.outs[index] if index < len(self.outs) else None

    def known(self, *slots: int) -> list[Shape] | None:
        """These inputs, or None where one of them is not known."""
        shapes = [self.given(slot) for slot in slots]
        known = [shape for shape in shapes if shape is not None]
        return known if len(known) == len(shapes) else None

    def has(self, slot: int) -> bool:
        return slot < len(self.node.inputs) and bool(self.node.inputs[slot])

    def ints(self, name: str, slot: int) -> list[int] | None:
        """Integers that are an attribute in some opsets and an input in others; None: absent or unknown."""
        if name in self.node.attributes:
            value = self.node.attributes[name]
            return [int(v) for v in value] if isinstance(value, (list, tuple)) else [int(value)]
        return self.numbers(slot) if self.has(slot) else None


Rule = Callable[[NodeExtents], Iterator[str]]


def anything(_: NodeExtents) -> Iterator[str]:
    """Every extent fits: the operator asks for nothing."""
    yield from ()


def expect(what: str, got: object, expected: object) -> Iterator[str]:
    """A fault unless both are equal."""
    if got != expected:
        yield f"{what}: got {got}, expected {expected}"


def expect_out(node: NodeExtents, expected: Shape, index: int = 0) -> Iterator[str]:
    got = node.out(index)
    if got is not None:
        yield from expect(f"output {index}", got, expected)


def positive(axis: int, rank: int) -> int:
    return axis + rank if axis < 0 else axis


def broadcast(*shapes: Shape) -> Shape | None:
    """The common shape of operands, None where they do not fit each other."""
    rank = max((len(shape) for shape in shapes), default=0)
    columns = zip(*((1,) * (rank - len(s)) + s for s in shapes), strict=True)
    wide = [{extent for extent in column if extent != 1} for column in columns]
    return None if any(len(extents) > 1 for extents in wide) else tuple(max(e, default=1) for e in wide)


def one_way(small: Shape, into: Shape) -> bool:
    """Whether an operand broadcasts into a shape without widening it."""
    return broadcast(small, into) == into


def size(shape: Shape) -> int:
    return prod(shape)


def view_node(graph: Graph, host: HostValues, node: Node) -> NodeExtents:
    """A node with all that is known of its extents."""

    def numbers(slot: int) -> list[int] | None:
        name = node.inputs[slot]
        computed = host.value(name)
        constant = graph.initializers.get(name)
        if computed is None and (
            constant is None or constant.size > NUMBERS or constant.dtype.kind not in "iu"
        ):
            return None
        array = computed if computed is not None else constant.array() if constant is not None else None
        return None if array is None else [int(v) for v in np.asarray(array).reshape(-1)]

    return NodeExtents(
        node,
        tuple(graph.shapes.get(name) if name else None for name in node.inputs),
        tuple(graph.shapes.get(name) if name else None for name in node.outputs),
        numbers,
    )

"""Which quantised values are carried as floats, so that training passes quantisation.

    x -> QuantizeLinear -> MaxPool -> Transpose -> DequantizeLinear -> y
         `------------- carried ------------'
    weight (int8) -> Reshape -> DequantizeLinear

A value is carried if QuantizeLinear or an initializer gives it, and all that read it are DequantizeLinear
nodes or nodes that only move numbers, whose outputs are carried too. The numbers are those of the quantised
type.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from onnx import GraphProto, NodeProto

from onnxprune.converters.formats import FORMATS

DOMAINS = ("", "ai.onnx", "com.microsoft")
ALL = -1
MOVES: dict[str, tuple[int, ...]] = {  # operators that only move numbers -> inputs that they move
    **dict.fromkeys(("Concat", "Max", "Min"), (ALL,)),
    **dict.fromkeys(("Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Expand"), (0,)),
    **dict.fromkeys(("Tile", "Slice", "Split", "Gather", "GatherElements", "GatherND", "Pad"), (0,)),
    **dict.fromkeys(("MaxPool", "GlobalMaxPool", "DepthToSpace", "SpaceToDepth", "Relu"), (0,)),
    "Where": (1, 2),
}


@dataclass(frozen=True)
class Carried:
    """What is carried.

    Attributes:
        types: ONNX's element type of each carried value.
        masters: Those that come from initializers: they need rounding where they are read.
        weights: Initializers that are carried.
        zeros: Initializers that are nothing but zero points of carried values.
    """

    types: Mapping[str, int] = field(default_factory=dict)
    masters: frozenset[str] = frozenset()
    weights: frozenset[str] = frozenset()
    zeros: frozenset[str] = frozenset()

    @property
    def constants(self) -> frozenset[str]:
        return self.weights | self.zeros

    def carries(self, node: NodeProto) -> bool:
        """Whether a node makes or reads carried values."""
        return any(name in self.types for name in (*node.output, *node.input[:1]))


def carried_values(
    graphs: Sequence[GraphProto], constants: Iterable[str], types: Mapping[str, int]
) -> Carried:
    """What the graphs of a model may carry; `types` are the element types of values."""
    nodes = [node for graph in graphs for node in graph.node]
    if not any(is_quantizing(node, "DequantizeLinear") for node in nodes):
        return Carried()
    readers: dict[str, list[tuple[NodeProto, int]]] = defaultdict(list)
    for node in nodes:
        for position, name in enumerate(node.input):
            readers[name].append((node, position))
    found = candidates(nodes, constants, types)
    found -= {output.name for graph in graphs for output in graph.output}
    shrink(found, nodes, readers)
    weights = frozenset(found.intersection(constants))
    masters = set(weights)
    for node in nodes:  # in topological order
        if moved(node) and masters.intersection(moved(node)):
            masters.update(name for name in node.output if name in found)
    carried = Carried({name: types[name] for name in found}, frozenset(masters), weights)
    zeros = {
        name
        for name in constants
        if types.get(name) in FORMATS
        and readers[name]
        and all(position == 2 and carried.carries(node) for node, position in readers[name])
    }
    return Carried(carried.types, carried.masters, weights, frozenset(zeros - weights))


def candidates(nodes: Iterable[NodeProto], constants: Iterable[str], types: Mapping[str, int]) -> set[str]:
    """What QuantizeLinear, nodes that move and initializers give, of the types of quantisation."""
    made = {
        name
        for node in nodes
        if (is_quantizing(node, "QuantizeLinear") and saturates(node)) or moved(node)
        for name in node.output
    }
    return {name for name in (*made, *constants) if types.get(name) in FORMATS}


def shrink(
    found: set[str], nodes: Sequence[NodeProto], readers: Mapping[str, list[tuple[NodeProto, int]]]
) -> None:
    """Take out, in place, what is not carried at both its ends."""
    before = -1
    while before != len(found):
        before = len(found)
        for node in nodes:
            if moved(node) and not found.issuperset(moved(node)):
                found.difference_update(node.output)
        found.difference_update([name for name in found if not is_read_well(readers[name], found)])


def is_read_well(reads: Iterable[tuple[NodeProto, int]], found: set[str]) -> bool:
    """Whether all that read a value dequantise it, or move it to values that are carried."""
    found_one = False
    for node, position in reads:
        found_one = True
        if is_quantizing(node, "DequantizeLinear") and position == 0:
            continue
        moves = MOVES.get(node.op_type, ()) if node.domain in DOMAINS[:2] else ()
        if not (position in moves or ALL in moves):
            return False
        outputs = node.output if node.op_type == "Split" else node.output[:1]
        if not found.issuperset(name for name in outputs if name):
            return False
    return found_one


def is_quantizing(node: NodeProto, op_type: str) -> bool:
    return node.op_type == op_type and node.domain in DOMAINS


def saturates(node: NodeProto) -> bool:
    return all(a.i for a in node.attribute if a.name == "saturate")


def moved(node: NodeProto) -> list[str]:
    """The inputs whose numbers a node only moves; none of a node that does more."""
    moves = MOVES.get(node.op_type, ()) if node.domain in DOMAINS[:2] else ()
    return list(node.input) if ALL in moves else [node.input[i] for i in moves if i < len(node.input)]

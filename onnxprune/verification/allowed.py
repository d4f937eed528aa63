"""What pruning may change beside weights: the numbers that the operators bound to channels."""

from dataclasses import dataclass

from onnxprune.groups import Groups
from onnxprune.onnx_file import Edge


@dataclass(frozen=True)
class Allowed:
    """Places of numbers that count channels.

    Attributes:
        attributes: (key of the node, attribute name); it may also appear or vanish.
        edges: (key of the node, input slot) that may read another constant, or one where there was none.
        constants: Names of constants that may hold other numbers.
    """

    attributes: frozenset[tuple[str, str]]
    edges: frozenset[tuple[str, int]]
    constants: frozenset[str]


def allowed(groups: Groups) -> Allowed:
    """By the bindings, supplies, pins and reindexes of the analysis. Linear in their number."""
    found, nodes = groups.findings, groups.graph.nodes
    attributes = {(b.node, b.place) for b in found.bindings if isinstance(b.place, str)}
    attributes |= {(s.node, s.place) for s in found.supplies if isinstance(s.place, str)}
    attributes |= {(s.node, s.drop_attribute) for s in found.supplies if s.drop_attribute}
    attributes |= {(p.node, p.name) for p in found.pins}
    edges = {Edge(s.node, s.place) for s in found.supplies if not isinstance(s.place, str)}
    edges |= {Edge(r.node, r.slot) for r in found.reindexes}
    for binding in found.bindings:
        if not isinstance(binding.place, str):
            name = nodes[binding.node].inputs[binding.place]
            literal = groups.host.literal(Edge(binding.node, binding.place), name, binding.index)
            if literal is not None:
                edges.add(literal.edge)
    return Allowed(
        frozenset((node_key(nodes[node].outputs), str(name)) for node, name in attributes),
        frozenset((node_key(nodes[edge.node].outputs), edge.slot) for edge in edges),
        frozenset(
            nodes[edge.node].inputs[edge.slot] for edge in edges if edge.slot < len(nodes[edge.node].inputs)
        ),
    )


def node_key(outputs: tuple[str, ...]) -> str:
    """What no other node has: its first output with a name."""
    return next((name for name in outputs if name), "")

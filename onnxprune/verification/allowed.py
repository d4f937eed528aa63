"""What pruning may change beside weights: the numbers that the operators bound to channels."""

from collections.abc import Iterator
from dataclasses import dataclass

from onnxprune.groups import Groups
from onnxprune.onnx_file import Edge
from onnxprune.onnx_file.host import Computed, Literal


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
    """By the bindings, reads, supplies, pins and reindexes of the analysis. Linear in their number."""
    found, nodes = groups.findings, groups.graph.nodes
    attributes = {(b.node, b.place) for b in found.bindings if isinstance(b.place, str)}
    attributes |= {(s.node, s.place) for s in found.supplies if isinstance(s.place, str)}
    attributes |= {(s.node, s.drop_attribute) for s in found.supplies if s.drop_attribute}
    attributes |= {(p.node, p.name) for p in found.pins}
    edges = {Edge(s.node, s.place) for s in found.supplies if not isinstance(s.place, str)}
    edges |= {Edge(r.node, r.slot) for r in found.reindexes}
    edges |= set(sources(groups))
    return Allowed(
        frozenset((node_key(nodes[node].outputs), str(name)) for node, name in attributes),
        frozenset((node_key(nodes[edge.node].outputs), edge.slot) for edge in edges),
        frozenset(
            nodes[edge.node].inputs[edge.slot] for edge in edges if edge.slot < len(nodes[edge.node].inputs)
        ),
    )


def sources(groups: Groups) -> Iterator[Edge]:
    """Where the literals enter that numbers bound to channels, or computed from extents, are made of."""
    found, nodes = groups.findings, groups.graph.nodes
    bound = [Edge(b.node, b.place) for b in found.bindings if isinstance(b.place, int)]
    for edge in {*bound, *found.reads}:
        for origin in groups.host.origins(edge, nodes[edge.node].inputs[edge.slot]):
            if isinstance(origin, Literal):
                yield origin.edge
            elif isinstance(origin, Computed) and origin.scale is not None:
                yield origin.scale.edge


def node_key(outputs: tuple[str, ...]) -> str:
    """What no other node has: its first output with a name."""
    return next((name for name in outputs if name), "")

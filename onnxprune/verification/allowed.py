"""What pruning may change beside weights: the numbers that the operators bound to channels."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from onnxprune.groups import Groups
from onnxprune.groups.literals import find_numbers
from onnxprune.onnx_file import Edge
from onnxprune.onnx_file.host import Literal
from onnxprune.verification.types import Bits


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


def allowed(groups: Groups, masks: Mapping[str, Bits]) -> Allowed:
    """By the bindings, reads, supplies, pins and reindexes of the analysis. Linear in their number."""
    found, nodes = groups.findings, groups.graph.nodes
    attributes = {(b.node, b.place) for b in found.bindings if isinstance(b.place, str)}
    attributes |= {(s.node, s.place) for s in found.supplies if isinstance(s.place, str)}
    attributes |= {(s.node, s.drop_attribute) for s in found.supplies if s.drop_attribute}
    attributes |= {(p.node, p.name) for p in found.pins}
    edges = {Edge(s.node, s.place) for s in found.supplies if not isinstance(s.place, str)}
    edges |= {Edge(r.node, r.slot) for r in found.reindexes}
    every_second = {group.name: np.arange(group.channels) % 2 == 0 for group in groups.prunable}
    edges |= {literal.edge for part in (masks, every_second) for literal in changed(groups, part)}
    edges |= set(bound(groups))
    return Allowed(
        frozenset((node_key(nodes[node].outputs), str(name)) for node, name in attributes),
        frozenset((node_key(nodes[edge.node].outputs), edge.slot) for edge in edges),
        frozenset(
            nodes[edge.node].inputs[edge.slot] for edge in edges if edge.slot < len(nodes[edge.node].inputs)
        ),
    )


def changed(groups: Groups, masks: Mapping[str, Bits]) -> Iterable[Literal]:
    """The literals that take new values for a mask, those behind computed numbers included."""
    keep = groups.keep_labels(dict(masks))
    return find_numbers(groups.graph, groups.findings, groups.host, keep).literals


def bound(groups: Groups) -> Iterator[Edge]:
    """Where literals enter that count channels directly."""
    for binding in groups.findings.bindings:
        if isinstance(binding.place, int):
            name = groups.graph.nodes[binding.node].inputs[binding.place]
            literal = groups.host.literal(Edge(binding.node, binding.place), name, binding.index)
            if literal is not None:
                yield literal.edge


def node_key(outputs: tuple[str, ...]) -> str:
    """What no other node has: its first output with a name."""
    return next((name for name in outputs if name), "")

"""The pieces whose time is measured: each contraction with what follows it until the next one.

    Conv ── Add ── Relu ── Conv ── Relu ── GlobalAveragePool ── Gemm
    └── segment 0 ────┘   └── segment 1 ───────────────────┘   └ 2 ┘

A runtime fuses activations and additions into the contraction before them, so a contraction alone would
not have the time that it takes in the model. A node belongs to the last contraction that anything it reads
comes from; so segments read from earlier ones only, whatever branches the graph has. Nodes before the first
contraction, ones that compute shapes and ones of unknown shapes or with subgraphs are in no segment: what
they take is the same for all masks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from onnxprune.groups import Groups
from onnxprune.onnx_file import Graph, Node
from onnxprune.onnx_file.ordering import captures
from onnxprune.operators.labels import AxisLabels, Labels


@dataclass(frozen=True)
class Segment:
    """A contraction and the nodes that follow it.

    Attributes:
        groups: Of the whole model.
        nodes: Indices into the graph's nodes, ascending; the first is the contraction.
    """

    groups: Groups
    nodes: tuple[int, ...]

    @property
    def graph(self) -> Graph:
        return self.groups.graph

    @property
    def members(self) -> list[Node]:
        return [self.graph.nodes[index] for index in self.nodes]

    @property
    def name(self) -> str:
        return self.members[0].name

    @cached_property
    def read(self) -> tuple[str, ...]:
        """Values from elsewhere that are no constants, in the order of reading."""
        made = {name for node in self.members for name in node.outputs}
        known = made | self.graph.initializers.keys()
        read = (name for node in self.members for name in node.inputs if name and name not in known)
        return tuple(dict.fromkeys(read))

    @cached_property
    def given(self) -> tuple[str, ...]:
        """Values that others read, or nobody."""
        own, ends = set(self.nodes), {value.name for value in self.graph.outputs}
        return tuple(
            name
            for node in self.members
            for name in node.outputs
            if name and (name in ends or not {edge.node for edge in self.graph.consumers[name]} <= own)
        ) or tuple(name for name in self.members[-1].outputs if name)

    def consumed(self) -> Labels:
        """Labels of the axes that the contraction sums over."""
        facts = self.groups.findings.store.consumed
        return joined(fact.labels for fact in facts if fact.reason == self.name)

    def touched(self) -> Labels:
        """Labels of all axes of all values and constants in it."""
        names = dict.fromkeys(name for node in self.members for name in (*node.inputs, *node.outputs) if name)
        return joined(axis for name in names for axis in self.groups.axis_labels(name))


def joined(parts: Iterator[AxisLabels]) -> Labels:
    return np.concatenate([np.zeros(0, np.int64), *(labels for labels in parts if labels is not None)])


def find_segments(groups: Groups) -> list[Segment]:
    """All segments of a model, in the order of their contractions."""
    heads = {term.node for term in groups.findings.macs}
    owners: dict[str, int] = {}  # value -> contraction
    nodes: dict[int, list[int]] = {}
    for node in groups.graph.nodes:
        if not can_stand_alone(groups, node):
            continue
        behind = [owners[name] for name in node.inputs if name in owners]
        owner = node.index if node.name in heads else max(behind, default=None)
        if owner is not None:
            owners.update(dict.fromkeys(node.outputs, owner))
            nodes.setdefault(owner, []).append(node.index)
    return [Segment(groups, tuple(indices)) for indices in nodes.values()]


def can_stand_alone(groups: Groups, node: Node) -> bool:
    """Whether a node can be run apart from the model: everything it reads is known, but for its values."""
    graph, known = groups.graph, groups.host.found
    if captures(node.proto) or any(name in known for name in node.outputs):
        return False
    read = [name for name in node.inputs if name and name not in graph.initializers]
    return all(name in known or (name in graph.shapes and name in graph.types) for name in read)

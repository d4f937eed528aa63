"""Which node makes a channel, and which reads it."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from onnxprune.calibration.dequantised import Floats
from onnxprune.observation.rows import ChannelRows, Rows
from onnxprune.observation.types import Edges, merged
from onnxprune.observation.vertices import Vertices
from onnxprune.observation.weights import Slices
from onnxprune.operators.labels import Fact, Labels


@dataclass(frozen=True)
class Relations:
    """Edges from channels to nodes; `weight` is the norm of the slice, 1 for the usual slice of that node.

    Where nothing contracts into a channel (a table of embeddings), its maker is the first node that has it.
    """

    made_by: Edges
    read_by: Edges


class Norms:
    """Norms of the slices of the weights that nodes read, by channel."""

    def __init__(self, rows: ChannelRows, slices: Slices) -> None:
        self.rows, self.slices = rows, slices

    def beside(self, inputs: tuple[str, ...], wanted: Rows, facts: set[int]) -> Floats:
        """(wanted,) relative norms of the slices of the weight among these inputs; ones where there is none.

        The weight is the first input with an axis that holds all these rows, an axis that the node's own
        `facts` name before others, a matrix before a vector.
        """
        axes = [
            (id(labels) not in facts, len(self.rows.groups.axis_labels(name)) < 2, place, labels)
            for place, name in enumerate(inputs)
            for labels in self.rows.groups.axis_labels(name)
            if labels is not None and self.slices.known[labels].any() and self.rows.carries(labels)
        ]
        for _, _, _, labels in sorted(axes, key=lambda axis: axis[:3]):
            if np.isin(wanted, self.rows.of_label[labels]).all():
                return relative(np.sqrt(self.rows.total(labels, self.slices.squared[labels], wanted)))
        return np.ones(len(wanted))


def relative(norms: Floats) -> Floats:
    """Norms as multiples of their root mean square, bounded away from 0."""
    usual = float(np.sqrt(np.mean(np.square(norms)))) if len(norms) else 0.0
    if not usual > 0 or not np.isfinite(usual):
        return np.ones(len(norms))
    return np.maximum(norms / usual, SMALLEST)


SMALLEST = 1e-6  # of what is usual: a slice of zeros is still read


def find_relations(rows: ChannelRows, vertices: Vertices, slices: Slices) -> Relations:
    """Both relations of every channel, linear in the sites."""
    store, norms = rows.groups.findings.store, Norms(rows, slices)
    made = Found.of(norms, vertices, by_node(store.produced, vertices), store.produced)
    made.put_orphans(len(rows))
    cuts: dict[int, list[Labels]] = defaultdict(list)
    for cut in rows.groups.findings.cuts:
        if cut.edge.node in vertices.of_node:
            cuts[vertices.of_node[cut.edge.node]].append(cut.labels)
    read = Found.of(norms, vertices, cuts, store.consumed)
    return Relations(made.edges(), read.edges())


def by_node(facts: list[Fact], vertices: Vertices) -> dict[int, list[Labels]]:
    found: dict[int, list[Labels]] = defaultdict(list)
    for fact in facts:
        if fact.reason in vertices.of_name:
            found[vertices.of_name[fact.reason]].append(fact.labels)
    return found


@dataclass
class Found:
    """Edges of one relation as they are found."""

    norms: Norms
    vertices: Vertices
    rows: list[Rows]
    targets: list[Rows]
    weights: list[Floats]

    @staticmethod
    def of(norms: Norms, vertices: Vertices, labels: dict[int, list[Labels]], facts: list[Fact]) -> "Found":
        """From the labels that each vertex makes or reads, and the facts that state the same of weights."""
        found = Found(norms, vertices, [], [], [])
        stated: dict[str, set[int]] = defaultdict(set)
        for fact in facts:
            stated[fact.reason].add(id(fact.labels))
        for vertex, arrays in labels.items():
            node = vertices.nodes[vertex]
            for own in arrays:
                wanted = norms.rows.rows(own)
                if len(wanted):
                    found.put(vertex, wanted, norms.beside(node.inputs, wanted, stated[node.name]))
        return found

    def put(self, vertex: int, wanted: Rows, weights: Floats) -> None:
        self.rows.append(wanted)
        self.targets.append(np.full(len(wanted), vertex))
        self.weights.append(weights)

    def put_orphans(self, count: int) -> None:
        """An edge to the first node that has it for every channel without any, in place."""
        left = np.ones(count, bool)
        for wanted in self.rows:
            left[wanted] = False
        rows, seen = self.norms.rows, set[int]()
        for vertex, labels in self.outputs() if left.any() else ():
            if id(labels) not in seen:
                seen.add(id(labels))
                wanted = rows.rows(labels)
                wanted = wanted[left[wanted]]
                left[wanted] = False
                if len(wanted):
                    inputs = self.vertices.nodes[vertex].inputs
                    self.put(vertex, wanted, self.norms.beside(inputs, wanted, set()))

    def outputs(self) -> Iterator[tuple[int, Labels]]:
        """(vertex, labels) of every axis of what vertices make."""
        for vertex, node in enumerate(self.vertices.nodes):
            for output in filter(None, node.outputs):
                for labels in self.norms.rows.groups.axis_labels(output):
                    if labels is not None and self.norms.rows.carries(labels):
                        yield vertex, labels

    def edges(self) -> Edges:
        none: Rows = np.zeros(0, np.int64)
        weights = np.concatenate([np.zeros(0), *self.weights])
        return merged(np.concatenate([none, *self.rows]), np.concatenate([none, *self.targets]), weights)

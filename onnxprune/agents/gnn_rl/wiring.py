"""The model as a graph of feature maps, and its counts as functions of what is kept.

A map for what each vertex of the observation makes, and one for what the model is given: its single source.
An operation that reads several maps is an edge from each of them to the map that it makes.

    source --conv1--> map 1 --relu--> map 2 --add--> map 4
                        '------------add--------------^
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onnxprune.groups import Groups
from onnxprune.observation import ObservationGraph
from onnxprune.onnx_file import Node
from onnxprune.operators.findings import MacTerm
from onnxprune.operators.labels import Labels

Counts = NDArray[np.int64]
SOURCE = 0  # number of the map that the model is given


@dataclass(frozen=True)
class Extents:
    """Channels as linear functions of what the G prunable groups keep: (n, G) and (n,)."""

    of_group: Tensor
    fixed: Tensor

    def __call__(self, kept: Tensor) -> Tensor:
        """(B, G) kept counts -> (B, n)."""
        return kept @ self.of_group.T + self.fixed

    @staticmethod
    def of(rows: list[Counts], groups: Groups) -> "Extents":
        """From the indices of each axis in each group, and in none (last)."""
        table = np.array(rows, np.float32).reshape(-1, len(groups) + 1)
        free = np.array([group.frozen is None for group in groups] + [False], bool)
        channels = np.array([group.channels for group in groups.prunable], np.float32)
        widths = table[:, free] / channels
        return Extents(torch.from_numpy(widths), torch.from_numpy(table[:, ~free].sum(1)))


@dataclass(frozen=True)
class Wiring:
    """V operations, O of them contractions, between V + 1 maps.

    Attributes:
        features: (V, F) of the operations, as observed.
        family: (V,) of operators.
        contractions: (O,) the operations that contract.
        grouped: (O,) whose channels do not mix.
        inputs: Channels that each contraction sums over (O).
        outputs: Channels of what each operation makes (V); 1 where it makes none.
        edges: (2, E) from map to map.
        operation: (E,) of each edge.
        degree: (V + 1,) edges into each map, itself included.
        channels: (G,) of the prunable groups.
    """

    features: Tensor
    family: Tensor
    contractions: Tensor
    grouped: Tensor
    inputs: Extents
    outputs: Extents
    edges: Tensor
    operation: Tensor
    degree: Tensor
    channels: Tensor


def wiring_of(observation: ObservationGraph, groups: Groups, families: int) -> Wiring:
    """The graph of an observation; its first features tell the family of each operation."""
    nodes = {node.name: node for node in groups.graph.nodes}
    vertices = [nodes[name] for name in observation.node_names]
    terms = {term.node: term for term in reversed(groups.findings.macs)}  # of several the first
    places = [place for place, node in enumerate(vertices) if node.name in terms]
    contracting = [vertices[place] for place in places]
    cuts: dict[int, Labels] = {cut.edge.node: cut.labels for cut in reversed(groups.findings.cuts)}
    read = [summed(groups, node, terms[node.name], cuts.get(node.index)) for node in contracting]
    edges = edges_of(observation)
    return Wiring(
        torch.from_numpy(observation.nodes),
        torch.from_numpy(observation.nodes[:, :families].argmax(1)),
        torch.tensor(places, dtype=torch.long),
        torch.tensor([int(node.attr("group", 1)) > 1 for node in contracting], dtype=torch.bool),
        Extents.of(read, groups),
        Extents.of([made(groups, node) for node in vertices], groups),
        edges,
        edges[1] - 1,
        1.0 + torch.bincount(edges[1], minlength=len(vertices) + 1),
        torch.tensor([group.channels for group in groups.prunable], dtype=torch.float32),
    )


def edges_of(observation: ObservationGraph) -> Tensor:
    """(2, E) maps that each operation reads and makes; what reads nothing observed reads the source."""
    flows = observation.edges["node", "flows_to", "node"].index
    begins = np.setdiff1d(np.arange(len(observation.nodes)), flows[1])
    first = np.stack([np.full(len(begins), SOURCE), begins + 1])
    return torch.from_numpy(np.concatenate([first, flows + 1], 1))


def summed(groups: Groups, node: Node, term: MacTerm, labels: Labels | None) -> Counts:
    """(G + 1,) indices of the axis that a contraction sums over, by group.

    Where nothing on it can be pruned: the first axis of its product that its output lacks.
    """
    if labels is not None:
        return groups.group_counts(labels)
    row = np.zeros(len(groups) + 1, np.int64)
    for axis in term.axes:
        if not isinstance(axis, tuple):
            return groups.group_counts(axis)
        if axis[0] not in node.outputs:
            row[-1] = groups.graph.shapes[axis[0]][axis[1]]
            return row
    row[-1] = 1
    return row


def made(groups: Groups, node: Node) -> Counts:
    """(G + 1,) indices of the widest axis of channels that a node makes, by group; 1 where there is none."""
    rows = [
        groups.group_counts(labels)
        for output in filter(None, node.outputs)
        for labels in groups.axis_labels(output)
        if labels is not None
    ]
    none = np.zeros(len(groups) + 1, np.int64)
    none[-1] = 1
    return max((row for row in rows if row[:-1].any()), key=lambda row: int(row.sum()), default=none)

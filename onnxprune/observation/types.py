"""The graph of vertices, features and edges that a policy reads."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EdgeKind = tuple[str, str, str]  # (source kind, relation, target kind)
MADE_BY: EdgeKind = ("channel", "made_by", "node")
READ_BY: EdgeKind = ("channel", "read_by", "node")
FLOWS_TO: EdgeKind = ("node", "flows_to", "node")
PARTNER: EdgeKind = ("channel", "partner", "channel")

# The same edges seen from the other end.
REVERSED: dict[EdgeKind, EdgeKind] = {
    MADE_BY: ("node", "makes", "channel"),
    READ_BY: ("node", "reads", "channel"),
    FLOWS_TO: ("node", "flows_from", "node"),
    PARTNER: ("channel", "partner_of", "channel"),
}


@dataclass(frozen=True)
class Edges:
    """Edges of one kind, sorted by source, then by target; none twice.

    Attributes:
        index: (2, E) sources and targets.
        weight: (E,) above 0; 1 is usual.
    """

    index: NDArray[np.int64]
    weight: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.weight)

    def reversed(self) -> "Edges":
        """Each edge from its target to its source."""
        order = np.lexsort((self.index[0], self.index[1]))
        return Edges(self.index[::-1, order].copy(), self.weight[order])


@dataclass(frozen=True)
class ObservationGraph:
    """Channels and nodes of a model as vertices; all numbers are finite.

    Attributes:
        channels: (C, Fc) features of the channels of all prunable groups, in the order of ChannelOrder.
        channel_features: (Fc,) their names; the same for every model, but for criteria of other names.
        nodes: (V, Fn) features of the nodes that are vertices, in the order of the graph.
        node_features: (Fn,) their names; the same for every model.
        node_names: (V,)
        group_of: (C,) index of each channel's group in `group_names`.
        group_names: Of the prunable groups.
        edges: By kind; every kind is there, perhaps with no edges.
    """

    channels: NDArray[np.float32]
    channel_features: tuple[str, ...]
    nodes: NDArray[np.float32]
    node_features: tuple[str, ...]
    node_names: tuple[str, ...]
    group_of: NDArray[np.int64]
    group_names: tuple[str, ...]
    edges: dict[EdgeKind, Edges]

    def reversed_edges(self) -> dict[EdgeKind, Edges]:
        """All edges, and beside each kind the same edges from target to source."""
        return self.edges | {REVERSED[kind]: edges.reversed() for kind, edges in self.edges.items()}


def merged(sources: NDArray[np.int64], targets: NDArray[np.int64], weights: NDArray[np.float64]) -> Edges:
    """Edges in order; of those that are there several times, the one of the largest weight."""
    pairs = sources * (int(targets.max(initial=0)) + 1) + targets
    order = np.lexsort((-weights, pairs))
    first = np.ones(len(order), bool)
    first[1:] = np.diff(pairs[order]) > 0
    chosen = order[first]
    return Edges(np.stack([sources[chosen], targets[chosen]]), weights[chosen].astype(np.float32))

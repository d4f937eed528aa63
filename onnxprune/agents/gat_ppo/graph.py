"""The observation as PyG data, and as the one graph that attention runs on."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from onnxprune.observation import ObservationGraph


def hetero_data(observation: ObservationGraph) -> HeteroData:
    """Vertices by kind and typed edges, each way; `edge_attr` (E, 1) is the weight of an edge."""
    data = HeteroData()
    data["channel"].x = torch.from_numpy(observation.channels)
    data["channel"].group = torch.from_numpy(observation.group_of)
    data["node"].x = torch.from_numpy(observation.nodes)
    for kind, edges in observation.reversed_edges().items():
        data[kind].edge_index = torch.from_numpy(np.ascontiguousarray(edges.index))
        data[kind].edge_attr = torch.from_numpy(np.ascontiguousarray(edges.weight)).reshape(-1, 1)
    return data


@dataclass(frozen=True)
class Wiring:
    """All vertices in one row, channels first, with typed edges.

    Attributes:
        channels: (C, Fc) features.
        nodes: (V, Fn) features.
        group_of: (C,) index of each channel's group.
        producer: (C,) vertex of the first node that makes each channel; its own where there is none.
        edge_index: (2, E).
        edge_attr: (E, 2 * relations + 1): which relation, which way, and the weight.
    """

    channels: Tensor
    nodes: Tensor
    group_of: Tensor
    producer: Tensor
    edge_index: Tensor
    edge_attr: Tensor

    @property
    def groups(self) -> int:
        return int(self.group_of.max()) + 1

    @property
    def vertices(self) -> int:
        return len(self.channels) + len(self.nodes)


def wiring_of(data: HeteroData) -> Wiring:
    """The typed graph with its kinds of vertices in one row."""
    first = {"channel": 0, "node": len(data["channel"].x)}
    kinds = len(data.edge_types)
    indices, attributes = [], []
    for number, relation in enumerate(sorted(data.edge_types)):
        store = data[relation]
        source, _, target = relation
        indices.append(store.edge_index + torch.tensor([[first[source]], [first[target]]]))
        attribute = torch.zeros(store.edge_index.shape[1], kinds + 1)
        attribute[:, number], attribute[:, kinds] = 1, store.edge_attr[:, 0]
        attributes.append(attribute)
    producer = torch.arange(first["node"])
    made = data["channel", "made_by", "node"].edge_index.flip(1)  # of several the first is written last
    producer[made[0]] = made[1] + first["node"]
    return Wiring(
        data["channel"].x, data["node"].x, data["channel"].group, producer,
        torch.cat(indices, 1), torch.cat(attributes),
    )  # fmt: skip

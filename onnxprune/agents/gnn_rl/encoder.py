"""Level 2: the whole graph, with the operations as edges.

A map hears from those that the operation which makes it reads, and from itself (e = 1), as one layer:

    h_i = tanh(sum over j -> i and j = i of  Lin(x_j * e_ij) / sqrt(d_i d_j))

e_ij is the embedding of level 1 where the operation contracts, else what the features say of it. The state is
tanh(Linear(mean of all h_i)).
"""

import torch
from torch import Tensor, nn

from onnxprune.agents.gnn_rl.features import MeasuredFeatures, RandomFeatures
from onnxprune.agents.gnn_rl.paths import EMBEDDING, HIDDEN, Paths
from onnxprune.agents.gnn_rl.wiring import Wiring


class Encoder(nn.Module):
    """Both levels: kept counts (B, G) -> states (B, 50)."""

    def __init__(self, features: RandomFeatures | MeasuredFeatures, *, dropout: float) -> None:
        super().__init__()
        self.features, self.dropout = features, dropout
        self.paths = Paths(features.size)
        self.message = nn.Linear(EMBEDDING, HIDDEN)
        self.state = nn.Linear(HIDDEN, HIDDEN)

    def forward(self, kept: Tensor, wiring: Wiring, generator: torch.Generator) -> Tensor:
        """The generator draws what is dropped; in evaluation nothing is."""
        seen = self.features(kept, wiring)
        states = len(kept)
        roles = seen.roles.expand(states, -1, -1, -1)
        operations = seen.edges.expand(states, -1, -1).clone()  # (B, V, 20)
        operations[:, wiring.contractions] = self.paths(roles, wiring.inputs(kept), wiring)
        hidden = torch.tanh(convolve(seen.maps.expand(states, -1, -1), operations, self.message, wiring))
        if self.dropout and self.training:
            stay = torch.rand(hidden.shape, generator=generator) >= self.dropout
            hidden = hidden * stay / (1 - self.dropout)
        return torch.tanh(self.state(hidden.mean(1)))


def convolve(maps: Tensor, operations: Tensor, message: nn.Linear, wiring: Wiring) -> Tensor:
    """(B, V + 1, 20) maps, (B, V, 20) operations -> (B, V + 1, 50)."""
    source, target = wiring.edges
    scale = wiring.degree.rsqrt()
    along = message(maps[:, source] * operations[:, wiring.operation])  # (B, E, 50)
    own = message(maps) / wiring.degree[:, None]
    return own.index_add(1, target, along * (scale[source] * scale[target])[:, None])

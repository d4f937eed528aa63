"""From an observation graph to a vector for every channel: graph attention, or each channel by itself."""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.nn import GATv2Conv

from onnxprune.agents.gat_ppo.graph import Wiring

KINDS = 2  # of vertices: channels and nodes


class Encoder(nn.Module):
    """Features of channels and nodes -> (C + V, hidden).

    GATv2 rather than GAT, whose attention ranks neighbours alike for every query (Brody et al., ICLR 2022);
    no dropout, under which the probabilities of a batch would change before any update.
    """

    def __init__(self, sizes: tuple[int, int], edges: int, *, hidden: int, heads: int, layers: int) -> None:
        super().__init__()
        self.channel, self.node = nn.Linear(sizes[0], hidden), nn.Linear(sizes[1], hidden)
        self.layers = nn.ModuleList(
            GATv2Conv(hidden, hidden // heads, heads, edge_dim=edges, add_self_loops=True, fill_value=0.0)
            for _ in range(layers)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(layers))

    def forward(self, channels: Tensor, nodes: Tensor, wiring: Wiring) -> Tensor:
        """(B, C, Fc), (B, V, Fn) -> (B, C + V, hidden): B states of one graph."""
        h = torch.cat([self.channel(channels), self.node(nodes)], 1)
        copies, vertices, width = h.shape
        index, attributes = repeated(wiring, copies, vertices)
        flat = h.reshape(-1, width)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            flat = norm(flat + functional.elu(layer(flat, index, attributes)))
        return flat.reshape(copies, vertices, width)


class Separate(nn.Module):
    """The same without messages: a perceptron for channels and one for nodes."""

    def __init__(self, sizes: tuple[int, int], *, hidden: int, layers: int) -> None:
        super().__init__()
        self.channel, self.node = perceptron(sizes[0], hidden, layers), perceptron(sizes[1], hidden, layers)

    def forward(self, channels: Tensor, nodes: Tensor, _wiring: Wiring) -> Tensor:
        """(B, C, Fc), (B, V, Fn) -> (B, C + V, hidden)."""
        return torch.cat([self.channel(channels), self.node(nodes)], 1)


def perceptron(size: int, hidden: int, layers: int) -> nn.Sequential:
    parts: list[nn.Module] = [nn.Linear(size, hidden)]
    for _ in range(layers):
        parts += [nn.ELU(), nn.Linear(hidden, hidden)]
    return nn.Sequential(*parts, nn.LayerNorm(hidden))


def repeated(wiring: Wiring, copies: int, vertices: int) -> tuple[Tensor, Tensor]:
    """Edges of so many copies of the graph side by side."""
    if copies == 1:
        return wiring.edge_index, wiring.edge_attr
    shift = (torch.arange(copies, device=wiring.edge_index.device) * vertices).repeat_interleave(
        wiring.edge_index.shape[1]
    )
    return wiring.edge_index.repeat(1, copies) + shift, wiring.edge_attr.repeat(copies, 1)

"""From the graph to a state before every step: graph convolutions, their mean, an LSTM over the groups."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from onnxprune.agents.agmc.graph import KINDS, MapGraph

Recall = tuple[Tensor, Tensor]  # of an LSTM, (1, N, d) each


@dataclass(frozen=True)
class Wired:
    """The graph as tensors: features (V, F), edges (2, E), kinds (E,), makers (G, V)."""

    features: Tensor
    edges: Tensor
    kinds: Tensor
    makers: Tensor

    @staticmethod
    def of(graph: MapGraph, *, both_ways: bool) -> "Wired":
        """With `both_ways`, edges also lead from targets to sources, as kinds of their own."""
        edges, kinds = torch.from_numpy(graph.edges), torch.from_numpy(graph.kinds)
        if both_ways:
            edges, kinds = torch.cat([edges, edges.flip(0)], 1), torch.cat([kinds, kinds + KINDS])
        return Wired(torch.from_numpy(graph.features), edges, kinds, torch.from_numpy(graph.makers))


class Convolution(nn.Module):
    """h_i = sum over neighbours j of (W h_j) / c_i, c_i their number (AGMC, equation 1).

    With `typed`, h_i = V h_i + sum of (W h_j + t_k) / c_i, t_k a vector for the kind of each edge: else what
    an edge is makes no difference, and neither what a vertex itself was.
    """

    def __init__(self, inputs: int, outputs: int, *, typed: bool) -> None:
        super().__init__()
        self.neighbours = nn.Linear(inputs, outputs, bias=False)
        self.own = nn.Linear(inputs, outputs) if typed else None
        self.of_kind = nn.Embedding(2 * KINDS, outputs) if typed else None

    def forward(self, h: Tensor, wired: Wired) -> Tensor:
        sources, targets = wired.edges
        messages = self.neighbours(h)[sources]  # (E, outputs)
        if self.of_kind is not None:
            messages = messages + self.of_kind(wired.kinds)
        count = torch.bincount(targets, minlength=len(h)).clamp(min=1)
        mean = torch.zeros(len(h), messages.shape[1]).index_add(0, targets, messages) / count[:, None]
        return mean if self.own is None else mean + self.own(h)


class Encoder(nn.Module):
    """A graph -> a vector for every vertex (V, d)."""

    def __init__(self, features: int, width: int, embedding: int, *, layers: int, typed: bool) -> None:
        super().__init__()
        sizes = [features, *[width] * (layers - 1), embedding]
        pairs = pairwise(sizes)
        self.layers = nn.ModuleList(Convolution(i, o, typed=typed) for i, o in pairs)

    def forward(self, wired: Wired) -> Tensor:
        h = wired.features
        for number, layer in enumerate(self.layers):
            h = layer(h if not number else torch.relu(h), wired)
        return h


class Decoder(nn.Module):
    """Remembers the whole episode: s_t = LSTM(s_{t-1}, [e_t, a_{t-1}]), which begins with the graph.

    The paper's s_t = LSTM(s_{t-1}, a_{t-1}) can tell the group whose turn it is by counting alone. Here it
    is told: e_t is the mean of the maps in which the group is made.
    """

    def __init__(self, embedding: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(embedding + 1, embedding, batch_first=True)

    def begin(self, vertices: Tensor, count: int) -> Recall:
        """What is remembered at first: the mean of the vertices (V, d), so many times."""
        graph = vertices.mean(0).expand(1, count, -1).contiguous()
        return graph, torch.zeros_like(graph)

    def forward(self, groups: Tensor, previous: Tensor, recall: Recall) -> tuple[Tensor, Recall]:
        """States (N, T, d), and what is remembered after them.

        Args:
            groups: (T, d) those whose turn it is.
            previous: (N, T) the actions before.
            recall: Before the first.
        """
        told = groups.expand(len(previous), -1, -1)
        return self.lstm(torch.cat([told, previous[..., None]], 2), recall)


class StepDecoder(nn.Module):
    """Remembers its last state alone: s_t = relu(W [LSTM(s_{t-1}), a_{t-1}]), the LSTM's own memory empty.

    So do the authors of AGMC in their code. The interface is that of `Decoder`; groups are not looked at.
    """

    def __init__(self, embedding: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(embedding, embedding, batch_first=True)
        self.joined = nn.Linear(embedding + 1, embedding)

    def begin(self, vertices: Tensor, count: int) -> Recall:
        graph = vertices.mean(0).expand(1, count, -1).contiguous()
        return graph, torch.zeros_like(graph)

    def forward(self, _groups: Tensor, previous: Tensor, recall: Recall) -> tuple[Tensor, Recall]:
        state, empty = recall
        states = []
        for action in previous.T:  # (N,)
            out, _ = self.lstm(state.transpose(0, 1))
            state = torch.relu(self.joined(torch.cat([out[:, 0], action[:, None]], 1)))[None]
            states.append(state[0])
        return torch.stack(states, 1), (state, empty)

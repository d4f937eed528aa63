"""What is told of maps and operations: measured, or drawn at random as published."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from onnxprune.agents.gnn_rl.paths import EMBEDDING, ROLES
from onnxprune.agents.gnn_rl.wiring import Wiring

DYNAMIC = 2  # features of an operation that change in an episode


@dataclass(frozen=True)
class Seen:
    """What both levels read, of B states; a first axis of 1 stands for all states.

    Attributes:
        roles: (B, O, 4, size) vertices of the graphs of level 1.
        maps: (B, V + 1, 20) maps.
        edges: (B, V, 20) operations, where they do not contract.
    """

    roles: Tensor
    maps: Tensor
    edges: Tensor


class RandomFeatures(nn.Module):
    """Random vectors, drawn once: of each role of each contraction, of each map, of each family of operators.

    They are no weights: they do not learn. The paths of one contraction share theirs, as nothing tells them
    apart but chance.
    """

    size = EMBEDDING
    roles: Tensor
    maps: Tensor
    edges: Tensor

    def __init__(self, wiring: Wiring, families: int, generator: torch.Generator) -> None:
        super().__init__()
        operations, contractions = len(wiring.features), len(wiring.contractions)
        shapes = {
            "roles": (1, contractions, len(ROLES), EMBEDDING),
            "maps": (1, operations + 1, EMBEDDING),
            "edges": (1, families, EMBEDDING),
        }
        for name, shape in shapes.items():
            self.register_buffer(name, torch.randn(shape, generator=generator))

    def forward(self, _kept: Tensor, wiring: Wiring) -> Seen:
        """The same for all states (B, G)."""
        return Seen(self.roles, self.maps, self.edges[:, wiring.family])


class MeasuredFeatures(nn.Module):
    """The observation's features of each operation, and how much is left of what it reads and makes.

    They fit every model, and so do the weights that learn from them.
    """

    def __init__(self, observed: int) -> None:
        super().__init__()
        size = observed + DYNAMIC
        self.size = size + len(ROLES)
        self.maps = nn.Linear(size, EMBEDDING)
        self.edges = nn.Linear(size, EMBEDDING)

    def forward(self, kept: Tensor, wiring: Wiring) -> Seen:
        """Kept counts (B, G)."""
        told = operations(kept, wiring)  # (B, V, F + 2)
        source = torch.zeros_like(told[:, :1])
        of_contractions = told[:, wiring.contractions, None].expand(-1, -1, len(ROLES), -1)
        which = torch.eye(len(ROLES)).expand(*of_contractions.shape[:2], -1, -1)
        return Seen(
            torch.cat([of_contractions, which], 3),
            self.maps(torch.cat([source, told], 1)),
            self.edges(told),
        )


def operations(kept: Tensor, wiring: Wiring) -> Tensor:
    """(B, G) kept counts -> (B, V, F + 2): as observed, and log2 of the kept shares of inputs and outputs."""
    states = len(kept)
    read = torch.zeros(states, len(wiring.features))
    read[:, wiring.contractions] = log_shares(wiring.inputs(kept), wiring.inputs(wiring.channels[None]))
    made = log_shares(wiring.outputs(kept), wiring.outputs(wiring.channels[None]))
    return torch.cat([wiring.features.expand(states, -1, -1), torch.stack([read, made], 2)], 2)


def log_shares(kept: Tensor, whole: Tensor) -> Tensor:
    return (kept.clamp(min=1) / whole.clamp(min=1)).log2()

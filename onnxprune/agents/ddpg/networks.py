"""Actor and critic of AMC and AGMC: two hidden layers of 300."""

import torch
from torch import Tensor, nn


class Actor(nn.Module):
    """State (N, S) -> action (N,) in (0, 1).

    Two layers with rectifiers and one with a sigmoid (He et al., AMC, ECCV 2018, section 3.2).
    """

    def __init__(self, state: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(state, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 1),
            nn.Sigmoid(),
        )

    def forward(self, state: Tensor) -> Tensor:
        return self.layers(state)[:, 0]


class Critic(nn.Module):
    """State (N, S) and action (N,) -> their value (N,): a first layer each, summed, then two more."""

    def __init__(self, state: int, hidden: int) -> None:
        super().__init__()
        self.of_state = nn.Linear(state, hidden)
        self.of_action = nn.Linear(1, hidden)
        self.inner = nn.Linear(hidden, hidden)
        self.value = nn.Linear(hidden, 1)

    def forward(self, state: Tensor, action: Tensor) -> Tensor:
        first = torch.relu(self.of_state(state) + self.of_action(action[:, None]))
        return self.value(torch.relu(self.inner(first)))[:, 0]


@torch.no_grad()
def follow(target: nn.Module, source: nn.Module, rate: float) -> None:
    """Move a target network a share of the way to its source, in place: w' <- rate w + (1 - rate) w'."""
    for ours, theirs in zip(target.parameters(), source.parameters(), strict=True):
        ours.lerp_(theirs, rate)

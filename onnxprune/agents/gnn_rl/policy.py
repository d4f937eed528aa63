"""A mean for every group, and a value; each from an encoder of its own."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from onnxprune.agents.gnn_rl.encoder import Encoder
from onnxprune.agents.gnn_rl.features import MeasuredFeatures, RandomFeatures
from onnxprune.agents.gnn_rl.options import GnnRlOptions
from onnxprune.agents.gnn_rl.paths import HIDDEN
from onnxprune.agents.gnn_rl.wiring import Wiring
from onnxprune.observation.families import FAMILIES

ACTOR_HIDDEN = 200


@dataclass(frozen=True)
class Outlook:
    """Of S states: means of the actions (S, G), values (S,)."""

    mean: Tensor
    value: Tensor


class Policy(nn.Module):
    """Actions a ~ N(mean, deviation), one entry for each group, and the value of the state.

    Attributes:
        wiring: Of the model.
        deviation: Of the actions.
        paper: Means and values end in tanh; and all states of an update are taken for the first one, as the
            published encoder drops the others of a batch. Else the means begin at 0.
        generator: Of what is drawn: random features, dropout, actions.
    """

    def __init__(self, wiring: Wiring, options: GnnRlOptions, generator: torch.Generator) -> None:
        super().__init__()
        self.wiring, self.paper, self.deviation = wiring, options.paper, options.noise
        self.generator = generator
        groups = len(wiring.channels)
        told = features_of(wiring, options, generator)
        self.actor_encoder = Encoder(told[0], dropout=options.dropout)
        self.critic_encoder = Encoder(told[1], dropout=options.dropout)
        self.actor = nn.Sequential(
            nn.Linear(HIDDEN, ACTOR_HIDDEN), nn.Tanh(), nn.Linear(ACTOR_HIDDEN, groups)
        )
        self.critic = nn.Linear(HIDDEN, 1)
        if not self.paper:
            last = self.actor[-1]
            assert isinstance(last, nn.Linear)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def draw(self, mean: Tensor) -> Tensor:
        """An action for each of these means."""
        return mean + self.deviation * torch.randn(mean.shape, generator=self.generator)

    def log_prob(self, mean: Tensor, actions: Tensor) -> Tensor:
        """(S, G) means and actions -> (S,) log probabilities."""
        return Normal(mean, self.deviation).log_prob(actions).sum(1)

    def act(self, kept: Tensor) -> Tensor:
        """(B, G) kept counts -> means of the actions (B, G)."""
        mean = self.actor(self.actor_encoder(kept, self.wiring, self.generator))
        return torch.tanh(mean) if self.paper else mean

    def judge(self, kept: Tensor) -> Tensor:
        """(B, G) kept counts -> values (B,)."""
        value = self.critic(self.critic_encoder(kept, self.wiring, self.generator))[:, 0]
        return torch.tanh(value) if self.paper else value

    def look(self, kept: Tensor) -> Outlook:
        """What is made of a batch in learning."""
        if not self.paper:
            return Outlook(self.act(kept), self.judge(kept))
        return Outlook(self.act(kept[:1]).expand(len(kept), -1), self.judge(kept[:1]).expand(len(kept)))


Features = RandomFeatures | MeasuredFeatures


def features_of(
    wiring: Wiring, options: GnnRlOptions, generator: torch.Generator
) -> tuple[Features, Features]:
    """Of both encoders: what is random is the same for both, what learns is not."""
    if options.paper:
        drawn = RandomFeatures(wiring, len(FAMILIES), generator)
        return drawn, drawn
    observed = wiring.features.shape[1]
    return MeasuredFeatures(observed), MeasuredFeatures(observed)

"""Episodes under the policy, side by side."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from onnxprune.agents.gnn_rl.policy import Policy, log_probabilities
from onnxprune.agents.gnn_rl.pruning import Counts, Pruning
from onnxprune.agents.types import Floats


@dataclass(frozen=True)
class Step:
    """One step of an episode.

    Attributes:
        kept: (G,) counts that the policy saw.
        action: (G,) what was drawn.
        log_prob: (G,) at that time.
        deviation: Of the draw.
    """

    kept: Tensor
    action: Tensor
    log_prob: Tensor
    deviation: float


@dataclass
class Episode:
    """From the whole model until the target is met, or the steps are over.

    Attributes:
        ratios: (G,) keep ratios.
        kept: (G,) counts.
        met: The counts meet the target.
        steps: So far.
    """

    ratios: Floats
    kept: Counts
    met: bool = False
    steps: list[Step] = field(default_factory=list)


def roll_out(
    policy: Policy, pruning: Pruning, *, count: int, deviation: float, generator: torch.Generator
) -> list[Episode]:
    """So many episodes, of at least one step each; a deviation of 0 takes the means and records no steps."""
    whole = pruning.space.channels
    episodes = [Episode(np.ones(len(whole)), whole.copy()) for _ in range(count)]
    for _ in range(pruning.options.steps):
        live = [episode for episode in episodes if not episode.met]
        if not live:
            break
        kept = torch.tensor(np.stack([episode.kept for episode in live]), dtype=torch.float32)
        with torch.no_grad():
            mean = policy.act(kept)
        actions = mean + deviation * torch.randn(mean.shape, generator=generator) if deviation else mean
        if deviation:
            record(live, kept, mean, actions, deviation)
        for episode, action in zip(live, actions.double().numpy(), strict=True):
            episode.ratios = pruning.step(episode.ratios, action)
            episode.kept = pruning.kept(episode.ratios)
            episode.met = pruning.met(episode.kept)
    return episodes


def record(live: list[Episode], kept: Tensor, mean: Tensor, actions: Tensor, deviation: float) -> None:
    """Append a step to each episode, in place; kept, mean and actions are (B, G)."""
    log_probs = log_probabilities(mean, torch.full((len(live),), deviation), actions)
    for episode, *of_step in zip(live, kept, actions, log_probs, strict=True):
        episode.steps.append(Step(*of_step, deviation))

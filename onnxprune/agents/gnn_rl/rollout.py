"""Episodes under the policy, side by side."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from onnxprune.agents.gnn_rl.policy import Policy
from onnxprune.agents.gnn_rl.pruning import Counts, Pruning
from onnxprune.agents.types import Floats


@dataclass(frozen=True)
class Step:
    """One step of an episode.

    Attributes:
        kept: (G,) counts that the policy saw.
        action: (G,) what was drawn.
        log_prob: Of all of it, at that time.
    """

    kept: Tensor
    action: Tensor
    log_prob: Tensor


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

    def take(self, step: Step, pruning: Pruning) -> None:
        """Prune by its action, in place."""
        self.steps.append(step)
        self.ratios = pruning.step(self.ratios, step.action.double().numpy())
        self.kept = pruning.kept(self.ratios)
        self.met = pruning.met(self.kept)


def roll_out(policy: Policy, pruning: Pruning, *, count: int, likeliest: bool = False) -> list[Episode]:
    """So many episodes, of at least one step each.

    Args:
        policy: Draws the actions.
        pruning: What they do.
        count: Of episodes.
        likeliest: Take the means in place of draws; there is nothing to learn from such steps.
    """
    whole = pruning.space.channels
    episodes = [Episode(np.ones(len(whole)), whole.copy()) for _ in range(count)]
    for _ in range(pruning.options.steps):
        live = [episode for episode in episodes if not episode.met]
        if not live:
            break
        kept = torch.tensor(np.stack([episode.kept for episode in live]), dtype=torch.float32)
        with torch.no_grad():
            mean = policy.act(kept)
            actions = mean if likeliest else policy.draw(mean)
            log_probs = policy.log_prob(mean, actions)
        for episode, *step in zip(live, kept, actions, log_probs, strict=True):
            episode.take(Step(*step), pruning)
    return episodes

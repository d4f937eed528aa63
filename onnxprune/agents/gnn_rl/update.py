"""Proximal policy optimisation (Schulman et al., 2017) on the steps of finished episodes."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from onnxprune.agents.gnn_rl.options import GnnRlOptions
from onnxprune.agents.gnn_rl.policy import Policy
from onnxprune.agents.gnn_rl.rollout import Step

EPSILON = 1e-12


@dataclass(frozen=True)
class Memory:
    """S steps since the last update.

    Attributes:
        kept: (S, G) counts that the policy saw.
        actions: (S, G) what was drawn.
        old: (S,) log probabilities at that time.
        returns: (S,) discounted rewards from each step to the end of its episode.
    """

    kept: Tensor
    actions: Tensor
    old: Tensor
    returns: Tensor

    def __len__(self) -> int:
        return len(self.returns)

    @staticmethod
    def empty(groups: int) -> "Memory":
        none, row = torch.zeros(0, groups), torch.zeros(0)
        return Memory(none, none, row, row.double())

    def with_episode(self, steps: Sequence[Step], reward: float, *, discount: float) -> "Memory":
        """The same and one more episode, whose reward comes at its end."""
        own = Memory(
            torch.stack([step.kept for step in steps]),
            torch.stack([step.action for step in steps]),
            torch.stack([step.log_prob for step in steps]),
            returns_of(len(steps), reward, discount=discount),
        )
        return Memory(*(torch.cat([getattr(part, f.name) for part in (self, own)]) for f in fields(Memory)))


def returns_of(steps: int, reward: float, *, discount: float) -> Tensor:
    """(steps,) discount ^ (steps to the end) * reward: Monte-Carlo returns, in float64.

    What the metric tells apart is lost in float32 where it is small beside 1.
    """
    returns = [reward * discount ** (steps - 1 - step) for step in range(steps)]
    return torch.tensor(returns, dtype=torch.float64)


def normalised(returns: Tensor) -> Tensor:
    """(S,) in float32: about 0, of deviation 1; zeros where all are equal."""
    return ((returns - returns.mean()) / (returns.std(correction=0) + EPSILON)).float()


@dataclass(frozen=True)
class Losses:
    """Of one pass over the memory; `kl` is that of an episode's step from the old policy."""

    total: Tensor
    policy: Tensor
    value: Tensor
    kl: Tensor
    clipped: Tensor


def losses(policy: Policy, memory: Memory, options: GnnRlOptions) -> Losses:
    """Clipped surrogate and squared error of the values.

    The published entropy bonus is left out: the entropy of a Gaussian whose deviation does not learn is a
    constant, and has no gradient.
    """
    returns = normalised(memory.returns)
    outlook = policy.look(memory.kept)
    change = policy.log_prob(outlook.mean, memory.actions) - memory.old
    advantage = returns - outlook.value.detach()
    with torch.no_grad():
        kl = (change.exp() - 1 - change).mean()
    surrogate, clipped = clipped_loss(change, advantage, options.clip)
    value = (outlook.value - returns).square().mean()
    return Losses(surrogate + options.value_weight * value, surrogate, value, kl, clipped)


def clipped_loss(change: Tensor, advantage: Tensor, clip: float) -> tuple[Tensor, Tensor]:
    """- mean of min(r A, clip(r, 1 - c, 1 + c) A) with r = exp(change) (S,); and the share clipped."""
    ratio = change.exp()
    bounded = ratio.clamp(1 - clip, 1 + clip)
    loss = -torch.minimum(ratio * advantage, bounded * advantage).mean()
    return loss, (bounded != ratio).float().mean()


def update(
    policy: Policy, optimizer: torch.optim.Optimizer, memory: Memory, options: GnnRlOptions
) -> dict[str, float]:
    """Some epochs on all steps at once, in place; figures of the last one."""
    figures: dict[str, float] = {}
    for _ in range(options.epochs):
        found = losses(policy, memory, options)
        figures = {
            "policy_loss": found.policy.item(),
            "value_loss": found.value.item(),
            "kl": found.kl.item(),
            "clip_fraction": found.clipped.item(),
        }
        optimizer.zero_grad()
        found.total.backward()
        optimizer.step()
    return figures

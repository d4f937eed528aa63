"""Proximal policy optimisation on a batch of episodes (Schulman et al., 2017), with ratios a bit."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from onnxprune.agents.gat_ppo.options import GatPpoOptions
from onnxprune.agents.gat_ppo.policy import Actions, Outlook, Policy, States


@dataclass(frozen=True)
class Batch:
    """S steps of some episodes.

    Attributes:
        states: The U different states that were seen.
        state: (S,) which of them each step was in.
        turn: (S, C) bits that were decided in the step.
        actions: What was drawn.
        old_shifts, old_bits: (S, G), (S, C) log probabilities at that time.
        advantage: (S,) standardised.
        returns: (S,) what the values should have been.
    """

    states: States
    state: Tensor
    turn: Tensor
    actions: Actions
    old_shifts: Tensor
    old_bits: Tensor
    advantage: Tensor
    returns: Tensor


@dataclass(frozen=True)
class Elite:
    """Masks to imitate in the first state of a batch: bits (K, C) with weights (K,)."""

    bits: Tensor
    weights: Tensor


@dataclass(frozen=True)
class Losses:
    """Of one pass over a batch; KL divergences a bit and a shift."""

    total: Tensor
    policy: Tensor
    value: Tensor
    entropy: Tensor
    imitation: Tensor
    kl: Tensor
    group_kl: Tensor
    clipped: Tensor


def losses(
    policy: Policy, batch: Batch, elite: Elite | None, options: GatPpoOptions, entropy_weight: float
) -> Losses:
    seen = policy(batch.states)
    outlook = seen.at(batch.state)
    of_shifts, of_bits = policy.log_probabilities(outlook, batch.actions)
    shift_turn = turn_of_groups(batch.turn, policy)
    change_shifts, change_bits = of_shifts - batch.old_shifts, of_bits - batch.old_bits
    surrogate, clipped = surrogate_loss(
        (change_shifts, shift_turn), (change_bits, batch.turn), batch.advantage, options
    )
    value = (outlook.value - batch.returns).square().mean()
    entropy = policy.entropy(outlook, batch.actions.shifts)
    imitation = torch.zeros(())
    if elite is not None:
        begin = seen.at(torch.zeros(len(elite.bits), dtype=torch.long))
        likelihood = policy.likelihood(begin, elite.bits).mean(1)
        imitation = -(likelihood * elite.weights).sum()
    total = surrogate + options.value_weight * value - entropy_weight * entropy
    with torch.no_grad():
        kl, group_kl = divergence(change_bits, batch.turn), divergence(change_shifts, shift_turn)
    return Losses(
        total + options.imitation * imitation, surrogate, value, entropy, imitation, kl, group_kl, clipped
    )


Change = tuple[Tensor, Tensor]  # of log probabilities, and where they count


def surrogate_loss(
    shifts: Change, bits: Change, advantage: Tensor, options: GatPpoOptions
) -> tuple[Tensor, Tensor]:
    """The clipped surrogate, and the share of ratios that were clipped."""
    if options.ratio == "joint":
        change = sum((part * turn).sum(1) for part, turn in (shifts, bits))
        assert isinstance(change, Tensor)
        return clipped_loss(change[:, None], torch.ones_like(change[:, None]), advantage, options.clip)
    of_shifts, first = clipped_loss(*shifts, advantage, options.group_clip)
    of_bits, second = clipped_loss(*bits, advantage, options.clip)
    return of_shifts + of_bits, (first + second) / 2


def clipped_loss(change: Tensor, turn: Tensor, advantage: Tensor, clip: float) -> tuple[Tensor, Tensor]:
    """Mean over what was decided; ratios are exp(change), advantages (S,) are shared."""
    ratio, gain = change.exp(), advantage[:, None]
    bounded = ratio.clamp(1 / (1 + clip), 1 + clip)
    count = turn.sum().clamp(min=1)
    loss = -(torch.minimum(ratio * gain, bounded * gain) * turn).sum() / count
    clipped = ((bounded != ratio) * turn).sum() / count
    return loss, clipped.detach()


def divergence(change: Tensor, turn: Tensor) -> Tensor:
    """Mean KL divergence from the old policy, by the estimator r - 1 - log r, which is never negative."""
    estimate = (change.exp() - 1 - change) * turn
    return estimate.sum() / turn.sum().clamp(min=1)


def turn_of_groups(turn: Tensor, policy: Policy) -> Tensor:
    """(S, C) -> (S, G): groups of which some channel is decided."""
    found = torch.zeros(len(turn), policy.wiring.groups, dtype=turn.dtype)
    return found.index_add(1, policy.wiring.group_of, turn).clamp(max=1)


def update(
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    elite: Elite | None,
    *,
    options: GatPpoOptions,
    entropy_weight: float,
) -> dict[str, float]:
    """Some epochs on a batch, in place; figures of the last one."""
    figures: dict[str, float] = {}
    for epoch in range(options.epochs):
        found = losses(policy, batch, elite, options, entropy_weight)
        figures = {
            "policy_loss": found.policy.item(),
            "value_loss": found.value.item(),
            "entropy": found.entropy.item(),
            "imitation_loss": found.imitation.item(),
            "kl": found.kl.item(),
            "group_kl": found.group_kl.item(),
            "clip_fraction": found.clipped.item(),
            "update_epochs": float(epoch + 1),
        }
        if epoch and (figures["kl"] > options.kl_stop or figures["group_kl"] > options.group_kl_stop):
            break
        optimizer.zero_grad()
        found.total.backward()
        weights = [p for group in optimizer.param_groups for p in group["params"]]
        figures["grad_norm"] = float(nn.utils.clip_grad_norm_(weights, options.max_grad_norm))
        optimizer.step()
    return figures


def advantages(outlook: Outlook, rewards: Tensor, gae_lambda: float) -> tuple[Tensor, Tensor]:
    """Of episodes of K steps whose reward comes at the end, discount 1 (Schulman et al., 2016, equation 16).

    Args:
        outlook: At E * K steps, those of an episode together.
        rewards: (E,).
        gae_lambda: Between one-step errors (0) and whole returns (1).

    Returns:
        Advantages (E, K), not standardised, and what the values should have been (E, K).
    """
    values = outlook.value.reshape(len(rewards), -1)
    following = torch.cat([values[:, 1:], rewards[:, None]], 1)
    found, last = torch.zeros_like(values), torch.zeros(len(rewards))
    for k in reversed(range(values.shape[1])):
        last = following[:, k] - values[:, k] + gae_lambda * last
        found[:, k] = last
    return found, found + values


def standardised(values: Tensor) -> Tensor:
    """About 0, of spread 1; zeros where all are equal."""
    spread = values.std(correction=0)
    return (values - values.mean()) / spread if spread > 1e-8 else torch.zeros_like(values)

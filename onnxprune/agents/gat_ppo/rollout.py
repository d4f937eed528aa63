"""Episodes under the policy, side by side."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onnxprune.agents.gat_ppo.policy import Actions, Outlook, Policy, States
from onnxprune.agents.types import Problem
from onnxprune.environment.episodes import Episode
from onnxprune.errors import UsageError


def quantities(problem: Problem) -> tuple[str, ...]:
    """What the cost of this problem consists of: MACs, params, bytes, and latency where it is known."""
    return tuple(vars(problem.whole))


@dataclass(frozen=True)
class Walk:
    """E finished episodes of K steps.

    Attributes:
        episodes: With their masks.
        states: The U different states that were seen.
        state: (E, K) index of the state of each step.
        turn: (E, K, C) what was decided.
        actions: (E * K, ...).
        shifts, bits: (E * K, G), (E * K, C) their log probabilities.
        values: Outlook of every step, without gradients.
    """

    episodes: list[Episode]
    states: States
    state: Tensor
    turn: Tensor
    actions: Actions
    shifts: Tensor
    bits: Tensor
    values: Outlook


def bounds_of(problem: Problem, bits: NDArray[np.bool_]) -> list[float]:
    """Of each quantity the bound (1 for none) and the present cost, as shares of the original."""
    whole, limits = problem.whole, problem.limits
    now = problem.cost_model.count(problem.order.split(bits))
    shares = []
    for name in quantities(problem):
        original = max(1, getattr(whole, name))
        shares += [limits.get(name, original) / original, getattr(now, name) / original]
    return shares


def states_of(episodes: list[Episode], problem: Problem) -> States:
    """What the policy sees of these episodes."""
    dynamic = [np.stack([e.bits, e.turn], 1) for e in episodes]
    bounds = [bounds_of(problem, e.bits) for e in episodes]
    return States(torch.tensor(np.stack(dynamic), dtype=torch.float32), torch.tensor(bounds))


def roll_out(
    policy: Policy,
    problem: Problem,
    make: Callable[[], Episode],
    active: Tensor,
    generator: torch.Generator,
) -> Walk:
    """An episode for each row of `active` (E, G), the groups in which it explores.

    What other groups do is no draw and is not learnt from: it counts as decided by nobody. Where all
    episodes are in one state the policy looks once.
    """
    count = len(active)
    episodes = [make() for _ in range(count)]
    seen: list[States] = []
    parts: list[tuple[Tensor, Tensor, Actions, Tensor, Tensor, Outlook]] = []
    while not episodes[0].done:
        alike = all(np.array_equal(e.bits, episodes[0].bits) for e in episodes)
        states = states_of(episodes[:1] if alike else episodes, problem)
        index = torch.zeros(count, dtype=torch.long) if alike else torch.arange(count)
        with torch.no_grad():
            outlook = policy(states).at(index)
            actions = policy.draw(outlook, active, generator)
            of_shifts, of_bits = policy.log_probabilities(outlook, actions)
            preferences = policy.shifted(outlook, actions.shifts)
        require_finite(preferences)
        turn = torch.from_numpy(np.stack([e.turn for e in episodes])) & active[:, policy.wiring.group_of]
        for episode, bits, order in zip(episodes, actions.bits, preferences, strict=True):
            episode.act(bits.numpy() > 0, order.double().numpy())
        offset = sum(len(part.dynamic) for part in seen)
        seen.append(states)
        parts.append((index + offset, turn, actions, of_shifts, of_bits, outlook))
    return joined(episodes, seen, parts)


def require_finite(preferences: Tensor) -> None:
    """Raises: UsageError: E201, the policy has lost its numbers."""
    if not preferences.isfinite().all():
        raise UsageError(
            "E201",
            "the policy's numbers are no longer finite",
            hint="lower network_rate, group_rate, channel_rate or prior_weight",
        )


def joined(
    episodes: list[Episode],
    seen: list[States],
    parts: list[tuple[Tensor, Tensor, Actions, Tensor, Tensor, Outlook]],
) -> Walk:
    """Steps of each episode together, in their order."""

    def rows(tensors: list[Tensor]) -> Tensor:  # K of (E, ...) -> (E * K, ...)
        return torch.stack(tensors, 1).flatten(0, 1)

    index, turn, actions, shifts, bits, outlooks = zip(*parts, strict=True)
    return Walk(
        episodes,
        States(torch.cat([s.dynamic for s in seen]), torch.cat([s.bounds for s in seen])),
        torch.stack(index, 1),
        torch.stack(turn, 1),
        Actions(rows([a.shifts for a in actions]), rows([a.bits for a in actions])),
        rows(list(shifts)),
        rows(list(bits)),
        Outlook(
            rows([o.logits for o in outlooks]),
            rows([o.reach for o in outlooks]),
            rows([o.mean for o in outlooks]),
            outlooks[0].log_std,
            outlooks[0].noise,
            rows([o.value for o in outlooks]),
        ),
    )

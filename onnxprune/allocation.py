"""Allocation: how much of each group goes. Scores of one group become comparable with those of others.

An allocation turns scores into preferences such that one threshold on them gives every group the share that
the rule says; `project` finds the threshold by the true cost. With q = the channel's place in its group or
class (0 best, 1 worst), d = the group's depth (0 first, 1 last):

    uniform      1 - q                   the same share k of every group
    global       s / mean(s)             one threshold over all groups
    global-max   s / max(s)
    isomorphic   1 - q in the class      the same share of every class of groups that are built alike
    shallow      (1 - q) / (1 - d)       k = 1 - t (1 - d): the early groups lose most
    deep         (1 - q) / d             k = 1 - t d: the late groups lose most
    absolute     s                       one threshold, for scores that are comparable over groups (obs)
    per-mac      s / MACs                the same, by the MACs that go with a channel
    knapsack                             the counts for which the sum of s is most under the bounds
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

from onnxprune.cost import CostModel
from onnxprune.errors import UsageError
from onnxprune.groups import Group, Groups
from onnxprune.masks import Masks
from onnxprune.target import Constraints, Scores, Target, fill, project, settle

Floats = NDArray[np.float64]
Preferences = dict[str, Floats]
TINY = 1e-9
KEPT_FIRST = 3.0  # more than any two preferences of `knapsack` differ by otherwise


@dataclass(frozen=True)
class Ask:
    """What is to be met: bounds on the cost of groups, under constraints."""

    cost_model: CostModel
    target: Target
    constraints: Constraints

    @property
    def groups(self) -> Groups:
        return self.cost_model.groups


def allocate(
    scores: Scores, cost_model: CostModel, *, target: Target, constraints: Constraints, how: str = "uniform"
) -> Masks:
    """Masks that keep the best channels of each group and meet the target exactly.

    Args:
        scores: (channels,) by group name; larger is kept longer. Groups without scores keep everything.
        cost_model: Of the groups.
        target: Upper bounds.
        constraints: Alignment and least kept counts.
        how: A key of `ALLOCATIONS`.

    Raises:
        TargetError: E701, no masks meet the target.
        UsageError: E201, an unknown allocation; E207, scores that do not fit.
    """
    if how not in ALLOCATIONS:
        near = get_close_matches(how, ALLOCATIONS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(ALLOCATIONS)}"
        raise UsageError("E201", f"unknown allocation {how!r}", hint=hint)
    preferences = ALLOCATIONS[how](scores, Ask(cost_model, target, constraints))
    return project(preferences, cost_model, target=target, constraints=constraints)


def uniform(scores: Scores, _ask: Ask) -> Preferences:
    return {name: 1 - places(values) for name, values in scores.items()}


def global_mean(scores: Scores, _ask: Ask) -> Preferences:
    return {name: values / nonzero(np.abs(values).mean()) for name, values in scores.items()}


def global_max(scores: Scores, _ask: Ask) -> Preferences:
    return {name: values / nonzero(np.abs(values).max()) for name, values in scores.items()}


def isomorphic(scores: Scores, ask: Ask) -> Preferences:
    """Fang et al., Isomorphic Pruning for Vision Models, ECCV 2024: rank only what is built alike."""
    classes: dict[Pattern, list[str]] = defaultdict(list)
    for group in ask.groups:
        if group.name in scores:
            classes[pattern(ask.groups, group)].append(group.name)
    normalised = global_mean(scores, ask)
    preferences: Preferences = {}
    for names in classes.values():
        ranked = 1 - places(np.concatenate([normalised[name] for name in names]))
        ends = np.cumsum([len(scores[name]) for name in names])[:-1]
        preferences.update(zip(names, np.split(ranked, ends), strict=True))
    return preferences


def shallow(scores: Scores, ask: Ask) -> Preferences:
    return by_depth(scores, ask.groups, lambda depth: 1 - depth)


def deep(scores: Scores, ask: Ask) -> Preferences:
    return by_depth(scores, ask.groups, lambda depth: depth)


def by_depth(scores: Scores, groups: Groups, loss: Callable[[float], float]) -> Preferences:
    """Preferences under which a group loses in proportion to `loss` of its depth."""
    names = [group.name for group in groups if group.name in scores]
    depths = np.linspace(0, 1, len(names)).tolist()
    return {
        name: (1 - places(scores[name])) / max(loss(depth), TINY)
        for name, depth in zip(names, depths, strict=True)
    }


def absolute(scores: Scores, _ask: Ask) -> Preferences:
    return {name: np.asarray(values, np.float64) for name, values in scores.items()}


def per_mac(scores: Scores, ask: Ask) -> Preferences:
    """What a channel is worth for each MAC that it costs in the whole model."""
    saved = saved_by_one(ask.cost_model, "macs")
    return {name: np.asarray(values) / max(1, saved[name]) for name, values in scores.items()}


def knapsack(scores: Scores, ask: Ask) -> Preferences:
    """First what the knapsack keeps, then all others by what they are worth for each bit of the first bound.

    Shen et al., Structural Pruning via Latency-Saliency Knapsack (HALP), NeurIPS 2022, for any bounds.
    """
    free = [group for group in ask.groups.prunable if group.name in scores]
    settled = settle(ask.cost_model, target=ask.target, constraints=ask.constraints, free=free)
    falling = {name: -np.sort(-np.asarray(values, np.float64)) for name, values in scores.items()}
    kept = fill(falling, ask.cost_model, target=ask.target, constraints=settled)
    quantity = next((bound.quantity for bound in ask.target.bounds), "macs")
    saved = saved_by_one(ask.cost_model, quantity)
    worth = {name: np.asarray(values) / max(1, saved[name]) for name, values in scores.items()}
    most = nonzero(max((np.abs(values).max() for values in worth.values()), default=np.float64(0)))
    counts = dict(zip(ask.cost_model.names, kept.tolist(), strict=True))
    return {
        name: values / most + KEPT_FIRST * (places(values) * len(values) < counts[name])
        for name, values in worth.items()
    }


def saved_by_one(cost_model: CostModel, quantity: str) -> dict[str, float]:
    """By group: what goes of the whole cost with one channel."""
    fewer = np.maximum(cost_model.channels - np.eye(len(cost_model.names), dtype=np.int64), 0)
    whole, without = (cost_model.count_kept(kept) for kept in (cost_model.channels[None], fewer))
    saved = getattr(whole, quantity) - getattr(without, quantity)
    return dict(zip(cost_model.names, saved.tolist(), strict=True))


ALLOCATIONS: dict[str, Callable[[Scores, Ask], Preferences]] = {
    "uniform": uniform,
    "global": global_mean,
    "global-max": global_max,
    "isomorphic": isomorphic,
    "shallow": shallow,
    "deep": deep,
    "absolute": absolute,
    "per-mac": per_mac,
    "knapsack": knapsack,
}

Pattern = tuple[tuple[str, tuple[str, ...]], ...]


def pattern(groups: Groups, group: Group) -> Pattern:
    """How a group is built: its nodes in their order, each with whether it makes the channels or takes them.

    Neither widths count, nor how a weight is stored, nor whether there is a bias.
    """
    roles: dict[int, set[str]] = defaultdict(set)
    for member in group.members:
        for edge in groups.graph.consumers.get(member.tensor, ()):
            roles[edge.node].add(member.role)
    return tuple(
        (groups.graph.nodes[node].op_type, tuple(sorted(roles[node] - {"other"}))) for node in sorted(roles)
    )


def places(values: Floats) -> Floats:
    """Place of each value among all, the middle of its share of [0, 1]: 0 best, 1 worst; ties in order."""
    result = np.empty(len(values))
    result[np.argsort(-values, kind="stable")] = (np.arange(len(values)) + 0.5) / max(1, len(values))
    return result


def nonzero(scale: np.floating) -> float:
    return float(scale) if scale > 0 else 1.0

"""From the walked shares to kept counts within the bounds: AGMC's Algorithm 1, and what it should have been.

    algorithm-1   where sum W_i a_i < d:  a_i <- min(a_max, a_i + (d - sum W a) (a_i / sum a) / W_i)
    bisection     a_i <- min(a_max, t a_i) with the t for which the true cost is the bound

The first adds by a cost that is linear in the shares, but the true one is not: a removed channel makes the
nodes that read it cheaper too. It never gives anything back, and what it clips it does not hand to others. So
it misses d by its own measure, and in truth removes more.
"""

import numpy as np
from numpy.typing import NDArray

from onnxprune.agents.space import Space
from onnxprune.agents.types import Problem
from onnxprune.target import Target, project

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
TINY = 1e-6
FAR = 1e9  # further apart than any two preferences


def algorithm_1(removed: Floats, costs: Floats, wanted: float, most: float) -> Floats:
    """(G,) shares to remove, by the paper's Algorithm 1.

    >>> algorithm_1(np.array([0.2, 0.2]), np.array([0.5, 0.5]), 0.5, 0.8)
    array([0.5, 0.5])

    Args:
        removed: (G,) shares that were walked.
        costs: (G,) W, what each group costs as a share of the whole.
        wanted: d, the share of the whole that is to go.
        most: a_max.
    """
    short = wanted - float(costs @ removed)
    if short <= 0 or not removed.any():
        return removed
    added = short * (removed / removed.sum()) / np.maximum(costs, TINY)
    return np.minimum(most, removed + added)


def linear_costs(problem: Problem, quantity: str) -> Floats:
    """(G,) W of the prunable groups: share of the cost of the nodes, or weights, that make them."""
    order, groups = problem.order, problem.groups
    whole = max(1, getattr(problem.whole, quantity))
    own = dict.fromkeys(order.names, 0.0)
    if quantity == "macs":
        by_node = problem.cost_model.macs_by_node({})
        for node, labels in groups.produced_at.items():
            counts = sum((groups.group_counts(part) for part in labels), np.zeros(len(groups) + 1, np.int64))
            for group, count in zip(groups, counts.tolist(), strict=False):
                if group.name in own:
                    own[group.name] += by_node.get(node, 0) * count / max(1, int(counts.sum()))
    else:
        for name in order.names:
            for member in groups[name].members:
                weight = groups.graph.initializers[member.tensor]
                share = member.positions.size / weight.shape[member.axis]
                size = weight.size * (weight.bits / 8 if quantity == "bytes" else 1)
                own[name] += share * size * (member.role == "out")
    return np.array([own[name] for name in order.names]) / whole


def bisected(space: Space, removed: Floats, target: Target, most: float) -> Counts:
    """(G,) counts that keep 1 - min(most, t * removed) of every group and meet the target, aligned.

    With q a channel's place in its group (0 best, 1 worst), it is kept while q <= 1 - t a, which is to say
    while (1 - q) / a >= t: that is the preference by which the projection bisects. The best 1 - most of each
    group go last.
    """
    worst = 1 - space.prior
    share = np.maximum(removed, TINY)[space.group_of]
    preferences = worst / share + np.where(worst > most, FAR, 0.0)
    problem = space.problem
    scores = problem.order.split(preferences)
    return space.kept(project(scores, problem.cost_model, target=target, constraints=problem.constraints))


def nearest_rungs(space: Space, kept: Floats) -> Counts:
    """(G,) the least allowed counts not below these shares."""
    counts = np.ceil(kept * space.channels - 1e-9)
    pairs = zip(space.rungs, counts.tolist(), strict=True)
    return np.array([rungs[min(int(np.searchsorted(rungs, n)), len(rungs) - 1)] for rungs, n in pairs])

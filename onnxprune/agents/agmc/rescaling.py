"""From the walked shares to kept counts within the bounds: AGMC's Algorithm 1, and what it should have been.

    algorithm-1   where sum W_i a_i < d:  a_i <- min(a_max, a_i + (d - sum W a) (a_i / sum a) / W_i)
    bisection     a_i <- min(a_max, t a_i) with the t for which the true cost is the bound

The first adds by a cost that is linear in the shares, but the true one is not: a removed channel makes the
nodes that read it cheaper too. It never gives anything back, and what it clips it does not hand to others. So
it misses d by its own measure, and in truth removes more.
"""

import numpy as np
from numpy.typing import NDArray

from onnxprune.agents.ddpg.shares import own_costs
from onnxprune.agents.space import FAR, TINY, Space
from onnxprune.target import Target

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


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


def linear_costs(space: Space, quantity: str) -> Floats:
    """(G,) W: share of the whole cost that belongs to the layers which make each prunable group.

    No part of a latency belongs to one layer; there it is all that goes with the group, at most the whole
    over all groups.
    """
    if quantity == "macs":
        return macs_made(space)
    if quantity in {"params", "bytes"}:
        return weights_made(space, quantity)
    found = own_costs(space, quantity)
    return found / max(1.0, float(found.sum()))


def macs_made(space: Space) -> Floats:
    """(G,) share of the MACs of the nodes that make each prunable group; those of several are divided."""
    groups, model = space.problem.groups, space.problem.cost_model
    by_node = model.macs_by_node({})
    total = np.zeros(len(groups))
    for node, labels in groups.produced_at.items():
        counts = np.sum([groups.group_counts(part) for part in labels], axis=0)
        total += by_node.get(node, 0) * counts[:-1] / max(1, counts.sum())
    places = [model.names.index(name) for name in space.problem.order.names]
    return np.asarray(total[places] / max(1, space.problem.whole.macs), np.float64)


def weights_made(space: Space, quantity: str) -> Floats:
    """(G,) share of the params, or bytes, of the weights that make each prunable group."""
    groups, found = space.problem.groups, []
    for group in groups.prunable:
        size = 0.0
        for member in group.members:
            if member.role == "out":
                weight = groups.graph.initializers[member.tensor]
                share = member.positions.size / weight.shape[member.axis]
                size += share * weight.size * (weight.bits / 8 if quantity == "bytes" else 1)
        found.append(size)
    return np.array(found) / max(1, getattr(space.problem.whole, quantity))


def bisected(space: Space, removed: Floats, target: Target, most: float) -> Counts:
    """(G,) counts that keep 1 - min(most, t * removed) of every group and meet the target, aligned.

    With q a channel's place in its group (0 best, 1 worst), it is kept while q <= 1 - t a, which is to say
    while (1 - q) / a >= t: that is the preference by which the projection bisects. The best 1 - most of each
    group go last.
    """
    worst = 1 - space.prior
    share = np.maximum(removed, TINY)[space.group_of]
    preferences = worst / share + np.where(worst > most, FAR, 0.0)
    return space.kept(space.problem.project(space.problem.order.split(preferences), target))


def nearest_rungs(space: Space, kept: Floats) -> Counts:
    """(G,) the least allowed counts not below these shares."""
    counts = np.ceil(kept * space.channels - 1e-9)
    pairs = zip(space.rungs, counts.tolist(), strict=True)
    return np.array([rungs[min(int(np.searchsorted(rungs, n)), len(rungs) - 1)] for rungs, n in pairs])

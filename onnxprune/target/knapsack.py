"""How many channels of each group to keep, so that what they are worth is most under the bounds.

Choosing one kept count for each group, each with a worth and a cost, is the multiple-choice knapsack problem
(Shen et al., Structural Pruning via Latency-Saliency Knapsack, HALP, NeurIPS 2022, equation 4, solves it for
latency). `choose` solves it by dynamic programming over the cost in units of budget / GRID, each cost rounded
up: what it finds costs no more than the budget, and is worth at least as much as anything that costs less
than the budget by one unit for each group. Costs in whole numbers below the grid are not rounded at all.

The true cost is no sum over groups: what a channel costs depends on how many the groups beside it keep. So
`fill` begins with everything and goes down in rounds, as HALP does: the costs are those of changing one group
alone from where it stands, each round takes at most a tenth of the cost away, and the next round counts anew.
Any quantity of the cost model may be bounded, whether it is a product of extents or measured.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from onnxprune.cost import CostModel
from onnxprune.target.bounds import Target
from onnxprune.target.constraints import Constraints

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
GRID = 8192
ROUNDING = 1e-9  # units by which a cost may be off
ROUND = 0.9  # of the cost that a round leaves, at least


def choose(worths: Sequence[Floats], costs: Sequence[Floats], budget: float) -> list[int]:
    """For each group the position of the choice with which the sum of worths is most.

    >>> choose([np.array([0.0, 5, 6]), np.array([0.0, 3])], [np.array([0.0, 4, 6]), np.array([0.0, 2])], 6)
    [1, 1]

    Args:
        worths, costs: (choices,) of each group; costs are not below zero, and the least of each is free.
        budget: What the costs may add up to.
    """
    whole = budget < GRID and all((cost == np.floor(cost)).all() for cost in costs)
    size = int(budget) if whole else GRID
    unit = 1.0 if whole or not budget else budget / GRID
    best, taken = np.zeros(size + 1), []  # (size + 1,) the most that groups so far are worth, by budget
    for worth, cost in zip(worths, costs, strict=True):
        units = np.ceil(np.minimum(cost, budget) / unit - ROUNDING)
        steps = np.where(cost > budget, size + 1, units).astype(np.int64)
        before, best = best, np.full(size + 1, -np.inf)
        choice = np.zeros(size + 1, np.int32)
        for place, (step, value) in enumerate(zip(steps.tolist(), worth.tolist(), strict=True)):
            reached = before[: max(0, size + 1 - step)] + value
            better = reached > best[step:]
            best[step:][better], choice[step:][better] = reached[better], place
        taken.append((choice, steps))
    chosen, left = [], size
    for choice, steps in reversed(taken):
        chosen.append(int(choice[left]))
        left -= int(steps[chosen[-1]])
    return chosen[::-1]


def fill(
    worth_of: Mapping[str, Floats], cost_model: CostModel, *, target: Target, constraints: Constraints
) -> Counts:
    """(G,) kept counts under all bounds, on the rungs of the groups.

    Args:
        worth_of: (channels,) by group name, what the best channels are worth, falling. Groups that are not
            named keep everything.
        cost_model: Of the groups.
        target: Upper bounds, within reach.
        constraints: Settled for the target.
    """
    groups, kept = cost_model.groups, cost_model.channels.copy()
    free = [i for i, group in enumerate(groups) if group.frozen is None and group.name in worth_of]
    rungs = [constraints.rungs(groups[i]) for i in free]
    sums = [np.concatenate([[0.0], np.cumsum(worth_of[groups[i].name])]) for i in free]
    limits = target.limits(cost_model.count({}))
    while True:
        costs = cost_model.count_kept(kept[None])
        shares = {name: float(getattr(costs, name)[0]) / max(1, limit) for name, limit in limits.items()}
        tightest = max(shares, key=shares.__getitem__, default="")
        rungs = [own[own <= kept[i]] for i, own in zip(free, rungs, strict=True)]
        if not tightest or shares[tightest] <= 1 or all(len(own) == 1 for own in rungs):
            return kept
        alone = [costs_alone(cost_model, kept, i, own, tightest) for i, own in zip(free, rungs, strict=True)]
        extra = [cost - cost.min() for cost in alone]
        saved = sum(float(cost[-1]) for cost in extra)  # with every group at its cheapest
        budget = limits[tightest] * max(1.0, ROUND * shares[tightest])
        worths = [total[own] for total, own in zip(sums, rungs, strict=True)]
        chosen = choose(worths, extra, max(0.0, saved - (float(getattr(costs, tightest)[0]) - budget)))
        kept[free] = [own[at] for own, at in zip(rungs, chosen, strict=True)]


def costs_alone(cost_model: CostModel, kept: Counts, group: int, counts: Counts, quantity: str) -> Floats:
    """The whole cost with each of these counts in one group, all others as they are."""
    tried = np.tile(kept, (len(counts), 1))
    tried[:, group] = counts
    return np.asarray(getattr(cost_model.count_kept(tried), quantity), np.float64)

"""The least cost there is, before any work: what can be reached, and at which alignment."""

from collections.abc import Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray

from onnxprune.cost import Cost, CostModel
from onnxprune.errors import TargetError
from onnxprune.groups import Group
from onnxprune.target.bounds import Target, amount_text
from onnxprune.target.constraints import Constraints

Counts = NDArray[np.int64]
ROOM = 2  # a target should be this many times the least cost, or there is little left to choose


def reachable(cost_model: CostModel, constraints: Constraints) -> Cost:
    """The least cost that masks can have, at the finest alignment that the constraints allow."""
    return least_cost(cost_model, constraints.finest(), cost_model.groups.prunable)


def settle(
    cost_model: CostModel,
    *,
    target: Target,
    constraints: Constraints,
    free: Sequence[Group] | None = None,
) -> Constraints:
    """The coarsest alignment at which a target can be met with room to choose.

    Coarse steps are those that win time; but 16 channels cannot lose any in steps of 16. So the steps are
    made finer, not below the hard one, until the least cost is at most half of every bound, or nothing finer
    is left. What is settled stays so: settling it again changes nothing.

    Args:
        cost_model: Of the groups.
        target: Upper bounds.
        constraints: Alignment and least kept counts.
        free: The groups that may lose channels; all prunable ones by default.

    Raises:
        TargetError: E701, no masks meet the target; states the least cost that can be reached.
    """
    free = cost_model.groups.prunable if free is None else free
    require_reachable(cost_model, target=target, constraints=constraints, free=free)
    bounds = target.limits(cost_model.count({}))
    while (finer := constraints.finer()) is not None:
        least = least_cost(cost_model, constraints, free)
        if all(getattr(least, name) * ROOM <= bound for name, bound in bounds.items()):
            break
        constraints = finer
    return constraints


def require_reachable(
    cost_model: CostModel,
    *,
    target: Target,
    constraints: Constraints,
    free: Sequence[Group] | None = None,
) -> None:
    """Check a target before any work.

    Args:
        cost_model: Of the groups.
        target: Upper bounds.
        constraints: Alignment and least kept counts.
        free: The groups that may lose channels; all prunable ones by default.

    Raises:
        TargetError: E701, no masks meet it; states the least cost that can be reached.
    """
    finest, whole = constraints.finest(), cost_model.count({})
    least = least_cost(cost_model, finest, cost_model.groups.prunable if free is None else free)
    for bound in target.bounds:
        limit = bound.limit(whole)  # before the costs are asked for what they may not know
        reached, original = getattr(least, bound.quantity), getattr(whole, bound.quantity)
        if reached > limit:
            raise TargetError(
                "E701",
                f"{bound} is impossible: the smallest reachable is {ceil(1000 * reached / original) / 10}% "
                f"({amount_text(bound.quantity, reached)} of {amount_text(bound.quantity, original)}) "
                f"at {finest}",
                hint="ask for more, or loosen --align, --min-keep, --skip or --only",
            )


def least_cost(cost_model: CostModel, constraints: Constraints, free: Sequence[Group]) -> Cost:
    """The cost with every one of these groups on its lowest rung."""
    return cost_model.count_kept(lowest(cost_model, constraints, free)[None]).at(0)


def lowest(cost_model: CostModel, constraints: Constraints, free: Sequence[Group]) -> Counts:
    """(G,) kept counts with every one of these groups on its lowest rung."""
    kept = cost_model.channels.copy()
    for group in free:
        kept[cost_model.names.index(group.name)] = constraints.rungs(group)[0]
    return kept

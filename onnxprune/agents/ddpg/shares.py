"""Kept counts of the groups: what they cost, and the masks that meet the target."""

import numpy as np
from numpy.typing import NDArray

from onnxprune.agents.space import Space
from onnxprune.masks import Masks
from onnxprune.target import Target
from onnxprune.target.projection import best

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


def within(
    space: Space, kept: Counts, *, target: Target | None = None, reached: bool = True
) -> NDArray[np.bool_]:
    """(B, G) kept counts of the prunable groups -> (B,) whether every bound holds; `reached`: or just so.

    The bounds are those of the problem, or of a `target` on the way there.
    """
    costs, holds = space.costs(kept), np.less_equal if reached else np.less
    limits = space.problem.limits if target is None else target.limits(space.problem.whole)
    fits = [holds(getattr(costs, name), limit) for name, limit in limits.items()]
    return np.logical_and.reduce(fits) if fits else np.ones(len(kept), bool)


def own_costs(space: Space, quantity: str) -> Floats:
    """(G,) share of the model's cost that goes with all channels of each prunable group."""
    without = np.where(np.eye(len(space.channels), dtype=bool), 0, space.channels)
    whole = getattr(space.problem.whole, quantity)
    return np.asarray((whole - getattr(space.costs(without), quantity)) / max(1, whole), np.float64)


def masks_of(space: Space, kept: Counts) -> Masks:
    """Masks that keep the first (G,) channels of each group by the prior, scaled down where over a bound.

    What is over a bound is no answer to what was asked, and no episode of these agents is to end so.
    """
    if not within(space, kept[None])[0]:
        return space.masks(kept / space.channels)
    prior = space.problem.order.split(-space.prior)
    names = space.problem.order.names
    return {name: best(prior[name], int(count)) for name, count in zip(names, kept, strict=True)}

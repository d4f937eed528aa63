"""Kept counts of the groups as masks that meet the target."""

import numpy as np
from numpy.typing import NDArray

from onnxprune.agents.space import Space
from onnxprune.masks import Masks
from onnxprune.target.projection import Limits, best

Counts = NDArray[np.int64]


def places_of(space: Space) -> Counts:
    """(G,) index of each prunable group among all groups of the cost model."""
    names = space.problem.cost_model.names
    return np.array([names.index(name) for name in space.problem.order.names])


def limits_of(space: Space) -> Limits:
    return Limits(space.problem.cost_model, space.problem.limits)


def all_kept(space: Space, kept: Counts) -> Counts:
    """(B, G) counts of the prunable groups -> (B, all groups), those that are frozen whole."""
    every = np.tile(space.problem.cost_model.channels, (len(kept), 1))
    every[:, places_of(space)] = kept
    return every


def masks_of(space: Space, kept: Counts) -> Masks:
    """Masks that keep the first (G,) channels of each group by the prior, scaled down where over a bound.

    What is over a bound is no answer to what was asked, and no episode of these agents is to end so.
    """
    if not limits_of(space).allow(all_kept(space, kept[None]))[0]:
        return space.masks(kept / space.channels)
    prior = space.problem.order.split(-space.prior)
    names = space.problem.order.names
    return {name: best(prior[name], int(count)) for name, count in zip(names, kept, strict=True)}

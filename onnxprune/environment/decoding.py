"""From sampled bits to masks: projected onto a target, or only made valid.

An agent samples one bit a channel; which of them hold is decided here, outside its log-probability. All
channels stand in one order: the sampled-kept by falling preference, then the sampled-dropped by falling
preference, then those that went in an earlier round. The longest prefix that all bounds allow is kept.

`project` takes that order as numbers and compares whole aligned steps by their mean, so these must be such
that one more sampled-kept channel in a step outweighs every preference. With w the channels of the widest
step and rank the place of a preference among all (0 the lowest, C - 1 at most):

    value = w^2 C * (1 kept, 0 dropped, -1 gone) + rank

That is the order "bits". It fills what is left of a bound with the most preferred of the dropped, wherever
they are: an agent that wants all of one group and little of another may find both whole. The order "ratios"
compares bits inside a group only, and scales the groups' sampled shares alike until the bounds are met.

Shares of kept channels in two steps of at most w channels differ by at least 1 / w^2, and mean ranks by
less than C. All values are whole numbers, so that their sums are exact.
"""

import numpy as np
from numpy.typing import NDArray

from onnxprune.environment.task import Task
from onnxprune.errors import UsageError
from onnxprune.masks import Masks
from onnxprune.target import Target
from onnxprune.target.projection import best

Bits = NDArray[np.bool_]
Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


def check(task: Task, bits: Bits, preferences: Floats | None) -> None:
    """Raises: UsageError: E207, bits or preferences that do not fit the channels, or are not finite."""
    shape = (len(task.order),)
    if np.shape(bits) != shape:
        raise UsageError("E207", f"the bits have shape {np.shape(bits)}, must be {shape}")
    if preferences is not None and np.shape(preferences) != shape:
        raise UsageError("E207", f"the preferences have shape {np.shape(preferences)}, must be {shape}")
    if preferences is not None and not np.isfinite(preferences).all():
        raise UsageError("E207", "the preferences are not all finite")


def in_order(task: Task, bits: Bits, preferences: Floats | None, alive: Bits) -> Floats:
    """(C,) values whose falling order is the order that the module describes.

    Args:
        task: Of the episode.
        bits: (C,) sampled keep bits.
        preferences: (C,) larger is kept longer; None: a lower index is.
        alive: (C,) channels that have not gone in an earlier round.
    """
    count = len(task.order)
    ranks = 0.0 if preferences is None else np.unique(preferences, return_inverse=True)[1]
    level = np.where(alive, np.asarray(bits, bool).astype(np.float64), -1.0)
    return np.asarray(level * (task.widest**2 * count) + ranks, np.float64)


def in_ratios(task: Task, values: Floats) -> Floats:
    """(C,) values in the order of `in_order` within each group, by the sampled shares between groups.

    With q the place of a channel in its group (0 first, 1 last) and r the share of the group that was
    sampled-kept, -q / r makes one threshold keep shares in proportion to those sampled.
    """
    kept = values >= task.widest**2 * len(task.order)  # rank 0 of the level of kept channels, and above
    parts = []
    for by_group, bits in zip(
        task.order.split(values).values(), task.order.split(kept).values(), strict=True
    ):
        count = len(by_group)
        place = np.empty(count)
        place[np.argsort(-by_group, kind="stable")] = (np.arange(count) + 0.5) / count
        parts.append(-place / max(bits.mean(), 0.5 / count))
    return np.concatenate(parts)


def projected(task: Task, values: Floats, *, target: Target, most: Counts) -> Masks:
    """Masks that keep what comes first in the order and meet every bound.

    Args:
        task: Of the episode.
        values: (C,) from `in_order`.
        target: The bounds of this round.
        most: (G,) allowed counts that the prunable groups must not exceed.

    Returns:
        Where `most` lets everything through, no group could take back one aligned step.
    """
    by_group = task.order.split(values)
    masks = task.project(by_group, target)
    return {
        name: best(by_group[name], min(int(masks[name].sum()), int(limit)))
        for name, limit in zip(task.order.names, most, strict=True)
    }


def first(task: Task, values: Floats, counts: Counts) -> Masks:
    """Masks of the first `counts` (G,) channels of each group in the order."""
    by_group = task.order.split(values)
    return {name: best(by_group[name], int(n)) for name, n in zip(task.order.names, counts, strict=True)}


def rounded_up(task: Task, bits: Bits) -> Counts:
    """(G,) the least allowed counts that hold all sampled-kept channels of each prunable group."""
    kept = np.add.reduceat(np.asarray(bits, np.int64), task.order.starts[:-1])
    pairs = zip(task.rungs, kept, strict=True)
    return np.array([rungs[np.searchsorted(rungs, count)] for rungs, count in pairs], np.int64)

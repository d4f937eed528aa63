"""From preferences to masks that meet a target exactly, from both sides.

Every group climbs a ladder of allowed kept counts. A step up adds the channels that are next in the group's
own order, and is wanted as much as these channels on average. All steps of all groups in falling order of
that wish make one list; a prefix of it is one choice of masks, and its true cost grows with its length:

    steps   g02+8  g00+4  g02+8  g05+16 | g00+4  g05+16 ...
    cost    ------------- under the bounds | over

The longest prefix under all bounds is found by bisection. What is left of the bounds is filled from the rest
of the list: groups with no affordable next step close, the others go on, until all are closed. So the result
is at or under every bound, and no group can take back one step. (AGMC's one pass, which clips and does not
redistribute, misses its own budget in nearly every draw in which it acts.)
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxprune.cost import CostModel
from onnxprune.errors import UsageError
from onnxprune.groups import Groups
from onnxprune.masks import Masks, all_true
from onnxprune.target.bounds import Target
from onnxprune.target.constraints import Constraints
from onnxprune.target.reach import lowest, settle

Scores = Mapping[str, NDArray[np.float64]]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Steps:
    """Steps up from the lowest rungs, most wanted first; those of one group in their order.

    Attributes:
        group: (S,) index of the group in the cost model.
        adds: (S,) channels that the step adds.
    """

    group: Counts
    adds: Counts

    def where(self, chosen: NDArray[np.bool_]) -> "Steps":
        return Steps(self.group[chosen], self.adds[chosen])

    def prefix(self, count: int, *, onto: Counts) -> Counts:
        """(G,) kept counts after the first `count` steps."""
        added = np.bincount(self.group[:count], self.adds[:count], minlength=len(onto))
        return onto + added.astype(np.int64)


@dataclass(frozen=True)
class Limits:
    """The largest allowed cost by quantity, and the true cost."""

    cost_model: CostModel
    largest: Mapping[str, int]

    def allow(self, kept: Counts) -> NDArray[np.bool_]:
        """(B, G) kept counts -> (B,) whether every bound holds."""
        costs = self.cost_model.count_kept(kept)
        fits = [getattr(costs, name) <= limit for name, limit in self.largest.items()]
        return np.logical_and.reduce(fits) if fits else np.ones(len(kept), bool)


def project(scores: Scores, cost_model: CostModel, *, target: Target, constraints: Constraints) -> Masks:
    """Masks that keep what is preferred and meet every bound.

    Args:
        scores: Finite numbers (channels,) by group name, comparable between groups; larger is kept longer.
            Groups without scores keep everything.
        cost_model: Of the groups.
        target: Upper bounds. Where all channels fit, all are kept.
        constraints: Alignment and least kept counts; `settle` makes them finer where the target needs it.

    Returns:
        Masks of all prunable groups. At or under every bound; no group could take back one aligned step.
        Equal scores keep the lower index, and groups in their order. In O((G + log S) G) costs.

    Raises:
        TargetError: E701, no masks meet the target; states the least cost that can be reached.
        UsageError: E207, scores that do not fit the groups.
    """
    groups = cost_model.groups
    check_scores(scores, groups)
    free = [group for group in groups.prunable if group.name in scores]
    constraints = settle(cost_model, target=target, constraints=constraints, free=free)
    limits = Limits(cost_model, target.limits(cost_model.count({})))
    kept = climb(steps_of(scores, cost_model, constraints), lowest(cost_model, constraints, free), limits)
    masks = all_true(groups)
    for group in free:
        masks[group.name] = best(scores[group.name], int(kept[cost_model.names.index(group.name)]))
    return masks


def best(scores: NDArray[np.float64], count: int) -> NDArray[np.bool_]:
    """Bits of the `count` largest scores; of equal ones the first."""
    bits = np.zeros(len(scores), bool)
    bits[np.argsort(-scores, kind="stable")[:count]] = True
    return bits


def steps_of(scores: Scores, cost_model: CostModel, constraints: Constraints) -> Steps:
    """All steps of all groups that have scores, most wanted first."""
    parts = []
    for index, group in enumerate(cost_model.groups):
        if group.frozen is None and group.name in scores:
            rungs = constraints.rungs(group)
            falling = -np.sort(-scores[group.name])
            sums = np.concatenate([[0.0], np.cumsum(falling)])[rungs]
            adds = np.diff(rungs)
            wanted = np.minimum.accumulate(np.diff(sums) / adds)  # rounding must not reorder a ladder
            parts.append((np.full(len(adds), index), np.arange(len(adds)), adds, wanted))
    if not parts:
        return Steps(np.zeros(0, np.int64), np.zeros(0, np.int64))
    owner, rung, adds, wanted = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((owner, rung, -wanted))
    return Steps(owner[order], adds[order])


def climb(steps: Steps, kept: Counts, limits: Limits) -> Counts:
    """Take steps while any is affordable; each round takes the longest prefix and closes groups."""
    while len(steps.group):
        count = longest_prefix(steps, kept, limits)
        kept = steps.prefix(count, onto=kept)
        steps = Steps(steps.group[count:], steps.adds[count:])
        steps = steps.where(~np.isin(steps.group, closed(steps, kept, limits)))
    return kept


def longest_prefix(steps: Steps, kept: Counts, limits: Limits) -> int:
    """The largest number of leading steps under all bounds; `kept` itself is allowed."""
    low, high = 0, len(steps.group)
    while low < high:
        middle = (low + high + 1) // 2
        if limits.allow(steps.prefix(middle, onto=kept)[None])[0]:
            low = middle
        else:
            high = middle - 1
    return low


def closed(steps: Steps, kept: Counts, limits: Limits) -> Counts:
    """Groups whose next step breaks a bound; as costs only grow, it will do so for good."""
    groups, first = np.unique(steps.group, return_index=True)
    tried = np.tile(kept, (len(groups), 1))
    tried[np.arange(len(groups)), groups] += steps.adds[first]
    return groups[~limits.allow(tried)]


def check_scores(scores: Scores, groups: Groups) -> None:
    """Raises: UsageError: E207, an unknown or frozen group, a wrong length, or a number that is none."""
    known = {group.name: group for group in groups.prunable}
    for name, values in scores.items():
        if name not in known:
            raise UsageError("E207", f"the scores name group {name!r}, which is unknown or frozen")
        if np.shape(values) != (known[name].channels,):
            shape = (known[name].channels,)
            raise UsageError(
                "E207", f"the scores of group {name} have shape {np.shape(values)}, must be {shape}"
            )
        if not np.isfinite(values).all():
            raise UsageError("E207", f"the scores of group {name} are not all finite")

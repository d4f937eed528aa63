"""From preferences to masks that meet a target exactly, from both sides.

Every group climbs a ladder of allowed kept counts. A step up adds the channels that are next in the group's
own order, and is wanted as much as these channels on average. All steps of all groups in falling order of
that wish make one list; a prefix of it is one choice of masks, and its true cost grows with its length:

    steps   g02+8  g00+4  g02+8  g05+16 | g00+4  g05+16 ...
    cost    ------------- under the bounds | over

The longest prefix under all bounds is found by sections. What is left of the bounds is filled from the rest
of the list: groups with no affordable next step close, the others go on, until all are closed. So the result
is at or under every bound, and no group can take back one step. (AGMC's one pass, which clips and does not
redistribute, misses its own budget in nearly every draw in which it acts.)
"""

from collections.abc import Container, Mapping
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
PROBES = 15  # prefixes that are counted at once


@dataclass(frozen=True)
class Steps:
    """Steps up from the lowest rungs, most wanted first; those of one group in their order.

    Attributes:
        group: (S,) index of the group in the cost model.
        adds: (S,) channels that the step adds.
    """

    group: Counts
    adds: Counts

    def where(self, chosen: NDArray[np.bool_] | Counts) -> "Steps":
        """Those that are chosen, by bits or by their places."""
        return Steps(self.group[chosen], self.adds[chosen])

    def prefixes(self, counts: Counts, *, onto: Counts) -> Counts:
        """(B, G) kept counts after as many steps as each of `counts` (B,) says, ascending."""
        last = counts[-1]
        row = np.repeat(np.arange(len(counts)), np.diff(counts, prepend=0))
        cell = row * len(onto) + self.group[:last]
        added = np.bincount(cell, self.adds[:last], minlength=counts.size * onto.size)
        total: Counts = added.astype(np.int64).reshape(len(counts), len(onto)).cumsum(0)
        return total + onto


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


@dataclass(frozen=True, eq=False)
class Projection:
    """`project` for one target and some groups, prepared: what does not depend on the scores is found once.

    Attributes:
        cost_model: Of all groups.
        rungs: Allowed kept counts of the groups that may lose channels, by index in the cost model.
        lowest: (G,) kept counts with every one of these on its lowest rung.
        limits: What is allowed.
        steps: All steps up of these groups, in the order of `rungs`.
        places: (S,) the place of each step on its ladder.
    """

    cost_model: CostModel
    rungs: Mapping[int, Counts]
    lowest: Counts
    limits: Limits
    steps: Steps
    places: Counts

    @staticmethod
    def onto(
        target: Target, cost_model: CostModel, constraints: Constraints, names: Container[str]
    ) -> "Projection":
        """Of the prunable groups among `names`; arguments and errors as of `project`."""
        free = [group for group in cost_model.groups.prunable if group.name in names]
        constraints = settle(cost_model, target=target, constraints=constraints, free=free)
        rungs = {cost_model.names.index(group.name): constraints.rungs(group) for group in free}
        counts = [len(ladder) - 1 for ladder in rungs.values()]
        adds = np.concatenate([np.zeros(0, np.int64), *map(np.diff, rungs.values())])
        places = np.concatenate([np.zeros(0, np.int64), *map(np.arange, counts)])
        return Projection(
            cost_model,
            rungs,
            lowest(cost_model, constraints, free),
            Limits(cost_model, target.limits(cost_model.count({}))),
            Steps(np.repeat(np.array([*rungs], np.int64), counts), adds),
            places,
        )

    def __call__(self, scores: Scores) -> Masks:
        """The masks.

        Raises:
            UsageError: E207, scores that do not fit the groups, or not of those that this was prepared for.
        """
        check_scores(scores, self.cost_model.groups)
        names = [self.cost_model.names[index] for index in self.rungs]
        if scores.keys() != set(names):
            raise UsageError(
                "E207", f"the scores are of other groups than the {len(names)} that this was made for"
            )
        kept = climb(self.ordered(scores), self.lowest, self.limits)
        masks = all_true(self.cost_model.groups)
        for index, name in zip(self.rungs, names, strict=True):
            masks[name] = best(scores[name], int(kept[index]))
        return masks

    def ordered(self, scores: Scores) -> Steps:
        """The steps, most wanted first."""
        wanted = [np.zeros(0)]
        for index, rungs in self.rungs.items():
            falling = -np.sort(-scores[self.cost_model.names[index]])
            sums = np.concatenate([[0.0], np.cumsum(falling)])[rungs]
            means = (sums[1:] - sums[:-1]) / (rungs[1:] - rungs[:-1])
            wanted.append(np.minimum.accumulate(means))  # rounding must not reorder a ladder
        order = np.lexsort((self.steps.group, self.places, -np.concatenate(wanted)))
        return self.steps.where(order)


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
    check_scores(scores, cost_model.groups)  # or a wrong name would be told as a target out of reach
    return Projection.onto(target, cost_model, constraints, scores)(scores)


def best(scores: NDArray[np.float64], count: int) -> NDArray[np.bool_]:
    """Bits of the `count` largest scores; of equal ones the first."""
    bits = np.zeros(len(scores), bool)
    bits[np.argsort(-scores, kind="stable")[:count]] = True
    return bits


def climb(steps: Steps, kept: Counts, limits: Limits) -> Counts:
    """Take steps while any is affordable; each round takes the longest prefix and closes groups."""
    while len(steps.group):
        count = longest_prefix(steps, kept, limits)
        kept = steps.prefixes(np.array([count]), onto=kept)[0]
        steps = Steps(steps.group[count:], steps.adds[count:])
        shut = np.zeros(len(kept), bool)
        shut[closed(steps, kept, limits)] = True
        steps = steps.where(~shut[steps.group])
    return kept


def longest_prefix(steps: Steps, kept: Counts, limits: Limits) -> int:
    """The largest number of leading steps under all bounds; `kept` itself is allowed.

    Several lengths are counted at once, as a batch costs hardly more than one.
    """
    low, high = 0, len(steps.group)
    while low < high:
        apart = -(-(high - low) // PROBES)
        tried = np.append(np.arange(low + apart, high, apart), high)
        fits = limits.allow(steps.prefixes(tried, onto=kept))
        held = len(tried) if fits.all() else int(np.argmin(fits))
        high = high if held == len(tried) else int(tried[held]) - 1
        low = int(tried[held - 1]) if held else low
    return low


def closed(steps: Steps, kept: Counts, limits: Limits) -> Counts:
    """Groups whose next step breaks a bound; as costs only grow, it will do so for good."""
    first = np.full(len(kept), -1)
    first[steps.group[::-1]] = np.arange(len(steps.group))[::-1]  # the last that is set stays
    groups = np.flatnonzero(first >= 0)
    tried = np.tile(kept, (len(groups), 1))
    tried[np.arange(len(groups)), groups] += steps.adds[first[groups]]
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

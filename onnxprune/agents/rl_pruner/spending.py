"""What a step removes when an action says which share of it each group bears.

Channels go in whole steps of the alignment. Along a direction every group comes down its ladder of allowed
counts; all these falls in the order of their time are one list, and a step takes a prefix of it:

    time     0.8    1.5    1.9    2.3    3.1
    fall   g02-8  g00-4  g02-8  g05-16  g00-4 ...
           --------------------- step | next

`ByChannels` is the paper's: an action shares out channels, the same number in every step. `ByCost` repairs
what is wrong with that. Equal numbers of channels are unequal costs, of which a target speaks; so an action
shares out cost, and a step ends at its share of the target. And where a step has less than one channel for
most groups, rounding makes nothing of them whatever the policy says; so what a group owes and could not pay
in whole steps is carried over to the next.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from onnxprune.agents.space import Counts, Space
from onnxprune.agents.types import Floats

Bits = NDArray[np.bool_]


@dataclass(frozen=True)
class Standing:
    """A model on the way to the target.

    Attributes:
        kept: (G,) allowed counts.
        owed: (G,) channels that each group should have lost beyond that, below zero where it lost more; at
            most half a step of its ladder.
    """

    kept: Counts
    owed: Floats


@dataclass(frozen=True)
class Falls:
    """Falls of groups to their next lower allowed counts, in the order of time.

    Attributes:
        kept: (G,) counts before the first.
        time: (S,) ascending; when a group has come halfway to the lower count.
        group: (S,) who falls.
        drop: (S,) channels that it loses.
    """

    kept: Counts
    time: Floats
    group: Counts
    drop: Counts

    def after(self, counts: Counts) -> Counts:
        """(B,) numbers of falls -> (B, G) kept counts after them."""
        rows = np.tile(self.kept, (len(counts), 1))
        for row, count in zip(rows, counts.tolist(), strict=True):
            np.subtract.at(row, self.group[:count], self.drop[:count])
        return rows


@dataclass(frozen=True)
class Spending(ABC):
    """How actions become kept counts.

    Attributes:
        space: Where the masks lie.
        steps: From the whole model to the target.
    """

    space: Space
    steps: int

    @abstractmethod
    def first_policy(self) -> Floats:
        """(G,) the shares with which all groups are pruned alike."""

    @abstractmethod
    def child(self, standing: Standing, action: Floats, step: int) -> Standing:
        """Where an action leads in a step, from 0 on; the last step ends at the target."""

    def whole(self) -> Standing:
        """Nothing is removed, nothing owed."""
        return self.paid(self.space.channels)

    def paid(self, kept: Counts) -> Standing:
        return Standing(kept, np.zeros(len(kept)))

    @cached_property
    def lowest(self) -> Counts:
        """(G,) the least allowed counts."""
        return np.array([rungs[0] for rungs in self.space.rungs], np.int64)

    def able(self, standing: Standing) -> Bits:
        """(G,) groups that can lose channels."""
        return standing.kept > self.lowest

    def arrived(self, standing: Standing) -> bool:
        """Whether the target is met."""
        return bool(self.fits(standing.kept[None], self.space.problem.limits)[0])

    def fits(self, kept: Counts, limits: dict[str, int]) -> Bits:
        """(B, G) kept counts -> (B,) whether every bound holds."""
        costs = self.space.costs(kept)
        held = [getattr(costs, name) <= limit for name, limit in limits.items()]
        return np.logical_and.reduce(held) if held else np.ones(len(kept), np.bool_)

    def falls(self, standing: Standing, speed: Floats) -> Falls:
        """All falls of groups that lose `speed` (G,) channels in a unit of time, and owe already."""
        parts = []
        for one in np.flatnonzero(speed > 0):
            rungs = self.space.rungs[one][self.space.rungs[one] <= standing.kept[one]][::-1]
            halfway = (rungs[:-1] + rungs[1:]) / 2
            wanted = standing.kept[one] - standing.owed[one]
            times = np.maximum(0.0, wanted - halfway) / speed[one]
            parts.append((times, np.full(len(times), one), -np.diff(rungs)))
        if not parts:
            return Falls(standing.kept, np.zeros(0), *np.zeros((2, 0), np.int64))
        time, group, drop = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.argsort(time, kind="stable")
        return Falls(standing.kept, time[order], group[order], drop[order])

    def first_fit(self, falls: Falls, ends: Counts, limits: dict[str, int]) -> int:
        """Index of the first of the ascending `ends`, numbers of falls, after which all bounds hold."""
        low, high = 0, len(ends) - 1
        while low < high:
            middle = (low + high) // 2
            if self.fits(falls.after(ends[middle : middle + 1]), limits)[0]:
                high = middle
            else:
                low = middle + 1
        return low


class ByChannels(Spending):
    """An action shares out channels; a step removes the same number of them, rounded.

    Where the rounded counts do not sum to the number n, n + 1, n + 2, ... or n - 1, ... are shared out in its
    place until the sum passes n, and the closest is taken; at least one fall. The paper's target is a share
    of all channels. Ours bounds costs, so the last step goes on until they are met, and none goes on after.
    """

    def first_policy(self) -> Floats:
        """In proportion to the channels."""
        return np.asarray(self.space.channels / self.space.channels.sum())

    @cached_property
    def number(self) -> int:
        """Channels of a step: with them the first policy comes to the target."""
        falls = self.falls(self.whole(), self.first_policy())
        ends = self.ends(falls)
        kept = falls.after(ends[[self.first_fit(falls, ends, self.space.problem.limits)]])[0]
        return max(1, round(int((self.space.channels - kept).sum()) / self.steps))

    def child(self, standing: Standing, action: Floats, step: int) -> Standing:
        falls = self.falls(standing, action)
        ends = self.ends(falls)
        taken = self.first_fit(falls, ends, self.space.problem.limits)
        if step < self.steps - 1 and taken > 0:
            removed = np.cumsum([0, *falls.drop])[ends]
            taken = min(taken, 1 + int(np.argmin(np.abs(removed[1:] - self.number))))
        return self.paid(falls.after(ends[[taken]])[0])

    def ends(self, falls: Falls) -> Counts:
        """Numbers of falls after which a whole number of channels was shared out, none at first."""
        shared = np.ceil(falls.time)
        return np.array([0, *(np.flatnonzero(np.diff(shared)) + 1), *([len(shared)] if len(shared) else [])])


class ByCost(Spending):
    """An action shares out cost; a step ends where the costs are the target's after it (`Task.partway`)."""

    def first_policy(self) -> Floats:
        """In proportion to what the groups cost."""
        cost = self.space.channels * self.space.unit_costs(self.space.channels)
        return np.asarray(cost / cost.sum())

    def child(self, standing: Standing, action: Floats, step: int) -> Standing:
        speed = action / self.space.unit_costs(standing.kept)
        falls = self.falls(standing, speed)
        limits = self.space.problem.partway(step + 1, self.steps).limits(self.space.problem.whole)
        count = self.first_fit(falls, np.arange(len(falls.time) + 1), limits)
        kept = falls.after(np.array([count]))[0]
        if step >= self.steps - 1:
            return self.paid(self.space.kept(self.space.near(kept, self.space.prior)))
        passed = falls.time[count - 1] if count else 0.0
        owed = kept - (standing.kept - standing.owed - passed * speed)
        return Standing(kept, np.where(kept > self.lowest, owed, 0.0))

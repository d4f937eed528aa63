"""The action wall: which keep ratios of a group leave a way to the target (He et al., AMC, algorithm 1).

fixed   the largest allowed count with which the bounds can still be met: cost(decided, this count, all
        that follows at its least) <= bound, in true cost, under all bounds at once. From below: the
        smallest with which one of them can still be reached by keeping all that follows; what is less
        leaves a part of the budget for good
paper   a <= (B - other) / this, of one quantity: `other` what the model costs without the group, all that
        follows at the least ratio, `this` what the whole group adds. No wall for groups of several layers
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxprune.agents.ddpg.shares import within
from onnxprune.agents.space import Space
from onnxprune.groups import Group

Counts = NDArray[np.int64]
GRID = np.arange(1, 65) / 64


@dataclass(frozen=True)
class Walls:
    """The exact walls.

    Attributes:
        space: Where the masks lie.
        lower: Whether there is one from below.
    """

    space: Space
    lower: bool

    def count(self, decided: Counts, ratio: float) -> int:
        """The kept count next to a ratio that the walls leave to the group after the `decided` (t,) ones."""
        rungs = self.space.rungs[len(decided)]
        low, high = self.between(decided)
        free = rungs[low : high + 1]
        return int(free[np.argmin(np.abs(free - ratio * self.space.channels[len(decided)]))])

    def even(self, decided: Counts) -> float:
        """The largest ratio that this group and all that follow may keep alike, in steps of 1/64."""
        place = len(decided)
        least = np.array([rungs[0] for rungs in self.space.rungs[place:]], np.int64)
        alike = np.rint(GRID[:, None] * self.space.channels[place:]).astype(np.int64)
        rows = np.concatenate([np.tile(decided, (len(GRID), 1)), np.maximum(least, alike)], axis=1)
        return float(GRID[max(0, int(within(self.space, rows).sum()) - 1)])

    def between(self, decided: Counts) -> tuple[int, int]:
        """Indices of the least and the largest allowed rung of that group."""
        rungs, following = self.space.rungs, self.space.channels[len(decided) + 1 :]
        least = np.array([r[0] for r in rungs[len(decided) + 1 :]], np.int64)
        allowed = within(self.space, self.rows(decided, least))
        high = max(0, int(allowed.sum()) - 1)  # costs grow with the count
        if not self.lower:
            return 0, high
        short = within(self.space, self.rows(decided, following), reached=False)
        return min(high, int(short.sum())), high

    def rows(self, decided: Counts, following: Counts) -> Counts:
        """(R, G) counts with each rung of the next group, and these of the groups that follow."""
        rungs = self.space.rungs[len(decided)]
        parts = [np.tile(decided, (len(rungs), 1)), rungs[:, None], np.tile(following, (len(rungs), 1))]
        return np.concatenate(parts, axis=1)


@dataclass(frozen=True)
class PaperWall:
    """The wall of the authors' code.

    Attributes:
        space: Where the masks lie.
        quantity: The cost that it holds.
        least: Smallest keep ratio.
    """

    space: Space
    quantity: str
    least: float

    def count(self, decided: Counts, ratio: float) -> int:
        """The kept count of the group after the `decided` (t,) ones, rounded up to an allowed one."""
        place = len(decided)
        group = self.space.problem.groups.prunable[place]
        if not shared(group):
            ratio = min(ratio, self.most(decided))
        wanted = round(max(ratio, self.least) * group.channels)
        rungs = self.space.rungs[place]
        return int(rungs[np.minimum(np.searchsorted(rungs, wanted), len(rungs) - 1)])

    def most(self, decided: Counts) -> float:
        """The largest ratio; one without a bound."""
        place, channels = len(decided), self.space.channels
        limit = self.space.problem.limits.get(self.quantity)
        if limit is None:
            return 1.0
        following = np.ceil(self.least * channels[place + 1 :])
        rows = np.array([[*decided, count, *following] for count in (0, channels[place])], np.int64)
        other, whole = getattr(self.space.costs(rows), self.quantity).tolist()
        return float((limit - other) / max(1, whole - other))


def shared(group: Group) -> bool:
    """Whether several weights make the channels of a group, as on a residual stream."""
    return sum(m.role == "out" for m in group.members) > 1

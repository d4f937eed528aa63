"""Which kept counts a group may have: aligned, and never fewer than asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import ceil, gcd

import numpy as np
from numpy.typing import NDArray

from onnxprune.errors import UsageError
from onnxprune.groups import Group
from onnxprune.target.alignment import Alignment, resolve_align

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Constraints:
    """What holds for every group under every target.

    Attributes:
        align: Steps of physical extents. Where several groups share one axis (a concatenation), each of
            them is aligned, and so is their sum unless one of them is kept whole at an odd count.
        min_keep: Below 1 a fraction of each group's channels, from 1 on a number of channels.
        steps: Another step for single groups, by group name.
        floors: Another least number of channels for single groups, by group name.
    """

    align: Alignment = field(default_factory=lambda: resolve_align("auto"))
    min_keep: float = 0.1
    steps: Mapping[str, int] = field(default_factory=dict)
    floors: Mapping[str, int] = field(default_factory=dict)

    def finer(self) -> "Constraints | None":
        """The same with the next finer alignment; None where there is none."""
        align = self.align.finer()
        return None if align is None else replace(self, align=align)

    def finest(self) -> "Constraints":
        """The same with the hard step everywhere."""
        return replace(self, align=replace(self.align, preferred=self.align.hard, choices=1))

    def step(self, group: Group) -> int:
        """The step of the physical extent of a group."""
        return self.steps.get(group.name) or self.align.step(group.channels * group.indices_per_channel)

    def fits(self, group: Group, kept: int) -> bool:
        """Whether this many channels leave an aligned extent."""
        return kept * group.indices_per_channel % self.step(group) == 0

    def rungs(self, group: Group) -> Counts:
        """The kept counts that a group may have, ascending; the last keeps everything.

        >>> Constraints(Alignment(8, 8), min_keep=0.3).rungs(Group("g00", 44, "conv", ()))
        array([16, 24, 32, 40, 44])
        """
        step = self.step(group)
        unit = step // gcd(step, group.indices_per_channel)
        first = ceil(self.least(group) / unit) * unit
        return ladder(first, group.channels, unit)

    def least(self, group: Group) -> int:
        """The fewest channels that `floors` or `min_keep` allow, before alignment."""
        if group.name in self.floors:
            return min(group.channels, self.floors[group.name])
        share = self.min_keep * group.channels if self.min_keep < 1 else self.min_keep
        return min(group.channels, max(1, ceil(share - 1e-9)))

    def __str__(self) -> str:
        keep = f"{self.min_keep:.0%}" if self.min_keep < 1 else f"{self.min_keep:g}"
        return f"align {self.align}, min-keep {keep}"


@lru_cache(maxsize=65536)
def ladder(first: int, last: int, step: int) -> Counts:
    """`first`, every step from it below `last`, and `last`; not to be written to: projections share it."""
    found = np.array([*range(first, last, step), last], np.int64)
    found.setflags(write=False)
    return found


def parse_min_keep(text: str) -> float:
    """`min_keep` from what a user writes: "10%", "0.1" or a number of channels.

    Raises:
        UsageError: E202, where it is none of these.
    """
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    whole = value >= 1 and value.is_integer() and not text.endswith("%")
    if not (0 <= value < 1 or whole):
        raise UsageError("E202", f"min-keep {text!r}: must be a share below 100% or a number of channels")
    return value

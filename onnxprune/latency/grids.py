"""Where a segment is measured: a few kept counts along its input and along its output.

An axis is a set of groups that grow together and one number for how much of them is kept, the extent that
they have in all. Most segments read one group and make another. Where several groups run along one axis, as
behind a concatenation, it is their common extent that decides; they are measured in equal shares.

    output  64 |  310  420  560  700
            48 |  260  350  450  560        ns, at 16 measured points;
            32 |  200  260  330  410        between them bilinear
            16 |  130  160  200  240
               +---------------------
                   16   32   48   64  input
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from onnxprune.groups import Group, Groups
from onnxprune.latency.segments import Segment
from onnxprune.operators.labels import Labels
from onnxprune.target import Constraints

Counts = NDArray[np.int64]
POINTS = 4  # along an axis, beside the least that the finest alignment allows


@dataclass(frozen=True)
class Axis:
    """Groups whose channels grow together.

    Attributes:
        weights: Indices that one channel takes along the axis, by name of a prunable group.
        levels: Kept counts by group name, for each measured point.
    """

    weights: Mapping[str, int]
    levels: tuple[Mapping[str, int], ...]

    @property
    def points(self) -> list[int]:
        """The extent at each level, ascending."""
        return [self.extent(level) for level in self.levels]

    def extent(self, kept: Mapping[str, int]) -> int:
        """How much is kept."""
        return sum(weight * kept[name] for name, weight in self.weights.items())


@dataclass(frozen=True)
class Grid:
    """The points at which a segment is measured.

    Attributes:
        segment: What is measured.
        inputs: The groups that its contraction sums over.
        outputs: All others in it.
    """

    segment: Segment
    inputs: Axis
    outputs: Axis

    @property
    def size(self) -> int:
        """How many points there are."""
        return len(self.inputs.levels) * len(self.outputs.levels)

    def kept(self) -> Iterator[Mapping[str, int]]:
        """Kept counts of each point, the outputs varying fastest."""
        for inputs, outputs in product(self.inputs.levels, self.outputs.levels):
            yield {**inputs, **outputs}


def grid_of(segment: Segment, constraints: Constraints) -> Grid:
    """The points of a segment, on counts that its groups may have."""
    groups = segment.groups
    summed = weights_of(groups, segment.consumed())
    every = weights_of(groups, segment.touched())
    others = {name: weight for name, weight in every.items() if name not in summed}
    return Grid(segment, axis_of(groups, summed, constraints), axis_of(groups, others, constraints))


def weights_of(groups: Groups, labels: Labels) -> dict[str, int]:
    """Indices that one channel takes among these labels, for each prunable group that has some."""
    counts = groups.group_counts(labels)[:-1].tolist()
    pairs = zip(groups, counts, strict=True)
    return {
        group.name: count // group.channels
        for group, count in pairs
        if count >= group.channels and group.frozen is None
    }


def axis_of(groups: Groups, weights: Mapping[str, int], constraints: Constraints) -> Axis:
    points = {name: points_of(groups[name], constraints) for name in weights}
    most = max((len(own) for own in points.values()), default=1)
    levels: dict[int, Mapping[str, int]] = {}  # by extent: each once
    axis = Axis(weights, ())
    for share in np.linspace(0, 1, most):
        level = {name: int(own[round(share * (len(own) - 1))]) for name, own in points.items()}
        levels.setdefault(axis.extent(level), level)
    return Axis(weights, tuple(levels.values()))


def points_of(group: Group, constraints: Constraints) -> Counts:
    """Kept counts at which a group is measured, ascending.

    They are spread over the counts that it may have, over those of the finest alignment where the asked one
    leaves few; with the least there is at all.
    """
    coarse, fine = constraints.rungs(group), constraints.finest().rungs(group)
    rungs = coarse if len(coarse) >= POINTS else fine
    return np.unique([fine[0], *rungs[np.linspace(0, len(rungs) - 1, POINTS).round().astype(int)]])

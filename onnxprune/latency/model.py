"""The cost of a graph with the latency that a table gives."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from onnxprune.cost import CostModel, TimedCost, TimedCosts
from onnxprune.errors import UsageError
from onnxprune.groups import Groups
from onnxprune.latency.table import LatencyTable, Times

Counts = NDArray[np.int64]


class TimedCostModel(CostModel):
    """Counts what a `CostModel` counts, and looks the latency up.

    Args:
        groups: Of the original.
        table: Of the same groups.

    Raises:
        UsageError: E208, the table is of other groups.
    """

    def __init__(self, groups: Groups, table: LatencyTable) -> None:
        super().__init__(groups)
        self.table = table
        named = {name for times in table.segments for axis in times.weights for name in axis}
        unknown = sorted(named - set(self.names))
        other = "the latency table is of another model"
        if unknown:
            raise UsageError("E208", f"{other}: it has a group {unknown[0]}")
        self._lookup = Lookup(self.names, table.segments)
        if self.count({}).latency_ns != table.original_ns:
            raise UsageError("E208", f"{other}: its groups have other numbers of channels")

    def count_kept(self, kept: Counts) -> TimedCosts:
        """Costs of a batch of kept counts (B, G), groups in their order, frozen ones included."""
        times = self.table.fixed_ns + self._lookup.sum(kept)
        return TimedCosts(**vars(super().count_kept(kept)), latency_ns=times)

    def count(self, masks: Mapping[str, NDArray[np.bool_]]) -> TimedCost:
        """The cost that the pruned model will have."""
        return self.count_kept(self.kept_counts(masks)[None]).at(0)


class Lookup:
    """The times of all segments at once.

    Points and times are padded to the longest axis; beyond its last point an axis never goes on.

    Args:
        names: Of the groups, in their order.
        segments: Their times.
    """

    def __init__(self, names: tuple[str, ...], segments: tuple[Times, ...]) -> None:
        count = len(segments)
        length = max((len(axis) for times in segments for axis in times.points), default=1) + 1
        self.weights = np.zeros((2, count, len(names)), np.int64)
        self.points = np.zeros((2, count, length), np.int64)
        self.last = np.zeros((2, count), np.int64)
        self.times = np.zeros((count, length, length), np.int64)
        for number, times in enumerate(segments):
            for axis in range(2):
                for name, weight in times.weights[axis].items():
                    self.weights[axis, number, names.index(name)] = weight
                points = np.asarray(times.points[axis], np.int64)
                self.last[axis, number] = points[-1]
                self.points[axis, number] = points[-1] + 1 + np.arange(length)
                self.points[axis, number, : len(points)] = points
            rows, columns = (length - n for n in times.times_ns.shape)
            self.times[number] = np.pad(times.times_ns, ((0, rows), (0, columns)), "edge")

    def sum(self, kept: Counts) -> Counts:
        """(B, G) kept counts -> (B,) nanoseconds."""
        total = np.zeros(len(kept), np.int64)
        if self.times.shape[0]:
            total += self.each(kept).sum(1)
        return total

    def each(self, kept: Counts) -> Counts:
        """(B, G) kept counts -> (B, N) nanoseconds of each segment."""
        below, part, width = zip(*(self.place(axis, kept) for axis in range(2)), strict=True)
        number = np.arange(self.times.shape[0])
        row, column = below
        upper, lower = (
            between(
                self.times[number, row + up, column],
                self.times[number, row + up, column + 1],
                part[1],
                width[1],
            )
            for up in (1, 0)
        )
        return between(lower, upper, part[0], width[0])

    def place(self, axis: int, kept: Counts) -> tuple[Counts, Counts, Counts]:
        """(B, N) each: the point at or below, the way beyond it, and that to the next point."""
        points = self.points[axis]
        extent = np.clip(kept @ self.weights[axis].T, points[:, 0], self.last[axis])
        below = (extent[..., None] >= points[:, 1:-1]).sum(-1)
        number = np.arange(len(points))
        start = points[number, below]
        return below, extent - start, points[number, below + 1] - start


def between(low: Counts, high: Counts, part: Counts, width: Counts) -> Counts:
    """`part` of the way of `width` from `low` to `high`, rounded down; exact, so that it never falls."""
    return np.asarray((low * (width - part) + high * part) // width)

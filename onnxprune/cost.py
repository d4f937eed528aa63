"""What a model costs: MACs, params and bytes, in closed form from kept counts.

Each contraction's MACs and each initializer's elements are a product of extents, and every extent is
linear in the kept counts. So a mask is counted without rewriting anything, thousands of times a second,
and exactly: the pruned file counted anew gives the same numbers.

1 MAC is one multiply-accumulate of Conv, ConvTranspose, Gemm, MatMul and their fused, quantised,
recurrent and attention forms; nothing else is counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxprune.groups import Groups
from onnxprune.operators.labels import Labels

Counts = NDArray[np.int64]
Axis = tuple[str, int]


@dataclass(frozen=True)
class Cost:
    """macs under the assumed input shapes; params: elements of weights (no scalars), and their bytes."""

    macs: int
    params: int
    bytes: int


@dataclass(frozen=True)
class Costs:
    """The same for a batch of masks: arrays (B,)."""

    macs: Counts
    params: Counts
    bytes: Counts

    def at(self, row: int) -> Cost:
        """The cost of one of them."""
        return Cost(int(self.macs[row]), int(self.params[row]), int(self.bytes[row]))


@dataclass(frozen=True)
class TimedCost(Cost):
    """With the latency that a table of measurements gives, in nanoseconds; see `onnxprune.latency`."""

    latency_ns: int


@dataclass(frozen=True)
class TimedCosts(Costs):
    """The same for a batch of masks: arrays (B,)."""

    latency_ns: Counts

    def at(self, row: int) -> TimedCost:
        """The cost of one of them."""
        return TimedCost(**vars(super().at(row)), latency_ns=int(self.latency_ns[row]))


def cost_from(document: Mapping[str, int]) -> Cost:
    """The cost whose `vars` these are.

    Raises:
        TypeError: Something else.
    """
    return TimedCost(**document) if "latency_ns" in document else Cost(**document)


@dataclass(frozen=True)
class Extents:
    """Extents as linear functions of the kept counts: fixed + sum of (indices a channel takes) * kept.

    Few groups run over one axis, so only those are stored: `groups` and `widths` of all axes in a row,
    each axis beginning at its `starts`. Every axis has at least one entry, where there are groups at all.
    """

    fixed: Counts  # (E,)
    groups: Counts  # (entries,)
    widths: Counts  # (entries,)
    starts: Counts  # (E,)

    @staticmethod
    def of(rows: list[Counts], channels: Counts) -> "Extents":
        """From the indices of each axis in each group (G,) and in none (last)."""
        fixed = np.array([row[-1] for row in rows], np.int64)
        if not len(channels):  # all there is is fixed
            none = np.zeros(0, np.int64)
            return Extents(fixed, none, none, none)
        found = [np.flatnonzero(row[:-1]) if row[:-1].any() else np.zeros(1, np.int64) for row in rows]
        groups = np.concatenate([*found, np.zeros(0, np.int64)]).astype(np.int64)
        widths = [row[own] // channels[own] for row, own in zip(rows, found, strict=True)]
        return Extents(
            fixed,
            groups,
            np.concatenate([*widths, np.zeros(0, np.int64)]).astype(np.int64),
            np.cumsum([0, *(len(own) for own in found)])[:-1],
        )

    def evaluate(self, kept: Counts) -> Counts:
        """(B, G) kept counts -> (B, E + 1) extents; the last is 1."""
        extents = np.ones((len(kept), len(self.fixed) + 1), np.int64)
        extents[:, :-1] = self.fixed
        if len(self.starts):
            extents[:, :-1] += np.add.reduceat(kept[:, self.groups] * self.widths, self.starts, axis=1)
        return extents


@dataclass(frozen=True)
class Products:
    """Terms fixed * product of extents; `axes` is padded with the index of a constant 1."""

    fixed: Counts  # (T,)
    axes: Counts  # (T, R)

    def evaluate(self, extents: Counts) -> Counts:
        """(B, E) extents -> (B, T) terms."""
        result: Counts = np.multiply.reduce(extents[:, self.axes], axis=2)
        return result * self.fixed


class CostModel:
    """The cost of a graph as a function of the kept counts of its groups."""

    def __init__(self, groups: Groups) -> None:
        self.groups = groups
        self.names = tuple(group.name for group in groups)
        self.channels = np.array([group.channels for group in groups], np.int64)
        self._axis_index: dict[Axis, int] = {}
        self._rows: list[Counts] = []
        graph, terms = groups.graph, groups.findings.macs
        self.mac_nodes = tuple(term.node for term in terms)
        self._macs = self._products([(t.fixed, t.axes) for t in terms])
        stored = [i for i in graph.initializers.values() if i.is_weight]
        self._sizes = self._products([(1, tuple((i.name, a) for a in range(len(i.shape)))) for i in stored])
        self._bits = np.array([i.bits for i in stored], np.int64)
        self._extents = Extents.of(self._rows, self.channels)

    def _products(self, terms: list[tuple[int, tuple[Axis | Labels, ...]]]) -> Products:
        """Extents that never change go into the fixed factor."""
        fixed, columns = [], []
        for factor, axes in terms:
            moving = []
            for extent in axes:
                index = self._index(extent)
                if index is not None:
                    moving.append(index)
                elif isinstance(extent, tuple):
                    factor *= self.groups.graph.shapes[extent[0]][extent[1]]
            fixed.append(factor)
            columns.append(moving)
        width = max((len(c) for c in columns), default=0)
        padded = [c + [-1] * (width - len(c)) for c in columns]
        return Products(np.array(fixed, np.int64), np.array(padded, np.int64).reshape(len(fixed), width))

    def _index(self, extent: Axis | Labels) -> int | None:
        """Number of an extent; None for an axis that no group runs over."""
        if not isinstance(extent, tuple):
            self._rows.append(self.groups.group_counts(extent))
            return len(self._rows) - 1
        name, axis = extent
        labels = self.groups.axis_labels(name)[axis : axis + 1]
        if not labels or labels[0] is None:
            return None
        if (name, axis) not in self._axis_index:
            self._axis_index[name, axis] = len(self._rows)
            self._rows.append(self.groups.group_counts(labels[0]))
        return self._axis_index[name, axis]

    def count_kept(self, kept: Counts) -> Costs:
        """Costs of a batch of kept counts (B, G), groups in their order, frozen ones included."""
        extents = self._extents.evaluate(kept)
        sizes = self._sizes.evaluate(extents)
        return Costs(
            macs=self._macs.evaluate(extents).sum(1),
            params=sizes.sum(1),
            bytes=((sizes * self._bits + 7) // 8).sum(1),
        )

    def kept_counts(self, masks: Mapping[str, NDArray[np.bool_]]) -> Counts:
        """(G,) kept counts of masks; groups without a mask keep everything."""
        return np.array(
            [int(masks[n].sum()) if n in masks else c for n, c in zip(self.names, self.channels, strict=True)]
        )

    def count(self, masks: Mapping[str, NDArray[np.bool_]]) -> Cost:
        """The cost that the pruned model will have."""
        return self.count_kept(self.kept_counts(masks)[None]).at(0)

    def macs_by_node(self, masks: Mapping[str, NDArray[np.bool_]]) -> dict[str, int]:
        """MACs of each contracting node."""
        terms = self._macs.evaluate(self._extents.evaluate(self.kept_counts(masks)[None]))[0]
        table: dict[str, int] = {}
        for node, macs in zip(self.mac_nodes, terms.tolist(), strict=True):
            table[node] = table.get(node, 0) + macs
        return table


def count(groups: Groups, masks: Mapping[str, NDArray[np.bool_]]) -> Cost:
    """The cost of the model that `prune` makes of these masks."""
    return CostModel(groups).count(masks)

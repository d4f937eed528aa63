"""Sums over the slices of weights, and the channels that weights join. Each weight is read once."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxprune.calibration.dequantised import Floats, is_learned
from onnxprune.observation.blocks import BLOCK, blocks
from onnxprune.observation.rows import ChannelRows, Rows
from onnxprune.observation.types import Edges, merged
from onnxprune.onnx_file import Initializer
from onnxprune.operators.labels import Fact, Labels
from onnxprune.operators.slots import NORMALISATION_SCALE

PARTNERS = 8  # of one channel
Bits = NDArray[np.bool_]


@dataclass(frozen=True)
class Slices:
    """By label of an axis of a weight: the sum over the slice across that axis; 0 for other labels.

    Attributes:
        absolute: (labels,) sum of |w|.
        squared: (labels,) sum of w^2.
        signed: (labels,) w itself, for weights of one axis that are no factors.
        known: (labels,) the label is of an axis of a weight.
        made, read: (labels,) a contraction makes channels there, or reads them.
    """

    absolute: Floats
    squared: Floats
    signed: Floats
    known: Bits
    made: Bits
    read: Bits

    @staticmethod
    def empty(rows: ChannelRows) -> "Slices":
        store = rows.groups.findings.store
        made, read = marked(store.produced, store.count), marked(store.consumed, store.count)
        absolute, squared, signed = np.zeros((3, store.count))
        return Slices(absolute, squared, signed, np.zeros(store.count, bool), made, read)

    def by_row(self, rows: ChannelRows, values: Floats, where: Bits) -> Floats:
        """(C,) the numbers of the labels marked in `where`, added up by channel."""
        own = self.known & where & (rows.of_label >= 0)
        return np.bincount(rows.of_label[own], values[own], minlength=len(rows)).astype(np.float64)


def marked(facts: list[Fact], count: int) -> Bits:
    bits = np.zeros(count, bool)
    for fact in facts:
        bits[fact.labels] = True
    return bits


@dataclass
class Joined:
    """Candidates for partners: from a channel that a weight reads to those it makes of it."""

    sources: list[Rows]
    targets: list[Rows]
    weights: list[Floats]

    def edges(self) -> Edges:
        """The strongest of each channel."""
        none: Rows = np.zeros(0, np.int64)
        joined = (np.concatenate([none, *part]) for part in (self.sources, self.targets, self.weights))
        sources, targets, weights = joined
        every = merged(sources.astype(np.int64), targets.astype(np.int64), weights)
        return strongest(every, PARTNERS)


def strongest(edges: Edges, count: int) -> Edges:
    """At most so many edges of each source."""
    order = np.lexsort((-edges.weight, edges.index[0]))  # stable: of equal ones the first target
    sources = edges.index[0, order]
    place = np.arange(len(order)) - np.searchsorted(sources, sources)
    kept = np.sort(order[place < count])
    return Edges(edges.index[:, kept], edges.weight[kept])


def read_weights(rows: ChannelRows) -> tuple[Slices, Edges]:
    """The slices of all weights that prunable channels run through, and the partners of each channel.

    A partner is a channel of another group that a weight makes of the channel. The weight of the edge is
    the norm of the block that joins the two, 1 for the usual block of that weight.
    """
    graph = rows.groups.graph
    axes: dict[str, dict[int, Labels]] = defaultdict(dict)
    for name, axis, labels in rows.groups.findings.store.sites():
        if name in graph.initializers and rows.carries(labels) and is_learned(graph, name):
            axes[name][axis] = labels
    slices, joined = Slices.empty(rows), Joined([], [], [])
    for name, own in axes.items():
        read_weight(rows, graph.initializers[name], own, (slices, joined))
    return slices, joined.edges()


def read_weight(
    rows: ChannelRows, weight: Initializer, axes: dict[int, Labels], into: tuple[Slices, Joined]
) -> None:
    """Add one weight's slices and candidates, in place."""
    slices, joined = into
    made = next((axis for axis, labels in axes.items() if slices.made[labels].any()), None)
    read = next((a for a, labels in axes.items() if slices.read[labels].any() and a != made), None)
    first = next(iter(axes)) if read is None else read
    pieces = cut_up(rows.of_label[axes[first]], weight)
    pair = None if made is None or read is None else Pair.of(rows, axes[read], axes[made])
    places = {(a + 1 if a < first else a): labels for a, labels in axes.items() if a != first}  # once moved
    for labels in axes.values():
        slices.known[labels] = True
    shift = len(weight.shape) == 1 and not is_factor(rows, weight.name)
    values_of = blocks(rows.groups.graph, weight, axis=first, pieces=pieces)
    for indices, values in zip(pieces, values_of, strict=True):
        own = places | {0: axes[first][indices]}
        if shift:
            slices.signed[own[0]] = values
        squares = np.square(values)
        add_slices(slices.squared, squares, own)
        add_slices(slices.absolute, np.abs(values, out=values), own)
        if pair is not None and made is not None:
            place = made + 1 if made < first else made
            pair.add(indices, squares.sum(axis=tuple(a for a in range(1, squares.ndim) if a != place)))
    if pair is not None:
        pair.finish(joined)


def add_slices(totals: Floats, values: Floats, axes: dict[int, Labels]) -> None:
    """Add the sum over each slice across these axes to the totals of its labels, in place."""
    for axis, labels in axes.items():
        totals[labels] += values.sum(axis=tuple(a for a in range(values.ndim) if a != axis))


def is_factor(rows: ChannelRows, name: str) -> bool:
    graph = rows.groups.graph
    readers = [(graph.nodes[edge.node], edge.slot) for edge in graph.consumers.get(name, ())]
    return any(NORMALISATION_SCALE.get((node.domain, node.op_type)) == slot for node, slot in readers)


def cut_up(of_index: Rows, weight: Initializer) -> list[Rows]:
    """The indices of an axis in pieces of bounded size; all indices of a channel are in one piece."""
    order = np.argsort(of_index, kind="stable")
    begins = np.flatnonzero(np.diff(of_index[order], prepend=-2))
    size = max(1, BLOCK // max(1, weight.size // len(of_index)))
    wanted = np.searchsorted(begins, np.arange(size, len(order), size))
    cuts = np.unique(begins[wanted[wanted < len(begins)]])
    loose = int((of_index < 0).sum())  # of no channel, so they may be parted anywhere
    cuts = np.union1d(cuts, np.arange(size, loose, size))
    return np.split(order, cuts[cuts > 0].astype(np.int64))


@dataclass
class Pair:
    """Blocks of one weight between the channels that it reads and those that it makes."""

    rows: ChannelRows
    read: Rows  # (extent of the axis that is read,) rows
    order: Rows  # indices of the axis that makes channels, by row
    begins: Rows  # where each row's indices begin in `order`
    made: Rows  # (begins,) their rows
    total: float
    count: int
    found: list[tuple[Rows, Rows, Floats]]

    @staticmethod
    def of(rows: ChannelRows, read: Labels, made: Labels) -> "Pair":
        of_index = rows.of_label[made]
        order = np.argsort(of_index, kind="stable")
        order = order[of_index[order] >= 0]
        begins = np.flatnonzero(np.diff(of_index[order], prepend=-1))
        return Pair(rows, rows.of_label[read], order, begins, of_index[order][begins], 0.0, 0, [])

    def add(self, indices: Rows, squares: Floats) -> None:
        """Look at the blocks of these indices: squares (indices, extent), in place."""
        own = self.read[indices] >= 0
        sources = self.read[indices][own]
        if not len(sources):
            return
        begins = np.flatnonzero(np.diff(sources, prepend=-1))
        squares = added(squares if own.all() else squares[own], begins, axis=0)
        if not np.array_equal(self.order, np.arange(squares.shape[1])):
            squares = squares[:, self.order]
        squares = added(squares, self.begins, axis=1)
        sources = sources[begins]
        self.total += float(squares.sum())
        self.count += squares.size
        squares = self.between_groups(sources, squares)
        chosen = largest(squares)  # (sources, 8)
        weights = np.take_along_axis(squares, chosen, axis=1)
        real = weights > 0
        self.found.append((np.repeat(sources, real.sum(axis=1)), self.made[chosen][real], weights[real]))

    def between_groups(self, sources: Rows, squares: Floats) -> Floats:
        """The blocks with 0 for those inside one group, which live in one layer."""
        group = self.rows.group_of
        if not np.isin(group[self.made], group[sources]).any():
            return squares
        return np.where(group[self.made] == group[sources][:, None], 0.0, squares)

    def finish(self, joined: Joined) -> None:
        """Hand on what was found, as norms relative to the usual block, in place."""
        usual = self.total / max(1, self.count)
        for sources, targets, squares in self.found:
            joined.sources.append(sources)
            joined.targets.append(targets)
            joined.weights.append(np.sqrt(squares / usual))


def largest(values: Floats) -> Rows:
    """(rows, at most 8) columns of the largest numbers of each row."""
    if values.shape[1] <= PARTNERS:
        return np.broadcast_to(np.arange(values.shape[1]), values.shape)
    return np.argpartition(values, -PARTNERS, axis=1)[:, -PARTNERS:]


def added(values: Floats, begins: Rows, *, axis: int) -> Floats:
    """Neighbours that belong together added up; the array itself where each stands alone."""
    if len(begins) == values.shape[axis]:
        return values
    summed: Floats = np.add.reduceat(values, begins, axis=axis)
    return summed

"""Who reads a channel: what contractions contribute to its score, and the weights that they read it with."""

import numpy as np
from numpy.typing import NDArray

from onnxprune.criteria.options import Scores
from onnxprune.criteria.probe import computed_from_data
from onnxprune.criteria.weights import Floats, slice_sums
from onnxprune.groups import Groups, Member
from onnxprune.operators.context import Cut


class ChannelTable:
    """Contributions of the indices of cuts to the channels that they belong to."""

    def __init__(self, groups: Groups) -> None:
        self.groups = groups
        counts = [group.channels for group in groups]
        self.starts = np.cumsum([0, *counts])
        self.totals = np.zeros(self.starts[-1])
        self.counts = np.zeros(self.starts[-1], np.int64)

    def add(self, cut: Cut, values: Floats) -> None:
        """Add one number for each index of a cut's axis, in place."""
        owner, channel = self.groups.components.group[cut.labels], self.groups.components.channel[cut.labels]
        known = owner >= 0
        flat = self.starts[owner[known]] + channel[known]
        size = len(self.totals)
        self.totals += np.bincount(flat, values[known], minlength=size)
        self.counts += np.bincount(flat, minlength=size)

    def sums(self) -> Scores:
        return self._split(self.totals)

    def means(self) -> Scores:
        return self._split(self.totals / np.maximum(self.counts, 1))

    def _split(self, values: Floats) -> Scores:
        """Prunable groups that at least one contribution went to."""
        return {
            group.name: values[start : start + group.channels]
            for group, start in zip(self.groups, self.starts.tolist(), strict=False)
            if group.frozen is None and self.counts[start]
        }


def reader_sizes(groups: Groups, cuts: list[Cut]) -> list[Floats]:
    """For each cut, (extent,) sums of |w| over the slice of the reader's weight that goes with each index."""
    size_of_label = label_sizes(groups)
    data = computed_from_data(groups.graph)
    return [weight_along(groups, cut, size_of_label, data) for cut in cuts]


def label_sizes(groups: Groups) -> Floats:
    """(labels,) sum of |w| over the slice of the one initializer axis that owns each label."""
    store = groups.findings.store
    owned = [
        (name, axis, labels) for name, axis, labels in store.sites() if name in groups.graph.initializers
    ]
    none = np.zeros((0, 0), np.int64)
    weights = [
        Member(name, axis, none, "other")
        for name, axis, _ in owned
        if groups.graph.initializers[name].dtype.kind not in "bOUS"
    ]
    sums = slice_sums(groups.graph, weights, np.abs)
    sizes = np.zeros(store.count)
    for name, axis, labels in owned:
        if (name, axis) in sums:
            sizes[labels] = sums[name, axis]
    return sizes


def weight_along(groups: Groups, cut: Cut, size_of_label: Floats, data: set[str]) -> Floats:
    """Sizes of the weight slices beside a cut; ones where the reader has no weight.

    The axis is known by its channels: they are those of the cut, index by index, or repeated (each input of a
    depthwise convolution feeds several outputs), or one period of them (a grouped convolution).
    """
    node = groups.graph.nodes[cut.edge.node]
    store, component = groups.findings.store, channel_ids(groups)
    consumed = {id(f.labels) for f in store.consumed if f.reason == node.name}
    wanted, count = component[cut.labels], len(cut.labels)
    axes = [
        labels
        for slot, name in enumerate(node.inputs)
        if slot != cut.edge.slot and name not in data
        for labels in groups.axis_labels(name)
        if labels is not None and len(groups.axis_labels(name)) > 1
    ]
    for labels in sorted(axes, key=lambda ls: id(ls) not in consumed):
        sizes = fitted(size_of_label[labels], component[labels], wanted)
        if sizes is not None:
            return sizes
    return np.ones(count)


def fitted(sizes: Floats, ids: NDArray[np.int64], wanted: NDArray[np.int64]) -> Floats | None:
    """Sizes of the slices for the channels `wanted`; None where these are other channels than `ids`."""
    count, own = len(wanted), len(ids)
    if own % count == 0 and (ids == np.repeat(wanted, own // count)).all():
        per_input: Floats = np.add.reduce(sizes.reshape(count, -1), axis=1)
        return per_input
    if count % own == 0 and (np.tile(ids, count // own) == wanted).all():
        return np.tile(sizes * (own / count), count // own)
    return None


def channel_ids(groups: Groups) -> NDArray[np.int64]:
    """(labels,) one number for each channel; -1 for labels in no group."""
    group, channel = groups.components.group, groups.components.channel
    widest = max((g.channels for g in groups), default=1)
    ids: NDArray[np.int64] = np.where(group < 0, -1, group * widest + channel)
    return ids

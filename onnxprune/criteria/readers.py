"""Contractions as readers of channels: what each contributes, and the size of the weights it reads with."""

import numpy as np
from numpy.typing import NDArray

from onnxprune.calibration.cuts import channel_ids, computed_from_data, operands
from onnxprune.calibration.dequantised import Floats
from onnxprune.criteria.options import Scores
from onnxprune.criteria.weights import slice_sums
from onnxprune.groups import Groups, Member
from onnxprune.operators.findings import Cut


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
    component, data = channel_ids(groups), computed_from_data(groups.graph)
    sizes = []
    for cut in cuts:
        beside = operands(groups, cut, lambda name: name not in data)
        found = (fitted(size_of_label[o.labels], component[o.labels], component[cut.labels]) for o in beside)
        sizes.append(next((s for s in found if s is not None), np.ones(len(cut.labels))))
    return sizes


def label_sizes(groups: Groups) -> Floats:
    """(labels,) sum of |w| over the slice of the one initializer axis that owns each label."""
    initializers, none = groups.graph.initializers, np.zeros((0, 0), np.int64)
    owned = {
        (name, axis): labels
        for name, axis, labels in groups.findings.store.sites()
        if name in initializers and initializers[name].dtype.kind not in "bOUS"
    }
    weights = [Member(name, axis, none, "other") for name, axis in owned]
    sizes = np.zeros(groups.findings.store.count)
    for key, sums in slice_sums(groups.graph, weights, np.abs).items():
        sizes[owned[key]] = sums
    return sizes


def fitted(sizes: Floats, ids: NDArray[np.int64], wanted: NDArray[np.int64]) -> Floats | None:
    """Sizes of the slices for the channels `wanted`; None where these are other channels than `ids`.

    They may be the same, index by index; several for one (each input of a depthwise convolution feeds
    several outputs); or one period of them (a grouped convolution).
    """
    count, own = len(wanted), len(ids)
    if own % count == 0 and (ids == np.repeat(wanted, own // count)).all():
        per_input: Floats = np.add.reduce(sizes.reshape(count, -1), axis=1)
        return per_input
    if count % own == 0 and (np.tile(ids, count // own) == wanted).all():
        return np.tile(sizes * (own / count), count // own)
    return None

"""Labels as rows: the place in ChannelOrder of the channel that a label belongs to."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from onnxprune.groups import Groups
from onnxprune.masks import ChannelOrder
from onnxprune.operators.labels import AxisLabels, Labels

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class ChannelRows:
    """Which row of ChannelOrder each label belongs to.

    Attributes:
        groups: Of the model.
        order: All prunable channels as one row.
        group_of: (C,) index of each channel's group.
        of_label: (labels,) row, -1 for labels of no prunable group.
    """

    groups: Groups
    order: ChannelOrder
    group_of: Rows
    of_label: Rows
    _carries: dict[int, bool] = field(default_factory=dict, repr=False)

    @staticmethod
    def of(groups: Groups) -> "ChannelRows":
        order = ChannelOrder.of(groups)
        starts = dict(zip(order.names, order.starts.tolist(), strict=False))
        start = np.array([starts.get(group.name, -1) for group in groups] + [-1], np.int64)
        group, channel = groups.components.group, groups.components.channel  # -1 finds the last start
        of_label = np.where(start[group] < 0, -1, start[group] + channel)
        return ChannelRows(groups, order, order.group_of, of_label)

    def __len__(self) -> int:
        return len(self.order)

    def carries(self, labels: AxisLabels) -> bool:
        """Whether prunable channels run through an axis. Axes that share one array are looked at once."""
        if labels is None:
            return False
        if id(labels) not in self._carries:  # the store keeps the array alive
            self._carries[id(labels)] = bool((self.of_label[labels] >= 0).any())
        return self._carries[id(labels)]

    def touch(self, value: str) -> bool:
        """Whether prunable channels run through a value."""
        return any(self.carries(labels) for labels in self.groups.axis_labels(value))

    def is_channel_axis(self, labels: AxisLabels) -> bool:
        """Whether an axis holds channels of any group, frozen ones included."""
        return labels is not None and bool((self.groups.components.group[labels] >= 0).any())

    def rows(self, labels: Labels) -> Rows:
        """Rows of the prunable channels among these labels, each once, sorted."""
        found = np.unique(self.of_label[labels])
        return found[found >= 0]

    def total(self, labels: Labels, values: NDArray[np.float64], rows: Rows) -> NDArray[np.float64]:
        """(rows,) sum of the numbers of the labels that belong to each of these sorted rows."""
        of_label = self.of_label[labels]
        place = np.minimum(np.searchsorted(rows, of_label), len(rows) - 1)
        own = rows[place] == of_label
        sums = np.bincount(place[own], values[own], minlength=len(rows))
        return sums.astype(np.float64)

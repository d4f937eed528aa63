"""Labels of sites, and the equations and facts that operators state about them."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]  # (extent,): one label per index of an axis
AxisLabels = Labels | None  # None: the extent of this axis never changes
ValueLabels = tuple[AxisLabels, ...]  # one entry per axis


@dataclass(frozen=True)
class Fact:
    """Something that holds for a set of labels, and why."""

    labels: Labels
    reason: str


@dataclass
class LabelStore:
    """Every label handed out in one analysis, and what was said of it."""

    count: int = 0
    equal: list[tuple[Labels, Labels]] = field(default_factory=list)
    frozen: list[Fact] = field(default_factory=list)
    inexact: list[Fact] = field(default_factory=list)
    produced: list[Fact] = field(default_factory=list)  # output axes of contractions, by node
    consumed: list[Fact] = field(default_factory=list)  # input axes of contractions, by node
    values: dict[str, ValueLabels] = field(default_factory=dict)

    def fresh(self, count: int) -> Labels:
        """`count` labels that nothing is known of."""
        self.count += count
        return np.arange(self.count - count, self.count, dtype=np.int64)

    def couple(self, a: Labels, b: Labels) -> None:
        """Index i of `a` and of `b` live or die together."""
        if a is not b:
            self.equal.append((a, b))

    def freeze(self, labels: AxisLabels, reason: str) -> None:
        if labels is not None and len(labels):
            self.frozen.append(Fact(labels, reason))

    def sites(self) -> Iterator[tuple[str, int, Labels]]:
        """(tensor, axis, labels) of every labelled axis."""
        for name, axes in self.values.items():
            for axis, labels in enumerate(axes):
                if labels is not None:
                    yield name, axis, labels

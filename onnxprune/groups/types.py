"""Groups of channels and what they are made of."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import gcd
from typing import Literal as OneOf

import numpy as np
from numpy.typing import NDArray

from onnxprune.onnx_file import Graph
from onnxprune.onnx_file.host import HostValues
from onnxprune.operators.findings import Findings
from onnxprune.operators.labels import AxisLabels, Labels

Role = OneOf["out", "in", "other"]
Bits = NDArray[np.bool_]


@dataclass(frozen=True)
class Member:
    """One axis of one initializer that a group runs through.

    Attributes:
        tensor, axis: The axis.
        positions: (channels, k) indices on that axis of each channel.
        role: "out" where a contraction produces the channels there, "in" where one consumes them.
    """

    tensor: str
    axis: int
    positions: NDArray[np.int64]
    role: Role


@dataclass(frozen=True)
class Group:
    """Channels that share one set of (tensor, axis) members.

    Attributes:
        name: Such as "g03", in the order of the graph.
        channels: How many; each is kept or removed whole.
        anchor: The node that produces them first.
        members: The initializer axes that they run through.
        frozen: Why they must stay; None where they may be removed.
        inexact: A statistic runs over them, so that the law holds only in kind.
        width: Indices that one channel takes on the axis that produces it (the physical step of it).
    """

    name: str
    channels: int
    anchor: str
    members: tuple[Member, ...]
    frozen: str | None = None
    inexact: bool = False
    width: int = 1

    @cached_property
    def indices_per_channel(self) -> int:
        """Indices that a channel takes on every axis that produces it (their greatest common divisor)."""
        return gcd(*(m.positions.shape[1] for m in self.members if m.role == "out")) or self.width


@dataclass(frozen=True)
class Components:
    """For each label its channel: which group, and which index in it (-1: in no group)."""

    group: NDArray[np.int64]  # (labels,)
    channel: NDArray[np.int64]  # (labels,)


@dataclass(frozen=True)
class Groups(Sequence[Group]):
    """All groups of a graph, frozen ones included, with what is needed to count and to prune."""

    graph: Graph
    items: tuple[Group, ...]
    components: Components
    findings: Findings
    host: HostValues
    _by_name: dict[str, Group] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._by_name.update({group.name: group for group in self.items})

    def __getitem__(self, key: int | str) -> Group:  # type: ignore[override]
        return self._by_name[key] if isinstance(key, str) else self.items[key]

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def prunable(self) -> tuple[Group, ...]:
        """The groups that may lose channels."""
        return tuple(group for group in self.items if group.frozen is None)

    @cached_property
    def produced_at(self) -> dict[str, list[Labels]]:
        """By node name: the labels that come into being there."""
        found: dict[str, list[Labels]] = defaultdict(list)
        for fact in self.findings.store.produced:
            found[fact.reason].append(fact.labels)
        return dict(found)

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """For each label the place of its channel, all groups in a row; behind the last: in none."""
        starts = np.cumsum([0, *(g.channels for g in self.items)])
        grouped = self.components.group >= 0
        where = np.full(len(grouped), starts[-1])
        where[grouped] = starts[self.components.group[grouped]] + self.components.channel[grouped]
        return where

    def keep_labels(self, masks: dict[str, Bits]) -> Bits:
        """For each label whether it stays."""
        flat = [masks.get(g.name, np.ones(g.channels, bool)) for g in self.items]
        bits = np.concatenate([*flat, np.ones(1, bool)])  # the last one is for labels in no group
        return np.asarray(bits[self.places], bool)

    def axis_labels(self, tensor: str) -> tuple[AxisLabels, ...]:
        return self.findings.store.values.get(tensor, ())

    def group_counts(self, labels: Labels) -> NDArray[np.int64]:
        """How many of these labels belong to each group; the last entry counts those in none."""
        return np.bincount(
            self.components.group[labels] % (len(self.items) + 1), minlength=len(self.items) + 1
        )

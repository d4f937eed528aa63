"""Where a batch lies in a value, and what must change at a node so that it can go on."""

from dataclasses import dataclass


class LostBatch(Exception):
    """The batch cannot be followed any further; the message says where and why."""


@dataclass(frozen=True)
class BatchAxis:
    """Where the batch lies: at batch n, `axis` has the extents (outer, n, inner) merged, in this order.

    [B * heads, 49, 64] has BatchAxis(0), and [L * B, 64] has BatchAxis(0, outer=L).
    """

    axis: int
    outer: int = 1


@dataclass(frozen=True)
class Times:
    """The batch times a number, as an entry of a vector."""

    factor: int


Entry = int | Times


@dataclass(frozen=True)
class SetInput:
    """An input slot reads a vector of integers."""

    slot: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class TileInput:
    """An input slot reads its value repeated along an axis, once for each sample."""

    slot: int
    axis: int
    rank: int


@dataclass(frozen=True)
class MoveFirst:
    """An input slot reads its value as (batch, rest): the batch comes out from behind `before` elements."""

    slot: int
    before: int
    after: int


@dataclass(frozen=True)
class Become:
    """The node becomes a Reshape of its first input, or an Identity where `entries` is None."""

    entries: tuple[Entry, ...] | None


Edit = SetInput | TileInput | MoveFirst | Become


@dataclass(frozen=True)
class Step:
    """One way to go on past a node: where the batch lies in its outputs, and what must change for that."""

    places: tuple[BatchAxis | None, ...]
    edits: tuple[Edit, ...] = ()

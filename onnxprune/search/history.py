"""What a search has tried so far: one episode a candidate, in the order of asking."""

from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from onnxprune.agents.types import Outcome
from onnxprune.cost import Cost, cost_from
from onnxprune.masks import ChannelOrder, Masks

PATIENCE = 3  # failures in a row that end a search


@dataclass(frozen=True)
class Scored:
    """What a score says of masks.

    Attributes:
        accuracy: Larger is better; None where scoring failed.
        rows: Samples that it stands for.
        error: Why it failed.
    """

    accuracy: float | None
    rows: int
    error: str = ""


@dataclass(frozen=True)
class Episode:
    """One candidate and its outcome.

    Attributes:
        number: From 1.
        update: Number of the batch that it was asked for in, from 1.
        note: How the agent came to it.
        masks: Their hash.
        bits: Keep bits of all prunable channels in `ChannelOrder`, packed, in base 64.
        accuracy, violation, cost, rows, error: As in `Outcome`.
        cached: The same masks were evaluated before.
    """

    number: int
    update: int
    note: str
    masks: str
    bits: str
    accuracy: float | None
    violation: float
    cost: Cost
    rows: int
    error: str
    cached: bool

    @property
    def feasible(self) -> bool:
        """The target is met as it was asked; what is nearly so teaches an agent, and is never chosen."""
        return self.violation == 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> "Episode":
        """What `to_json` gave.

        Raises:
            TypeError: Something else.
        """
        return Episode(**{**document, "cost": cost_from(document["cost"])})


def pack(masks: Masks, order: ChannelOrder) -> str:
    return b64encode(np.packbits(order.join(masks)).tobytes()).decode()


def unpack(bits: str, order: ChannelOrder) -> Masks:
    row = np.unpackbits(np.frombuffer(b64decode(bits), np.uint8), count=len(order)).astype(bool)
    return {name: part.copy() for name, part in order.split(row).items()}


@dataclass
class History:
    """All episodes that the agent was told of.

    Attributes:
        rows: Samples of a full evaluation; what stands for fewer was given up.
        episodes: In their order.
        known: The first successful episode by hash of its masks.
        best: The best that meets the target, by accuracy on all rows; of equal ones the first.
    """

    rows: int
    episodes: list[Episode] = field(default_factory=list)
    known: dict[str, Episode] = field(default_factory=dict)
    best: Episode | None = None

    def __len__(self) -> int:
        return len(self.episodes)

    def add(self, episodes: Iterable[Episode]) -> None:
        """Append, in place."""
        for episode in episodes:
            self.episodes.append(episode)
            if episode.accuracy is None:
                continue
            self.known.setdefault(episode.masks, episode)
            better = self.best is None or (self.best.accuracy or 0.0) < episode.accuracy
            if self.ranked(episode) and better:
                self.best = episode

    def outcome(self, episode: Episode) -> Outcome:
        """What an agent is told of an episode."""
        e = episode
        return Outcome(e.accuracy, e.violation, e.cost, e.rows, e.error, given_up=self.given_up(e))

    def given_up(self, episode: Episode) -> bool:
        return 0 < episode.rows < self.rows

    def ranked(self, episode: Episode) -> bool:
        """Whether an episode may be the best: scored on all rows, and the target met."""
        return episode.accuracy is not None and episode.rows >= self.rows and episode.feasible

    def top(self, count: int) -> list[Episode]:
        """The best distinct ones that meet the target; without any the least violation first."""
        scored = self.known.values()
        ranked = [episode for episode in scored if self.ranked(episode)]
        if ranked:
            return sorted(ranked, key=lambda e: (-(e.accuracy or 0.0), e.number))[:count]
        whole = [episode for episode in scored if episode.rows >= self.rows]
        return sorted(whole, key=lambda e: (e.violation, -(e.accuracy or 0.0), e.number))[:count]

    def failing(self) -> int:
        """Failures in a row at the end, repeated masks apart."""
        count = 0
        for episode in reversed(self.episodes):
            if episode.cached:
                continue
            if episode.accuracy is not None:
                break
            count += 1
        return count

    def summary(self) -> dict[str, int]:
        """Counts for the record."""
        return {
            "evaluations": len(self),
            "distinct": len({episode.masks for episode in self.episodes}),
            "repeated": sum(episode.cached for episode in self.episodes),
            "failed": sum(episode.accuracy is None for episode in self.episodes),
            "given_up": sum(map(self.given_up, self.known.values())),
            "infeasible": sum(not episode.feasible for episode in self.episodes),
        }

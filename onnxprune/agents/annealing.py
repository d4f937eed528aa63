"""Simulated annealing: small moves, of which worse ones are accepted less and less.

Kirkpatrick, Gelatt and Vecchi, Optimization by Simulated Annealing, Science 1983: a change for the worse by d
is accepted with chance exp(-d / T); T falls geometrically over the search.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import exp, inf, isfinite
from typing import Any, ClassVar

import numpy as np

from onnxprune.agents.controls import Control, worth
from onnxprune.agents.moves import Kinds, Moves
from onnxprune.agents.one_shot import ORDER
from onnxprune.agents.options import read_options, require
from onnxprune.agents.types import Candidate, Figures, Outcome, Problem
from onnxprune.masks import Masks


@dataclass(frozen=True)
class AnnealingOptions:
    """How annealing moves and cools.

    Attributes:
        starts: Allocations of the prior that are tried first; it sets out from the best.
        hot: Temperature at the start, as a share of the spread (standard deviation) of what the first
            moves were worth.
        cold: Temperature at the end, as a share of that at the start.
        moves: Of one proposal at the start, on average; one at the end.
        scalings: Chance that all keep ratios are scaled before that, each by a factor of its own.
        deviation: Of the logarithms of these factors, at most.
        exchanges: Share of the moves that exchange steps between groups; the others swap channels.
        share: Of a group's kept channels that a swap replaces, at most.
        sharpness: How much the prior counts in which channels move.
        patience: After so many outcomes without a new best it goes on from the best.
    """

    starts: tuple[str, ...] = ORDER
    hot: float = 0.3
    cold: float = 0.02
    moves: float = 4.0
    scalings: float = 0.3
    deviation: float = 0.5
    exchanges: float = 0.3
    share: float = 0.2
    sharpness: float = 3.0
    patience: int = 48

    def __post_init__(self) -> None:
        require(self.hot > 0 and 0 < self.cold <= 1, "hot must be above 0, and cold in (0, 1]")
        require(0 <= self.exchanges <= 1 and 0 < self.share <= 1, "exchanges and share are shares of 1")
        require(self.moves >= 1 and self.patience >= 1, "moves and patience must be at least 1")


class Annealing(Control):
    """One chain; the candidates of a batch are all moves from where it stands, and it may go to the best."""

    KEPT: ClassVar[tuple[str, ...]] = ("pending", "current", "current_worth", "spread", "since_best")

    def __init__(self, problem: Problem, options: AnnealingOptions) -> None:
        super().__init__(problem)
        self.options = options
        self.moves = Moves(self.space, self.rng, options.sharpness)
        self.kinds = Kinds(options.scalings, options.deviation, options.exchanges, options.share)
        self.pending = self.space.starts(options.starts)
        self.current: Masks = (
            self.pending[0] if self.pending else self.space.masks(np.ones(len(self.space.channels)))
        )
        self.current_worth = -inf
        self.spread = 0.0
        self.since_best = 0

    @property
    def progress(self) -> float:
        """Share of the search that is over."""
        return min(1.0, self.told / max(1, self.problem.evaluations))

    def proposals(self) -> Iterator[Candidate]:
        while self.pending:
            yield Candidate(self.pending.pop(0), "start")
        while True:
            yield Candidate(self.moved(), "move")

    def moved(self) -> Masks:
        options = self.options
        extra = (options.moves - 1) * (1 - self.progress)
        count = 1 + int(self.rng.poisson(extra))
        return self.moves.changed(self.current, moves=count, kinds=self.kinds)

    def tell(self, candidates: Sequence[Candidate], outcomes: Sequence[Outcome]) -> Figures:
        before = self.best_worth
        figures = super().tell(candidates, outcomes)
        worths = [worth(outcome) for outcome in outcomes]
        moved = [w for c, w in zip(candidates, worths, strict=True) if isfinite(w) and c.note == "move"]
        if not self.spread and len(moved) > 1:
            self.spread = float(np.std(moved))
        temperature = self.spread * self.options.hot * self.options.cold**self.progress
        value, first = max(((w, -index) for index, w in enumerate(worths)), default=(-inf, 0))
        if self.accepts(value, temperature):
            self.current, self.current_worth = candidates[-first].masks, value
        self.since_best = 0 if self.best_worth > before else self.since_best + len(outcomes)
        if self.since_best >= self.options.patience and self.best:
            self.current, self.current_worth, self.since_best = self.best, self.best_worth, 0
        return {**figures, "temperature": temperature}

    def accepts(self, value: float, temperature: float) -> bool:
        if value >= self.current_worth:
            return isfinite(value)
        if not isfinite(value) or temperature <= 0:
            return False
        return self.rng.random() < exp((value - self.current_worth) / temperature)


def make(problem: Problem, options: Mapping[str, Any] | None = None) -> Annealing:
    return Annealing(problem, read_options(AnnealingOptions, options))

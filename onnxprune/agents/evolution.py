"""Evolution of masks: tournaments, crossover by groups, mutation by small moves.

Parents and children compete for the next generation, (mu + lambda); with `survivors=youngest` the oldest
leave instead (Real et al., Regularized Evolution for Image Classifier Architecture Search, AAAI 2019).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, ClassVar

import numpy as np

from onnxprune.agents.controls import Control, worth
from onnxprune.agents.moves import Kinds, Moves
from onnxprune.agents.one_shot import ORDER
from onnxprune.agents.options import read_options, require
from onnxprune.agents.types import Candidate, Figures, Outcome, Problem
from onnxprune.masks import Masks


@dataclass(frozen=True)
class EvolutionOptions:
    """How masks breed.

    Attributes:
        starts: Allocations of the prior that are the first generation, with mutants of them.
        parents: How many survive (mu). Children (lambda) are as many as a batch asks for.
        tournament: A parent is the best of so many, drawn evenly.
        crossover: Share of the children with two parents.
        moves: Mutations of a child, on average.
        scalings: Chance that all keep ratios are scaled before that, each by a factor of its own.
        deviation: Of the logarithms of these factors, at most.
        exchanges: Share of the mutations that exchange steps between groups; the others swap channels.
        share: Of a group's kept channels that a swap replaces, at most.
        sharpness: How much the prior counts in which channels move.
        survivors: "best", or "youngest" (aging).
    """

    starts: tuple[str, ...] = ORDER
    parents: int = 24
    tournament: int = 4
    crossover: float = 0.5
    moves: float = 3.0
    scalings: float = 0.6
    deviation: float = 0.5
    exchanges: float = 0.2
    share: float = 0.3
    sharpness: float = 3.0
    survivors: str = "best"

    def __post_init__(self) -> None:
        require(self.parents >= 2 and self.tournament >= 1, "parents must be at least 2, tournament 1")
        require(0 <= self.crossover <= 1 and 0 <= self.exchanges <= 1, "crossover, exchanges: shares of 1")
        require(0 < self.share <= 1 and self.moves >= 0, "share must lie in (0, 1], moves not below 0")
        require(self.survivors in {"best", "youngest"}, "survivors must be best or youngest")


class Evolution(Control):
    KEPT: ClassVar[tuple[str, ...]] = ("pending", "population", "worths")

    def __init__(self, problem: Problem, options: EvolutionOptions) -> None:
        super().__init__(problem)
        self.options = options
        self.moves = Moves(self.space, self.rng, options.sharpness)
        self.kinds = Kinds(options.scalings, options.deviation, options.exchanges, options.share)
        self.first = self.space.starts(options.starts) or [
            self.space.masks(np.ones(len(self.space.channels)))
        ]
        self.pending = list(self.first)
        self.population: list[Masks] = []  # oldest first
        self.worths: list[float] = []

    def proposals(self) -> Iterator[Candidate]:
        while self.pending:
            yield Candidate(self.pending.pop(0), "start")
        while True:
            yield Candidate(self.child(), "child")

    def child(self) -> Masks:
        if not self.population:
            return self.mutated(self.first[int(self.rng.integers(len(self.first)))])
        mother = self.winner()
        if self.rng.random() < self.options.crossover:
            mother = self.crossed(mother, self.winner())
        return self.mutated(mother)

    def winner(self) -> Masks:
        """The best of a tournament."""
        drawn = self.rng.integers(len(self.population), size=self.options.tournament)
        return self.population[max(drawn.tolist(), key=lambda index: self.worths[index])]

    def crossed(self, mother: Masks, father: Masks) -> Masks:
        """Each group from either of two; scaled to the target."""
        mothers = self.rng.random(len(mother)) < 0.5
        names = self.space.problem.order.names
        mixed = {n: (mother if hers else father)[n] for n, hers in zip(names, mothers, strict=True)}
        return self.space.near(self.space.kept(mixed), self.space.ranks_of(mixed))

    def mutated(self, masks: Masks) -> Masks:
        options = self.options
        count = max(1, int(self.rng.poisson(options.moves)))
        return self.moves.changed(masks, moves=count, kinds=self.kinds)

    def tell(self, candidates: Sequence[Candidate], outcomes: Sequence[Outcome]) -> Figures:
        figures = super().tell(candidates, outcomes)
        for candidate, outcome in zip(candidates, outcomes, strict=True):
            if isfinite(value := worth(outcome)):
                self.population.append(candidate.masks)
                self.worths.append(value)
        count = self.options.parents
        stay = list(range(len(self.worths)))[-count:]
        if self.options.survivors == "best":
            stay = sorted(np.argsort([-value for value in self.worths], kind="stable")[:count].tolist())
        self.population = [self.population[index] for index in stay]
        self.worths = [self.worths[index] for index in stay]
        return {**figures, "population_mean": float(np.mean(self.worths))} if self.worths else figures


def make(problem: Problem, options: Mapping[str, Any] | None = None) -> Evolution:
    return Evolution(problem, read_options(EvolutionOptions, options))

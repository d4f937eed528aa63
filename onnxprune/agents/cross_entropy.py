"""The cross-entropy method: draw, keep the elite, fit the distribution to it.

Rubinstein and Kroese, The Cross-Entropy Method (Springer 2004), for continuous variables with smoothed
updates: mean <- a * elite mean + (1 - a) * mean, and the same for the deviation, with a floor under it. As in
Pinneri et al. (Sample-efficient CEM, CoRL 2020) the elite of one round competes again in the next.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, ClassVar

import numpy as np

from onnxprune.agents.controls import Control, worth
from onnxprune.agents.one_shot import ORDER
from onnxprune.agents.options import read_options, require
from onnxprune.agents.types import Candidate, Figures, Floats, Outcome, Problem
from onnxprune.masks import Masks, masks_hash

EDGE = 0.02  # keep ratios further from 0 and 1 than this have finite logits


@dataclass(frozen=True)
class CrossEntropyOptions:
    """What is drawn, and how fast it is fitted.

    Attributes:
        starts: Allocations of the prior that are tried first; the first draws are around them.
        population: Outcomes between two updates.
        elite: Share of the population that the distribution is fitted to.
        smoothing: Weight of the elite in an update (a).
        deviation: Of the logits of keep ratios at the start.
        least_deviation: Floor under it.
        noise: Deviation of the channels' places in their groups, at the start; 0 holds to the prior.
        least_noise: Floor under it.
    """

    starts: tuple[str, ...] = ORDER
    population: int = 32
    elite: float = 0.25
    smoothing: float = 0.7
    deviation: float = 0.5
    least_deviation: float = 0.05
    noise: float = 0.15
    least_noise: float = 0.02

    def __post_init__(self) -> None:
        require(self.population >= 2, "population must be at least 2")
        require(0 < self.elite <= 1 and 0 < self.smoothing <= 1, "elite and smoothing must lie in (0, 1]")
        require(min(self.deviation, self.least_deviation) > 0, "deviations must be above 0")
        require(min(self.noise, self.least_noise) >= 0, "noise must not be below 0")


class CrossEntropy(Control):
    """A Gaussian over G logits of keep ratios and C offsets to the prior's places."""

    KEPT: ClassVar[tuple[str, ...]] = (
        "pending",
        "mean",
        "std",
        "asked",
        "points",
        "worths",
        "heard",
        "updates",
    )

    def __init__(self, problem: Problem, options: CrossEntropyOptions) -> None:
        super().__init__(problem)
        self.options = options
        groups, channels = len(self.space.channels), len(self.space.prior)
        self.first = self.space.starts(options.starts) or [self.space.masks(np.ones(groups))]
        self.pending = list(self.first)
        self.mean = np.mean([self.point(masks) for masks in self.first], 0)  # (G + C,)
        self.floor = np.repeat([options.least_deviation, options.least_noise], [groups, channels])
        self.floor *= np.repeat([1.0, float(options.noise > 0)], [groups, channels])
        self.std = np.repeat([options.deviation, options.noise], [groups, channels])
        self.asked: dict[str, Floats] = {}  # points of what was asked for last, by the hash of the masks
        self.points: list[Floats] = []
        self.worths: list[float] = []
        self.heard = 0  # outcomes since the last update
        self.updates = 0

    def point(self, masks: Masks) -> Floats:
        """(G + C,) the point that stands for masks which follow the prior."""
        ratios = np.clip(self.space.ratios(masks), EDGE, 1 - EDGE)
        return np.concatenate([np.log(ratios / (1 - ratios)), np.zeros(len(self.space.prior))])

    def masks_at(self, point: Floats) -> Masks:
        groups = len(self.space.channels)
        return self.space.masks(1 / (1 + np.exp(-point[:groups])), self.space.prior + point[groups:])

    def ask(self, count: int) -> list[Candidate]:
        self.asked = {}
        return super().ask(count)

    def proposals(self) -> Iterator[Candidate]:
        while self.pending:
            masks = self.pending.pop(0)
            yield self.proposed(masks, self.point(masks), "start")
        widened = 1.0
        while True:
            known = len(self.seen)
            drawn = self.centre() + widened * self.std * self.rng.standard_normal(len(self.std))
            yield self.proposed(self.masks_at(drawn), drawn, "draw")
            widened = 1.0 if len(self.seen) > known else 1.1 * widened

    def proposed(self, masks: Masks, point: Floats, note: str) -> Candidate:
        self.asked[masks_hash(masks)] = point
        return Candidate(masks, note)

    def centre(self) -> Floats:
        """The mean; before it was ever fitted one of the starts."""
        if self.updates:
            return self.mean
        return self.point(self.first[int(self.rng.integers(len(self.first)))])

    def tell(self, candidates: Sequence[Candidate], outcomes: Sequence[Outcome]) -> Figures:
        figures = super().tell(candidates, outcomes)
        for candidate, outcome in zip(candidates, outcomes, strict=True):
            self.heard += 1
            if isfinite(value := worth(outcome)):
                self.points.append(self.asked[masks_hash(candidate.masks)])
                self.worths.append(value)
        if self.heard >= self.options.population and self.worths:
            self.fit()
        groups = len(self.space.channels)
        return {**figures, "deviation": float(self.std[:groups].mean()), "updates": float(self.updates)}

    def fit(self) -> None:
        """Move the distribution to the elite, which stays for the next round; in place."""
        options = self.options
        count = max(2, round(options.elite * options.population))
        best = np.argsort([-value for value in self.worths], kind="stable")[:count].tolist()
        elite = np.array([self.points[index] for index in best])
        mean = self.mean if self.updates else elite.mean(0)
        self.mean = options.smoothing * elite.mean(0) + (1 - options.smoothing) * mean
        fitted = options.smoothing * elite.std(0) + (1 - options.smoothing) * self.std
        self.std = np.maximum(fitted, self.floor)
        self.points = [self.points[index] for index in best]
        self.worths = [self.worths[index] for index in best]
        self.heard = 0
        self.updates += 1

    def final(self) -> list[Candidate]:
        """The mean of what it would draw."""
        return [Candidate(self.masks_at(self.mean), "mean")] if self.updates else []


def make(problem: Problem, options: Mapping[str, Any] | None = None) -> CrossEntropy:
    return CrossEntropy(problem, read_options(CrossEntropyOptions, options))

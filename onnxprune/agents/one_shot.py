"""One-shot choices: each criterion with each allocation, projected onto the target; nothing is learned."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar

from onnxprune.agents.controls import Control
from onnxprune.agents.options import PRIOR, read_options, require
from onnxprune.agents.types import Candidate, Problem
from onnxprune.allocation import ALLOCATIONS
from onnxprune.criteria import CRITERIA
from onnxprune.errors import OnnxPruneError

# The order in which they are tried, by what mostly does best without retraining.
ORDER = ("global", "uniform", "isomorphic", "global-max", "per-mac", "shallow", "deep", "absolute")


@dataclass(frozen=True)
class OneShotOptions:
    """Which one-shot choices are tried.

    Attributes:
        criteria: Keys of `CRITERIA`, or "prior" for the problem's prior; all that can be had, the prior
            first, where none is named.
        allocations: Keys of `ALLOCATIONS`; all where none is named.
    """

    criteria: tuple[str, ...] = ()
    allocations: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in self.criteria:
            require(name in CRITERIA or name == PRIOR, f"unknown criterion {name!r}")
        for name in self.allocations:
            require(name in ALLOCATIONS, f"unknown allocation {name!r}")


class OneShot(Control):
    """Proposes each distinct choice once, then nothing more."""

    KEPT: ClassVar[tuple[str, ...]] = ("position",)
    TRIES: ClassVar[float] = inf  # many choices may agree; the plan ends by itself

    def __init__(self, problem: Problem, options: OneShotOptions) -> None:
        super().__init__(problem)
        self.plan = plan(options, problem.prior)
        self.named = bool(options.criteria)
        self.position = 0

    def proposals(self) -> Iterator[Candidate]:
        while self.position < len(self.plan):
            criterion, how = self.plan[self.position]
            self.position += 1
            try:
                masks = self.space.allocated(how, criterion)
            except OnnxPruneError:
                if self.named:
                    raise
                continue  # it needs inputs that are not there, or something that the model lacks
            yield Candidate(masks, f"{criterion} {how}")


def plan(options: OneShotOptions, prior: str) -> list[tuple[str, str]]:
    """(criterion, allocation) to be tried, best known first: all of the prior, then the others' best ones."""
    named = [prior if name == PRIOR else name for name in options.criteria or (PRIOR, *CRITERIA)]
    criteria = list(dict.fromkeys(named))
    allocations = options.allocations or (*ORDER, *(how for how in ALLOCATIONS if how not in ORDER))
    first = [(criteria[0], how) for how in allocations]
    return first + [(criterion, how) for how in allocations for criterion in criteria[1:]]


def make(problem: Problem, options: Mapping[str, Any] | None = None) -> OneShot:
    return OneShot(problem, read_options(OneShotOptions, options))

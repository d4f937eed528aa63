"""Random search: keep ratios drawn evenly, scaled to the target, the best kept.

EagleEye (Li et al., ECCV 2020) draws strategies so and ranks them by accuracy after recalibration; it draws
pruning rates from [0, 0.7] for half the FLOPs of ResNet-50.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from onnxprune.agents.controls import Control, endless
from onnxprune.agents.options import read_options, require
from onnxprune.agents.types import Candidate, Problem


@dataclass(frozen=True)
class RandomOptions:
    """How random search draws.

    Attributes:
        least_ratio: The keep ratio of each group is drawn from [least_ratio, 1], then all are scaled alike.
    """

    least_ratio: float = 0.3

    def __post_init__(self) -> None:
        require(0 < self.least_ratio < 1, "least_ratio must lie between 0 and 1")


class RandomSearch(Control):
    """Independent draws; inside a group the prior's best channels stay."""

    def __init__(self, problem: Problem, options: RandomOptions) -> None:
        super().__init__(problem)
        self.options = options

    def proposals(self) -> Iterator[Candidate]:
        return endless(self.draw)

    def draw(self) -> Candidate:
        ratios = self.rng.uniform(self.options.least_ratio, 1, len(self.space.channels))
        return Candidate(self.space.masks(ratios), "random ratios")


def make(problem: Problem, options: Mapping[str, Any] | None = None) -> RandomSearch:
    return RandomSearch(problem, read_options(RandomOptions, options))

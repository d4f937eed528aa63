"""What every agent is: something that proposes masks and is told what they were worth.

    while evaluations are left:
        candidates = agent.ask(16)
        outcomes = evaluate(candidates)
        agent.tell(outcomes)

An agent knows nothing of operators, data or ONNX Runtime: it sees costs through the problem, and accuracies
through what it is told.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxprune.agents.options import PRIOR
from onnxprune.cost import Cost
from onnxprune.environment import FEASIBLE, Task
from onnxprune.masks import Masks

Floats = NDArray[np.float64]
State = dict[str, Any]


@dataclass(frozen=True)
class Problem(Task):
    """What is asked of an agent: the task of every episode, and what else there is to know.

    Attributes:
        scores: A criterion -> its scores (channels,) by group name; computed once, when first asked for.
        prior: The criterion that agents order channels by where they need an order.
        evaluations: How many outcomes the search will give in all.
        seed: Of every random choice.
        explained: Keep bits (N, C) of all channels -> (N, R), the share of what each of R nodes makes that
            its kept channels still explain, by the calibration samples; None where that is not known.
    """

    scores: Callable[[str], Mapping[str, Floats]]
    prior: str
    evaluations: int
    seed: int = 0
    explained: Callable[[NDArray[np.bool_]], Floats] | None = None

    def prior_scores(self) -> dict[str, Floats]:
        """The prior's scores of every prunable group; where it says nothing, all channels count alike."""
        found = self.scores(self.prior)
        groups = self.groups.prunable
        return {g.name: np.asarray(found.get(g.name, np.zeros(g.channels)), np.float64) for g in groups}


def ordered_by(criterion: str, problem: Problem) -> Problem:
    """The same problem with another prior; "prior": as it is."""
    return problem if criterion == PRIOR else replace(problem, prior=criterion)


@dataclass(frozen=True)
class Candidate:
    """Masks to be evaluated.

    Attributes:
        masks: Of all prunable groups.
        note: How they came about, for the record.
    """

    masks: Masks
    note: str = ""


@dataclass(frozen=True)
class Outcome:
    """What masks were worth.

    Attributes:
        accuracy: By the search's metric on the reward split, larger is better; None where scoring failed.
        violation: By how much the worst bound is exceeded, as a share of it; 0 where all hold.
        cost: As counted.
        rows: Samples that `accuracy` stands for.
        error: Why scoring failed.
        given_up: It was given up early: `accuracy` is an estimate, surely below the median of late. It may
            teach, but is never a best.
    """

    accuracy: float | None
    violation: float
    cost: Cost
    rows: int = 0
    error: str = ""
    given_up: bool = False

    @property
    def feasible(self) -> bool:
        return self.violation <= FEASIBLE


Figures = dict[str, float]


class Agent(ABC):
    """Proposes masks; learns from what it is told."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem

    @abstractmethod
    def ask(self, count: int) -> list[Candidate]:
        """At most so many candidates; none where it has nothing more to try."""

    @abstractmethod
    def tell(self, candidates: Sequence[Candidate], outcomes: Sequence[Outcome]) -> Figures:
        """Learn from the outcomes of all that was asked for last, in its order; figures for the log."""

    def final(self) -> list[Candidate]:
        """What it would propose now if it had to choose, beside the best that it was told of."""
        return []

    def carried(self) -> State | None:
        """What a search on another model can set out with; None where nothing was learnt that fits others."""
        return None

    @abstractmethod
    def state(self) -> State:
        """All that `restore` needs to go on bit for bit: numbers, strings, arrays, tensors, lists, dicts."""

    @abstractmethod
    def restore(self, state: State) -> None:
        """Go on from such a state, in place."""

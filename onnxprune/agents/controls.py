"""What all controls share: randomness, no masks twice, the best so far, a state that goes on bit for bit."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from math import inf, isfinite
from typing import ClassVar

import numpy as np

from onnxprune.agents.space import Space
from onnxprune.agents.types import Agent, Candidate, Figures, Outcome, Problem, State
from onnxprune.masks import Masks, masks_hash


def worth(outcome: Outcome) -> float:
    """The accuracy of masks that meet the target; what does not, failed or was given up is worth nothing."""
    accuracy = outcome.accuracy
    usable = accuracy is not None and isfinite(accuracy) and outcome.feasible and not outcome.given_up
    return float(accuracy) if usable and accuracy is not None else -inf


class Control(Agent):
    """A search without a network.

    A control says with `proposals` what to try, and learns in `tell` from what was scored on all rows. All
    that changes while it runs lies in `rng` and in the attributes that `KEPT` names: numbers, strings,
    arrays, lists and dicts.

    Attributes:
        TRIES: So many proposals in a row that are not new end an `ask`.
    """

    KEPT: ClassVar[tuple[str, ...]] = ()
    TRIES: ClassVar[float] = 50
    _KEPT: ClassVar[tuple[str, ...]] = ("seen", "told", "best", "best_worth")

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.space = Space.of(problem)
        self.rng = np.random.default_rng(problem.seed)
        self.seen: dict[str, int] = {}  # hash of masks that were proposed -> when
        self.told = 0
        self.best: Masks = {}
        self.best_worth = -inf

    @abstractmethod
    def proposals(self) -> Iterator[Candidate]:
        """Candidates one by one; those that were proposed before are passed over."""

    def ask(self, count: int) -> list[Candidate]:
        chosen: list[Candidate] = []
        vain = 0
        for candidate in self.proposals() if count > 0 else ():
            if self.is_new(candidate.masks):
                chosen.append(candidate)
                vain = 0
            else:
                vain += 1
            if len(chosen) == count or vain >= self.TRIES:
                break
        return chosen

    def is_new(self, masks: Masks) -> bool:
        """Whether masks were not proposed before; from now on they were."""
        key = masks_hash(masks)
        if key in self.seen:
            return False
        self.seen[key] = len(self.seen)
        return True

    def tell(self, candidates: Sequence[Candidate], outcomes: Sequence[Outcome]) -> Figures:
        worths = [worth(outcome) for outcome in outcomes]
        for candidate, value in zip(candidates, worths, strict=True):
            if value > self.best_worth:
                self.best, self.best_worth = candidate.masks, value
        self.told += len(outcomes)
        finite = [value for value in worths if isfinite(value)]
        return {"batch_mean": sum(finite) / len(finite), "batch_best": max(finite)} if finite else {}

    def state(self) -> State:
        kept = {name: getattr(self, name) for name in (*self._KEPT, *self.KEPT)}
        return deepcopy({"rng": self.rng.bit_generator.state, **kept})

    def restore(self, state: State) -> None:
        copied = deepcopy(state)
        self.rng.bit_generator.state = copied["rng"]
        for name in (*self._KEPT, *self.KEPT):
            setattr(self, name, copied[name])


def endless(draw: Callable[[], Candidate]) -> Iterator[Candidate]:
    while True:
        yield draw()

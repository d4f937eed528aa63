"""The two soft ways to hold a bound: a multiplier that is learned, and a penalty of fixed weight.

PPO-Lagrangian (Ray et al., Benchmarking Safe Exploration in Deep Reinforcement Learning, 2019): the cost
return J_c is the mean violation of a batch of episodes; after each batch

    lambda <- [lambda + rate (J_c - limit)]+         A = (A_r - lambda A_c) / (1 + lambda)

The division keeps the size of the advantages while lambda grows.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxprune.environment.rewards import FAILED, FEASIBLE
from onnxprune.errors import UsageError

Floats = NDArray[np.float64]
State = dict[str, Any]
PENALTY = 10.0  # of a violation of 1: a tenth over a bound costs as much as the accuracy can make good
FIRST_DECAY, SECOND_DECAY, TINY = 0.9, 0.999, 1e-8  # Adam: Kingma & Ba, 2015


@dataclass(frozen=True)
class LagrangianOptions:
    """How the multiplier follows the violations.

    Attributes:
        initial: Its first value. 1 in OpenAI's safety-starter-agents (there behind a softplus).
        rate: Of a step. 0.05 in OpenAI's safety-starter-agents.
        limit: The mean violation that is allowed.
        adam: Steps by Adam, of about the size of `rate` whatever the size of the violations, as both
            references take them; without, plain projected gradient steps.
    """

    initial: float = 1.0
    rate: float = 0.05
    limit: float = FEASIBLE
    adam: bool = False

    def __post_init__(self) -> None:
        """Raises: UsageError: E201, a value out of its range."""
        if not (0 <= self.initial < math.inf and 0 < self.rate < math.inf and 0 <= self.limit < math.inf):
            raise UsageError("E201", f"multiplier: {self} is out of range")


OMNISAFE = LagrangianOptions(initial=1e-3, rate=3.5e-2, adam=True)  # Ji et al., OmniSafe, 2023: its defaults


class Multiplier:
    """The Lagrange multiplier of the violation; `update` changes it in place."""

    def __init__(self, options: LagrangianOptions | None = None) -> None:
        self.options = options or LagrangianOptions()
        self.value = self.options.initial
        self._updates = 0
        self._first = 0.0  # moments of the gradient
        self._second = 0.0

    def update(self, violations: Sequence[float]) -> float:
        """Its value after a batch of episodes; numbers that are not finite are left out."""
        finite = [v for v in violations if math.isfinite(v)]
        if finite:
            self._updates += 1
            gradient = float(np.mean(finite)) - self.options.limit
            step = self._adam(gradient) if self.options.adam else gradient
            self.value = max(0.0, self.value + self.options.rate * step)
        return self.value

    def _adam(self, gradient: float) -> float:
        self._first = FIRST_DECAY * self._first + (1 - FIRST_DECAY) * gradient
        self._second = SECOND_DECAY * self._second + (1 - SECOND_DECAY) * gradient**2
        first = self._first / (1 - FIRST_DECAY**self._updates)
        second = self._second / (1 - SECOND_DECAY**self._updates)
        return first / (math.sqrt(second) + TINY)

    def combine(self, rewards: Floats, costs: Floats) -> Floats:
        """(A_r - lambda A_c) / (1 + lambda): advantages of rewards and of violations, any shape, as one."""
        return np.asarray((rewards - self.value * costs) / (1 + self.value), np.float64)

    def state(self) -> State:
        """All that `restore` needs, in plain numbers."""
        return {
            "value": self.value,
            "updates": self._updates,
            "first": self._first,
            "second": self._second,
        }

    def restore(self, state: State) -> None:
        """Go on from such a state bit for bit, in place."""
        self.value, self._updates = state["value"], state["updates"]
        self._first, self._second = state["first"], state["second"]


def penalised(quality: float, violation: float, *, weight: float = PENALTY) -> float:
    """The penalty variant: R = quality - weight * violation, not below the reward of failed masks.

    >>> penalised(0.5, 0.1, weight=10)
    -0.5

    Args:
        quality: Of the accuracy alone, from `SelfCompetition(soft=True)`.
        violation: By how much the worst bound is exceeded, as a share of it.
        weight: Of the violation.
    """
    return max(FAILED, quality - weight * violation)

"""What an outcome is worth, and what is usual."""

from dataclasses import dataclass
from math import isfinite, log

import numpy as np
from numpy.typing import NDArray

from onnxprune.agents.types import Outcome, Problem

Singles = NDArray[np.float32]
LARGEST = 1e18  # squares of what is larger are no numbers in float32


def leading(problem: Problem) -> str:
    """The quantity whose bound asks for the most; MACs where there is none."""
    shares = {name: limit / max(1, getattr(problem.whole, name)) for name, limit in problem.limits.items()}
    return min(shares, key=lambda name: shares[name], default="macs")


def reward_of(outcome: Outcome, kind: str, quantity: str) -> float | None:
    """The reward of masks; None where they could not be scored.

    Args:
        outcome: Of the masks.
        kind: "accuracy", or "cost": -(1 - accuracy) log(cost) (He et al., AMC, equations 4, 5).
        quantity: Which cost.
    """
    accuracy = outcome.accuracy
    if accuracy is None or not isfinite(accuracy):
        return None
    reward = accuracy
    if kind == "cost":
        reward = -(1 - accuracy) * log(max(2, getattr(outcome.cost, quantity)))
    return min(LARGEST, max(-LARGEST, reward))


@dataclass
class MovingAverage:
    """What is usual, from the mean reward of each batch: b <- b + rate (mean - b).

    Attributes:
        rate: Of a batch.
        value: None before the first.
    """

    rate: float
    value: float | None = None

    def gains(self, rewards: Singles) -> Singles:
        """(N,) rewards less the average, which they have moved before, in place."""
        mean = float(rewards.mean())
        self.value = mean if self.value is None else self.value + self.rate * (mean - self.value)
        return np.asarray(rewards - self.value, np.float32)


def ranked_gains(rewards: Singles, known: Singles) -> Singles:
    """(N,) places of rewards among all known ones, from -1 to 1; equal ones share the middle of theirs."""
    ascending = np.sort(known)
    below, up_to = (np.searchsorted(ascending, rewards, side) for side in ("left", "right"))
    return np.asarray((below + up_to) / len(known) - 1, np.float32)

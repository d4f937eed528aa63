"""The reward of an episode by the way its constraint is held: one number for agents that know nothing of it.

    project      R of `SelfCompetition`: bounds hold, or the mask is below all that meet them
    penalty      quality - weight * violation
    lagrangian   (quality - lambda * violation) / (1 + lambda), lambda learned after every `batch` episodes

Quality is the first line of `SelfCompetition`, that of the accuracy alone.
"""

import math
from dataclasses import dataclass, field
from typing import Any

from onnxprune.environment.episodes import Constraint
from onnxprune.environment.lagrangian import PENALTY, LagrangianOptions, Multiplier, penalised
from onnxprune.environment.rewards import FAILED, Kind, SelfCompetition, usable
from onnxprune.errors import UsageError

State = dict[str, Any]


@dataclass(frozen=True)
class RewardOptions:
    """How masks are judged.

    Attributes:
        kind: Of the self-competition: "percentile", "record", "r2" or "ema".
        scale: What makes percent of the accuracies.
        penalty: Weight of a violation, for "penalty".
        lagrangian: How the multiplier moves, for "lagrangian".
        batch: Episodes between two of its moves.
    """

    kind: Kind = "percentile"
    scale: float = 100.0
    penalty: float = PENALTY
    lagrangian: LagrangianOptions = field(default_factory=LagrangianOptions)
    batch: int = 16

    def __post_init__(self) -> None:
        """Raises: UsageError: E201, a value out of its range."""
        if not 0 <= self.penalty < math.inf:  # also what is no number
            raise UsageError("E201", f"reward: penalty {self.penalty}: must be a finite number, not below 0")
        if self.batch < 1 or self.batch % 1 != 0:  # also what is no number
            raise UsageError("E201", f"reward: batch {self.batch}: must be a whole number of at least 1")


class Judge:
    """Rewards of one episode after the other."""

    def __init__(self, constraint: Constraint = "project", options: RewardOptions | None = None) -> None:
        self.constraint = constraint
        self.options = options or RewardOptions()
        self.competition = SelfCompetition(
            self.options.kind, scale=self.options.scale, soft=constraint != "project"
        )
        self.multiplier = Multiplier(self.options.lagrangian)
        self._violations: list[float] = []  # since the multiplier moved last

    def reward(self, accuracy: float | None, violation: float) -> float:
        """The reward of masks, which are remembered; -2 where they could not be scored.

        Args:
            accuracy: Larger is better; None or NaN where scoring failed.
            violation: By how much the worst bound is exceeded, as a share of it.
        """
        quality = self.competition.reward(accuracy, violation)
        if self.constraint == "project" or usable(accuracy, violation) is None:
            return quality
        if self.constraint == "penalty":
            return penalised(quality, violation, weight=self.options.penalty)
        weight = self.multiplier.value
        self._violations.append(violation)
        if len(self._violations) == self.options.batch:
            self.multiplier.update(self._violations)
            self._violations = []
        return max(FAILED, (quality - weight * violation) / (1 + weight))

    def state(self) -> State:
        """All that `restore` needs, in plain numbers, lists and dicts."""
        return {
            "competition": self.competition.state(),
            "multiplier": self.multiplier.state(),
            "violations": list(self._violations),
        }

    def restore(self, state: State) -> None:
        """Go on from such a state bit for bit, in place."""
        self.competition.restore(state["competition"])
        self.multiplier.restore(state["multiplier"])
        self._violations = list(state["violations"])

"""What AMC and AGMC have in common: how they explore and learn."""

from dataclasses import dataclass
from typing import Literal, get_args, get_type_hints

from onnxprune.agents.options import require
from onnxprune.criteria import CRITERIA

AUTO = "auto"


@dataclass(frozen=True)
class DdpgOptions:
    """Options of both agents.

    Attributes:
        variant: "paper": as published, with its faults; "fixed": repaired.
        criterion: Which channels of a group stay: a key of `CRITERIA`; "auto": the paper's in its variant,
            else the prior of the search.
        reward: "accuracy": of masks within the bounds; "cost": -(1 - accuracy) log(cost), so that going
            below the bounds counts too (AMC, equation 5); for metrics that are shares.
        credit: "every": each step of an episode has its reward, as published; "end": the last one alone.
        hidden: Width of actor and critic.
        actor_rate, critic_rate: Learning rates (Adam).
        soft: Share of the way that the slow copies go in an update (tau).
        discount: Of later rewards (gamma).
        batch: Transitions of an update.
        memory: Transitions that are held; 0: the variant's own.
        updates: For each transition that is stored.
        baseline_rate: Of the moving average that rewards are compared with, in the variant "paper".
        noise: Standard deviation of actions after the warm-up.
        noise_decay: Its factor from one episode to the next; 0: such that `noise_end` is left at the last.
        noise_end: Share of the noise that is left at the last evaluation.
        warm_up: Episodes with random actions; below 1 a share of all evaluations, from 1 on a number.
        least_ratio: Smallest keep ratio of a group, if its least count is not larger.
    """

    variant: Literal["fixed", "paper"] = "fixed"
    criterion: str = AUTO
    reward: Literal["accuracy", "cost"] = "accuracy"
    credit: Literal["every", "end"] = "every"
    hidden: int = 300
    actor_rate: float = 1e-4
    critic_rate: float = 1e-3
    soft: float = 0.01
    discount: float = 1.0
    batch: int = 64
    memory: int = 0
    updates: int = 1
    baseline_rate: float = 0.5
    noise: float = 0.5
    noise_decay: float = 0.0
    noise_end: float = 0.05
    warm_up: float = 0.125
    least_ratio: float = 0.2

    def __post_init__(self) -> None:
        """Raises: ValueError: a value that is unknown or out of its range."""
        hints = get_type_hints(type(self))
        for name, hint in hints.items():
            if kinds := get_args(hint):
                require(getattr(self, name) in kinds, f"{name} is one of {', '.join(kinds)}")
        require(self.criterion in {AUTO, *CRITERIA}, f"unknown criterion {self.criterion!r}")
        require(min(self.hidden, self.batch, self.updates) >= 1, "hidden, batch and updates are at least 1")
        require(self.memory >= 0 and self.warm_up >= 0, "memory and warm_up are not below 0")
        require(min(self.actor_rate, self.critic_rate) > 0, "rates are above 0")
        require(0 < self.soft <= 1 and 0 < self.baseline_rate <= 1, "soft and baseline_rate lie in (0, 1]")
        require(0 <= self.discount <= 1, "discount lies between 0 and 1")
        require(self.noise >= 0 and 0 <= self.noise_decay <= 1, "noise is not below 0, its decay a share")
        require(0 < self.noise_end <= 1, "noise_end lies in (0, 1]")
        require(0 < self.least_ratio < 1, "least_ratio lies between 0 and 1")

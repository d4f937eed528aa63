"""What AMC and AGMC have in common: how they explore and learn."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from onnxprune.agents.options import (
    PRIOR,
    read_options,
    require,
    require_choices,
    require_known_criterion,
)

Options = TypeVar("Options")


@dataclass(frozen=True)
class DdpgOptions:
    """Options of both agents; the defaults are those of the variant "fixed".

    Attributes:
        variant: "paper": other options are by default as published, faults included; "fixed": repaired.
        criterion: Which channels of a group stay: a key of `CRITERIA`, or "prior" for that of the search.
        reward: "accuracy": of masks within the bounds; "cost": -(1 - accuracy) log(cost), so that less than
            the bounds allow counts too (AMC, equations 4, 5); for metrics that are shares.
        gains: What is usual is taken off rewards: "ranked": a reward is its place among those remembered,
            from -1 to 1, so that any metric will do and a few wild masks hide nothing; "average": less a
            moving average, as published.
        discount: Of what follows (gamma). Every step of an episode has the reward of its masks already: 0
            counts it once, 1 once for every step that is left, as published.
        hidden: Width of actor and critic.
        actor_rate, critic_rate: Learning rates (Adam).
        soft: Share of the way that the slow copies go in an update (tau).
        batch: Transitions of an update.
        memory: Transitions that are held; 0: those of a hundred episodes.
        updates: For each transition that is stored.
        average_rate: Of the moving average.
        noise: Standard deviation of actions after the warm-up.
        noise_decay: Its factor from one episode to the next; 0: such that `noise_end` is left at the last.
        noise_end: Share of the noise that is left at the last evaluation.
        warm_up: Episodes with random actions; below 1 a share of all evaluations, from 1 on a number.
        least_ratio: Smallest keep ratio that is drawn in the warm-up; and that AMC's published wall leaves.
        tries: Walks of an episode at most, until one ends in masks that were not met before; 1: as published.
    """

    variant: Literal["fixed", "paper"] = "fixed"
    criterion: str = PRIOR
    reward: Literal["accuracy", "cost"] = "accuracy"
    gains: Literal["ranked", "average"] = "ranked"
    discount: float = 0.0
    hidden: int = 300
    actor_rate: float = 1e-3
    critic_rate: float = 1e-3
    soft: float = 0.01
    batch: int = 64
    memory: int = 0
    updates: int = 1
    average_rate: float = 0.5
    noise: float = 0.2
    noise_decay: float = 0.0
    noise_end: float = 0.3
    warm_up: float = 0.125
    least_ratio: float = 0.2
    tries: int = 16

    def __post_init__(self) -> None:
        """Raises: ValueError: a value that is unknown or out of its range."""
        require_choices(self)
        require_known_criterion(self.criterion)
        counts = (self.hidden, self.batch, self.updates, self.tries)
        require(min(counts) >= 1, "hidden, batch, updates and tries are at least 1")
        require(self.tries <= 100, "tries are at most 100")
        require(self.memory >= 0 and self.warm_up >= 0, "memory and warm_up are not below 0")
        require(min(self.actor_rate, self.critic_rate) > 0, "rates are above 0")
        require(0 < self.soft <= 1 and 0 < self.average_rate <= 1, "soft and average_rate lie in (0, 1]")
        require(0 <= self.discount <= 1, "discount lies between 0 and 1")
        require(self.noise >= 0 and 0 <= self.noise_decay <= 1, "noise is not below 0, its decay a share")
        require(0 < self.noise_end <= 1, "noise_end lies in (0, 1]")
        require(0 < self.least_ratio < 1, "least_ratio lies between 0 and 1")


# As published, where it differs from the defaults.
PAPER: Mapping[str, Any] = {
    "gains": "average",
    "discount": 1.0,
    "actor_rate": 1e-4,
    "noise": 0.5,
    "noise_decay": 0.95,
    "tries": 1,
}


def read_variant(kind: type[Options], given: Mapping[str, Any] | None, paper: Mapping[str, Any]) -> Options:
    """The options of an agent, those of the paper where its variant was asked for and nothing was given.

    Raises:
        UsageError: E201, E202, as in `read_options`.
    """
    named = {key.replace("-", "_"): value for key, value in (given or {}).items()}
    return read_options(kind, {**paper, **named} if named.get("variant") == "paper" else named)

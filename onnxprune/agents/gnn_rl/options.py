"""What decides how gnn-rl looks, explores and learns."""

from dataclasses import dataclass
from typing import Literal

from onnxprune.agents.options import PRIOR, require, require_choices, require_known_criterion

AUTOMATIC = 0
UPDATES = 20  # of a short search, where the number of steps between two is automatic
STEPS_OF_PAPER = 100  # between two updates, of up to 15,000 episodes


@dataclass(frozen=True)
class GnnRlOptions:
    """Options of the agent; the defaults are for some hundred evaluations.

    Attributes:
        variant: "fixed", or "paper": as published, where that is known; docs/agents/gnn-rl.md tells all
            differences. It also decides what the other options are where they are not given.
        steps: Of an episode, at most; it ends earlier once the target is met.
        least: The least keep ratio of a group; the task's own least count holds as well.
        noise: Standard deviation of the actions.
        noise_floor: Share of it that is left at the last evaluation; it falls linearly, update by update.
        update_steps: Steps of episodes between two updates, which come at the end of a batch of evaluations.
            0, automatic: 100 as published, or a twentieth of those of the search where these are fewer.
        epochs: Of an update.
        rate: Learning rate (Adam).
        clip: Of the probability ratio (Schulman et al., 2017, equation 7).
        discount: Of later rewards.
        value_weight: Of the value's error in the loss.
        dropout: Share of level 2 that is dropped, in acting and in learning.
        tries: Of an episode whose masks were met before, until they are taken all the same ("fixed"), or of
            one that missed the target, until its masks are forced onto it ("paper").
        criterion: Which channels of a group go first: a key of `CRITERIA`, or "prior", that of the search.
    """

    variant: Literal["fixed", "paper"] = "fixed"
    steps: int = 5
    least: float = 0.1
    noise: float = 0.5
    noise_floor: float = 0.3
    update_steps: int = AUTOMATIC
    epochs: int = 10
    rate: float = 1e-3
    clip: float = 0.2
    discount: float = 1.0
    value_weight: float = 0.5
    dropout: float = 0.0
    tries: int = 10
    criterion: str = PRIOR

    def __post_init__(self) -> None:
        """Raises: ValueError: a value that is unknown or out of its range."""
        require_choices(self)
        require(min(self.steps, self.epochs, self.tries) >= 1, "steps, epochs and tries are at least 1")
        require(self.tries <= 100, "tries are at most 100")
        require(0 < self.least < 1, "least lies between 0 and 1")
        require(min(self.noise, self.rate) > 0, "noise and rate are above 0")
        require(0 < self.noise_floor <= 1, "noise_floor is above 0 and at most 1")
        require(self.update_steps >= 0, "update_steps is not below 0")
        require(0 < self.clip < 1 and 0 <= self.dropout < 1, "clip and dropout lie between 0 and 1")
        require(0 < self.discount <= 1, "discount is above 0 and at most 1")
        require(self.value_weight >= 0, "value_weight is not below 0")
        require_known_criterion(self.criterion)

    @property
    def paper(self) -> bool:
        """As published."""
        return self.variant == "paper"

    def steps_between(self, evaluations: int) -> int:
        """Steps of episodes between two updates of a search of so many evaluations."""
        if self.update_steps:
            return self.update_steps
        return min(STEPS_OF_PAPER, max(1, self.steps * evaluations // UPDATES))

    def deviation(self, done: float) -> float:
        """Of the actions, after such a share of the evaluations."""
        return self.noise * (self.noise_floor + (1 - self.noise_floor) * max(0.0, 1 - done))


@dataclass(frozen=True)
class PaperOptions(GnnRlOptions):
    """The published settings (Yu et al., ICML 2022, and the code beside it).

    The rate of the dropout is not told; a half is what the usual libraries take.
    """

    variant: Literal["fixed", "paper"] = "paper"
    noise_floor: float = 1.0
    rate: float = 3e-4
    discount: float = 0.99
    dropout: float = 0.5
    criterion: str = "l2"

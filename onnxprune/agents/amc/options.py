"""What decides how AMC walks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from onnxprune.agents.ddpg import options as shared
from onnxprune.agents.options import require


@dataclass(frozen=True)
class AmcOptions(shared.DdpgOptions):
    """Options of the agent, beside those of `DdpgOptions`.

    Attributes:
        features: "paper": the eleven of the paper; "code": the ten of its authors' code.
        action: "even": 0.5 keeps what all groups that are left could keep alike, 1 everything, 0 the least;
            "ratio": it is the keep ratio, as published. Where the reward is the cost, it is always that.
        walls: "both": a group keeps at most what leaves a way to the target, and at least what could not be
            made up for by keeping all that follows; "upper": the first alone; "paper": as published. Where
            the reward is the cost, there is none from below.
        least_action: "even" actions of the warm-up are drawn from [least_action, 1 - least_action], so about
            0.5. Where the action is the keep ratio, it is drawn from [least_ratio, 1], as published.
    """

    features: Literal["paper", "code"] = "paper"
    action: Literal["even", "ratio"] = "even"
    walls: Literal["both", "upper", "paper"] = "both"
    least_action: float = 0.3

    def __post_init__(self) -> None:
        """Raises: ValueError: a value that is unknown or out of its range."""
        super().__post_init__()
        require(0 <= self.least_action < 0.5, "least_action is not below 0, and below 0.5")

    @property
    def even(self) -> bool:
        """Whether 0.5 keeps what all groups could keep alike, rather than half of the channels."""
        return self.action == "even" and self.reward == "accuracy"


PAPER: Mapping[str, Any] = {**shared.PAPER, "criterion": "l1", "action": "ratio", "walls": "paper"}

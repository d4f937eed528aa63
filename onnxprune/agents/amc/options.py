"""What decides how AMC walks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from onnxprune.agents.ddpg import options as shared


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
    """

    features: Literal["paper", "code"] = "paper"
    action: Literal["even", "ratio"] = "even"
    walls: Literal["both", "upper", "paper"] = "both"


PAPER: Mapping[str, Any] = {**shared.PAPER, "criterion": "l1", "action": "ratio", "walls": "paper"}

"""What decides how AMC walks."""

from dataclasses import dataclass
from typing import Literal

from onnxprune.agents.ddpg.options import DdpgOptions


@dataclass(frozen=True)
class AmcOptions(DdpgOptions):
    """Options of the agent, beside those of `DdpgOptions`.

    Attributes:
        features: "paper": the eleven of the paper; "code": the ten of its authors' code.
        walls: "both": a group keeps as much as the bounds allow, and at least what could not be made up for
            by keeping all that follows; "upper": the first alone, as published.
    """

    features: Literal["paper", "code"] = "paper"
    walls: Literal["both", "upper"] = "both"

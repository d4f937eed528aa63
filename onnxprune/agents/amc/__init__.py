"""AMC (He et al., ECCV 2018): one keep ratio a group, held under the budget by an action wall, DDPG.

options.py     what decides how it walks
features.py    what is told of a group
walls.py       the keep ratios that the bounds allow
agent.py       the walk
"""

from collections.abc import Mapping
from typing import Any

from onnxprune.agents.amc.agent import Amc
from onnxprune.agents.amc.options import PAPER, AmcOptions
from onnxprune.agents.ddpg.options import read_variant
from onnxprune.agents.types import Problem

__all__ = ["Amc", "AmcOptions", "make"]


def make(problem: Problem, options: Mapping[str, Any] | None = None) -> Amc:
    """The agent, from options by name."""
    return Amc(problem, read_variant(AmcOptions, options, PAPER))

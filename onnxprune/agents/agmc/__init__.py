"""AGMC (Yu, Mazaheri and Jannesari, ICCV 2021): a graph encoder, an LSTM over the groups, DDPG, rescaling.

options.py      what decides how it looks and walks
graph.py        the simplified computation graph
embedding.py    encoder and decoders
rescaling.py    Algorithm 1, and its corrected form
transfer.py     trained networks, carried to another model
agent.py        the walk, and learning through the states
"""

from collections.abc import Mapping
from typing import Any

from onnxprune.agents.agmc.agent import Agmc
from onnxprune.agents.agmc.options import PAPER, AgmcOptions
from onnxprune.agents.ddpg.options import read_variant
from onnxprune.agents.types import Problem

__all__ = ["Agmc", "AgmcOptions", "make"]


def make(problem: Problem, options: Mapping[str, Any] | None = None) -> Agmc:
    """The agent, from options by name.

    Raises:
        UsageError: E201, E202, an option that it does not have, or a value that it refuses; E208, a policy
            that it cannot begin with.
    """
    return Agmc(problem, read_variant(AgmcOptions, options, PAPER))

"""Attention over the channel graph, trained by proximal policy optimisation.

options.py      what decides how it looks, explores and learns
graph.py        the observation as PyG data
encoder.py      graph attention
policy.py       a shift for every group, a keep bit for every channel, a value
rollout.py      episodes under the policy
update.py       PPO on a batch of episodes
critic.py       what masks would be worth, from all that were told
elites.py       the best masks so far, and the prior's logits
neighbours.py   candidates beside the policy's: small moves of the best masks, random keep ratios
beginning.py    what it sees, what is tried first, how far it explores
transfer.py     a trained network, carried to another model
agent.py        all of it behind the agents' interface
"""

from collections.abc import Mapping
from typing import Any

from onnxprune.agents.gat_ppo.agent import GatPpo
from onnxprune.agents.gat_ppo.options import GatPpoOptions
from onnxprune.agents.options import read_options
from onnxprune.agents.types import Problem

__all__ = ["GatPpo", "GatPpoOptions", "make"]


def make(problem: Problem, options: Mapping[str, Any] | None = None) -> GatPpo:
    """The agent, from options by name."""
    return GatPpo(problem, read_options(GatPpoOptions, options))

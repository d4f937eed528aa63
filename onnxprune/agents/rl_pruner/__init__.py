"""Pruning in steps, each shared out among the groups by a policy that moves to the best of drawn actions.

After Wang and Kindratenko, RL-Pruner: Structured Pruning Using Reinforcement Learning for CNN Compression
and Acceleration, 2024 (arXiv 2411.06463); docs/agents/rl-pruner.md tells what was changed, and why.

options.py      what decides how it prunes, explores and learns
schedule.py     how the evaluations are divided; how exploration decays
policy.py       shares of the groups: drawn, and moved
spending.py     from shares to kept counts: by channels (paper), by cost (fixed)
tree.py         Q with a look-ahead, and the replay buffer
agent.py        all of it behind the agents' interface
"""

from collections.abc import Mapping
from typing import Any

from onnxprune.agents.options import PRIOR, read_options
from onnxprune.agents.rl_pruner.agent import RlPruner
from onnxprune.agents.rl_pruner.options import RlPrunerOptions
from onnxprune.agents.rl_pruner.schedule import Schedule
from onnxprune.agents.types import Problem, ordered_by
from onnxprune.criteria import require_criterion

__all__ = ["RlPruner", "RlPrunerOptions", "make"]


def make(problem: Problem, options: Mapping[str, Any] | None = None) -> RlPruner:
    """The agent, from options by name.

    Raises:
        UsageError: E201, E202, an option that it does not have, a value that it refuses, or too few
            evaluations for what is asked for.
        RuntimeProblem: E603, the criterion needs torch, which is not installed.
    """
    settled = read_options(RlPrunerOptions, options).settled()
    schedule = Schedule.of(settled, problem.evaluations)
    if settled.criterion != PRIOR:
        require_criterion(settled.criterion)
    return RlPruner(ordered_by(settled.criterion, problem), settled, schedule)

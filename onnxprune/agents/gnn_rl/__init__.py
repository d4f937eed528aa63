"""Two levels of graph convolution and keep ratios by the step, trained by proximal policy optimisation.

options.py      what decides how it looks, explores and learns; the published settings
wiring.py       the model as a graph of feature maps, and its counts as functions of what is kept
features.py     what is told of maps and operations: measured, or drawn at random
paths.py        level 1: a graph of parallel paths for each contraction, in closed form
encoder.py      level 2: the whole graph, with the operations as edges
policy.py       a mean for every group, and a value
pruning.py      from actions to keep ratios, costs and masks
rollout.py      episodes under the policy
update.py       PPO on the steps of many episodes
agent.py        all of it behind the agents' interface
"""

from collections.abc import Mapping
from typing import Any

from onnxprune.agents.gnn_rl.agent import GnnRl
from onnxprune.agents.gnn_rl.options import GnnRlOptions, PaperOptions
from onnxprune.agents.options import read_options
from onnxprune.agents.types import Problem, ordered_by

__all__ = ["GnnRl", "GnnRlOptions", "PaperOptions", "make"]


def make(problem: Problem, options: Mapping[str, Any] | None = None) -> GnnRl:
    """The agent, from options by name; those that are not given are the variant's."""
    paper = (options or {}).get("variant") == "paper"
    settled = read_options(PaperOptions if paper else GnnRlOptions, options)
    return GnnRl(ordered_by(settled.criterion, problem), settled)

"""What a search of gat-ppo begins with: what it sees, the masks that are tried first, how far it explores."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onnxprune.agents.gat_ppo.options import GatPpoOptions
from onnxprune.agents.gat_ppo.policy import Policy
from onnxprune.agents.types import Candidate, Problem
from onnxprune.allocation import allocate
from onnxprune.environment import Task
from onnxprune.errors import OnnxPruneError
from onnxprune.masks import Masks, masks_hash
from onnxprune.observation import ObservationGraph, observe

Floats = NDArray[np.float64]
OPENING = ("uniform", "global", "global-max", "isomorphic", "shallow", "deep", "absolute", "per-mac")
SEEN = ("l1", "group-l2", "fpgm", "bn-scale", "wanda", "obs")  # criteria among the channels' features
LEAST_NOISE = 1e-3


def look(problem: Problem) -> ObservationGraph:
    """The observation, with every criterion that the problem can give; the others are marked as missing."""
    scores: dict[str, Mapping[str, Floats]] = {}
    for name in SEEN:
        try:
            scores[name] = problem.scores(name)
        except OnnxPruneError:
            scores[name] = {}
    return observe(problem.groups, problem.cost_model, scores)


def blank(problem: Problem) -> ObservationGraph:
    """The observation without what any criterion says: the same features, all of theirs missing."""
    return observe(problem.groups, problem.cost_model, {name: {} for name in SEEN})


def opening(problem: Problem) -> list[Candidate]:
    """Distinct masks that the allocations make of the prior."""
    found: dict[str, Candidate] = {}
    for how in OPENING:
        masks = allocated(problem, how)
        found.setdefault(masks_hash(masks), Candidate(masks, f"{problem.prior} {how}"))
    return list(found.values())


def allocated(problem: Problem, how: str) -> Masks:
    """What an allocation makes of the prior."""
    scores, bounds = problem.prior_scores(), problem.target
    return allocate(scores, problem.cost_model, target=bounds, constraints=problem.constraints, how=how)


def optimizer_of(policy: Policy, options: GatPpoOptions) -> torch.optim.Optimizer:
    """Adam over the network, the encoder only where it is not frozen, and over this model's own biases."""
    network = policy.network
    if options.freeze_encoder:
        network.encoder.requires_grad_(requires_grad=False)
    general = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": general, "lr": options.network_rate},
        {"params": [policy.group_bias, policy.log_std], "lr": options.group_rate},
        {"params": [policy.channel_bias], "lr": options.channel_rate},
    ]
    return torch.optim.Adam(groups, eps=1e-5)


def deviations(task: Task, options: GatPpoOptions) -> Tensor:
    """(G,) of the groups' shifts at the start, as shares of their channels."""
    steps = [float(np.median(np.diff(rungs))) / rungs[-1] if len(rungs) > 1 else 0.0 for rungs in task.rungs]
    shares = np.maximum(options.group_noise, options.step_noise * np.array(steps))
    return torch.tensor(np.maximum(shares, LEAST_NOISE), dtype=torch.float32)

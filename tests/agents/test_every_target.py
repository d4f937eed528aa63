"""Every agent, in every variant, meets every kind of target on a CNN and on a transformer."""

from dataclasses import replace

import numpy as np
import pytest

from onnxprune.agents.table import AGENTS
from onnxprune.agents.types import Problem
from onnxprune.allocation import ALLOCATIONS
from onnxprune.cost import CostModel
from onnxprune.latency import LatencyTable, TimedCostModel, Times
from onnxprune.target import parse_target
from tests.agents.conftest import World, problem_of, search, world_of
from tests.latency.conftest import SETTING

pytest.importorskip("torch_geometric")
SINGLE = ("macs=50%", "params=50%", "bytes=60%", "latency=60%")
TARGETS = (*(pytest.param(one, marks=pytest.mark.slow) for one in SINGLE), "macs=60% params=55% latency=70%")
MODELS = (pytest.param("resnet20", marks=pytest.mark.slow), "encoder_split")
ASKED = [(name, how) for name, kind in AGENTS.items() for how in kind.variants or ("",)]
SEARCHES = [(name, how) for name, how in ASKED if name not in ALLOCATIONS and name != "one-shot"]
ON_THE_WAY = ("probe", "step", "missed")  # notes of candidates that need not meet the target
EVALUATIONS = 32


def timed(world: World) -> World:
    """The same with a latency: a tenth is fixed, the rest grows with the channels of all groups alike."""
    groups = world.cost_model.groups
    weights = {group.name: 1 for group in groups.prunable}
    channels = sum(group.channels for group in groups.prunable)
    times = Times("all", ({}, weights), ([0], [0, channels]), np.array([[0, 9 * 10**5]]))
    return replace(world, cost_model=TimedCostModel(groups, LatencyTable(SETTING, 10**6, (times,))))


def problem(world: World, target: str) -> Problem:
    asked = problem_of(world, evaluations=EVALUATIONS)
    return replace(asked, target=parse_target(target.split()))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("name", "variant"), SEARCHES)
def test_every_agent_meets_every_kind_of_target(
    name: str, variant: str, target: str, model: str, cost_models: dict[str, CostModel]
) -> None:
    world = timed(world_of(cost_models[model]))
    agent = AGENTS[name].make(problem(world, target), {"variant": variant} if variant else None)
    run = search(agent, world, evaluations=EVALUATIONS)
    told = [
        (c.note, o)
        for asked, got in zip(run.batches, run.outcomes, strict=True)
        for c, o in zip(asked, got, strict=True)
    ]
    at_the_target = [outcome for note, outcome in told if not note.startswith(ON_THE_WAY)]
    assert len(at_the_target) > 0
    assert all(outcome.violation == 0 for outcome in at_the_target)
    bounds, whole = agent.problem.target, agent.problem.whole
    assert all(bounds.met_by(world.cost_model.count(one.masks), original=whole) for one in agent.final())

"""What holds for every control on a search whose answer is known."""

from collections.abc import Callable

import numpy as np
import pytest

from onnxprune.agents.space import Space
from onnxprune.agents.table import AGENTS
from onnxprune.agents.types import Agent, Problem
from onnxprune.cost import CostModel
from onnxprune.masks import Masks, masks_hash
from tests.agents.conftest import World, problem_of, search, world_of

LEARNING: tuple[str, ...] = ()
CONTROLS = ("random", *LEARNING)
Make = Callable[[Problem], Agent]


def same(one: Masks, other: Masks) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(bits, other[name]) for name, bits in one.items())


def all_same(first: list[Masks], second: list[Masks]) -> bool:
    return len(first) == len(second) and all(map(same, first, second))


@pytest.mark.parametrize("name", CONTROLS)
def test_the_same_seed_gives_the_same_search_and_another_seed_another(name: str, world: World) -> None:
    runs = [
        search(AGENTS[name].make(problem_of(world, evaluations=48, seed=seed), None), world, evaluations=48)
        for seed in (3, 3, 4)
    ]
    assert all_same(runs[0].masks, runs[1].masks)
    assert name == "greedy" or not all_same(runs[0].masks, runs[2].masks)


@pytest.mark.parametrize("name", CONTROLS)
@pytest.mark.parametrize("align", [1, 8])
def test_every_proposal_meets_the_target_and_is_new(name: str, align: int, world: World) -> None:
    problem = problem_of(world, evaluations=128, align=align)
    run = search(AGENTS[name].make(problem, None), world, evaluations=128)
    hashes = [masks_hash(masks) for masks in run.masks]
    assert len(set(hashes)) == len(hashes) == 128
    proposed = [
        outcome
        for batch, outcomes in zip(run.batches, run.outcomes, strict=True)
        for candidate, outcome in zip(batch, outcomes, strict=True)
        if not candidate.note.startswith("probe")
    ]
    assert len(proposed) >= 64
    assert all(outcome.violation == 0 for outcome in proposed)


@pytest.mark.parametrize("name", CONTROLS)
@pytest.mark.parametrize("after", [1, 3, 6])
def test_it_goes_on_bit_for_bit_from_its_state(name: str, after: int, world: World) -> None:
    problem = problem_of(world, evaluations=160)
    straight, stopped, resumed = (AGENTS[name].make(problem, None) for _ in range(3))
    whole = search(straight, world, evaluations=160)
    search(stopped, world, evaluations=16 * after)
    state = stopped.state()
    search(stopped, world, evaluations=16)  # what comes later must not reach into the state
    resumed.restore(state)
    rest = search(resumed, world, evaluations=160 - 16 * after)
    assert all_same(rest.masks, whole.masks[16 * after :])
    assert all_same([c.masks for c in resumed.final()], [c.masks for c in straight.final()])


@pytest.mark.parametrize("name", CONTROLS)
def test_failed_outcomes_are_survived(name: str, world: World) -> None:
    problem = problem_of(world, evaluations=128)
    run = search(
        AGENTS[name].make(problem, None), world, evaluations=128, fails=frozenset(range(0, 128, 3)) | {1, 2}
    )
    assert len(run.flat) == 128
    agent = AGENTS[name].make(problem, None)
    assert len(search(agent, world, evaluations=96, fails=frozenset(range(96))).flat) == 96
    assert all(
        problem.target.met_by(world.cost_model.count(c.masks), original=problem.whole) for c in agent.final()
    )


@pytest.mark.parametrize("name", CONTROLS)
def test_a_batch_may_have_any_size(name: str, world: World) -> None:
    problem = problem_of(world, evaluations=90)
    agent = AGENTS[name].make(problem, None)
    assert agent.ask(0) == []
    for batch in (1, 50, 3):
        assert len(search(agent, world, evaluations=30, batch=batch).flat) == 30


@pytest.mark.parametrize("name", CONTROLS)
def test_where_there_are_few_masks_it_ends(name: str, cost_models: dict[str, CostModel]) -> None:
    tiny = world_of(cost_models["encoder_split"])
    problem = problem_of(tiny, evaluations=4000, target="macs=90%", align=1 << 10)
    run = search(AGENTS[name].make(problem, None), tiny, evaluations=4000)
    hashes = [masks_hash(masks) for masks in run.masks]
    assert len(hashes) < 4000
    assert len(set(hashes)) == len(hashes)


def test_ratios_that_meet_the_target_come_back_and_others_are_scaled(world: World) -> None:
    space = Space.of(problem_of(world, align=1))
    rng = np.random.default_rng(5)
    for _ in range(20):
        asked = rng.uniform(0.5, 1, len(space.channels))
        masks = space.masks(asked)
        found = space.ratios(masks)
        free = (found < 1) & (found > space.floor)
        scale = np.median(found[free] / asked[free])
        assert np.abs(found - scale * asked)[free].max() <= 1.5 / space.channels.min()
        assert same(space.masks(found, space.ranks_of(masks)), masks)
        assert same(space.masks(3 * asked), masks)


def test_the_best_of_the_prior_stay(world: World) -> None:
    space = Space.of(problem_of(world))
    masks = space.masks(np.linspace(0.3, 1, len(space.channels)))
    for name, bits in masks.items():
        scores = world.scores["l2"][name]
        assert bits.all() or scores[bits].min() >= scores[~bits].max()

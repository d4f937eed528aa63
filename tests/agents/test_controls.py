"""What holds for every control on a search whose answer is known."""

import numpy as np
import pytest

from onnxprune.agents.space import Space
from onnxprune.agents.table import AGENTS
from onnxprune.agents.types import Candidate
from onnxprune.cost import CostModel
from onnxprune.masks import Masks, masks_hash
from tests.agents.conftest import World, outcome_of, problem_of, search, world_of

LEARNING = ("greedy", "cross-entropy", "annealing", "evolution", "rl-pruner")
CONTROLS = ("random", *LEARNING)
AT_THE_TARGET = tuple(name for name in CONTROLS if name != "rl-pruner")  # it spends most of the way above it
ON_THE_WAY = ("probe", "step")  # notes of candidates that need not meet the target


def same(one: Masks, other: Masks) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(bits, other[name]) for name, bits in one.items())


def all_same(first: list[Masks], second: list[Masks]) -> bool:
    return len(first) == len(second) and all(map(same, first, second))


def masks_of(batches: list[list[Candidate]]) -> list[Masks]:
    return [candidate.masks for batch in batches for candidate in batch]


@pytest.mark.parametrize("name", CONTROLS)
def test_the_same_seed_gives_the_same_search_and_another_seed_another(name: str, world: World) -> None:
    runs = [
        search(AGENTS[name].make(problem_of(world, evaluations=32, seed=seed), None), world, evaluations=32)
        for seed in (3, 3, 4)
    ]
    assert all_same(runs[0].masks, runs[1].masks)
    assert name == "greedy" or not all_same(runs[0].masks, runs[2].masks)


@pytest.mark.parametrize("name", CONTROLS)
@pytest.mark.parametrize("align", [1, 8])
def test_every_proposal_meets_the_target_and_is_new(name: str, align: int, world: World) -> None:
    problem = problem_of(world, evaluations=64, align=align)
    run = search(AGENTS[name].make(problem, None), world, evaluations=64)
    hashes = [masks_hash(masks) for masks in run.masks]
    assert len(set(hashes)) == len(hashes) == 64
    proposed = [
        outcome
        for batch, outcomes in zip(run.batches, run.outcomes, strict=True)
        for candidate, outcome in zip(batch, outcomes, strict=True)
        if not candidate.note.startswith(ON_THE_WAY)
    ]
    assert len(proposed) >= (20 if name == "rl-pruner" else 40)
    assert all(outcome.violation == 0 for outcome in proposed)


@pytest.mark.parametrize("name", CONTROLS)
def test_it_goes_on_bit_for_bit_from_its_state(name: str, small_world: World) -> None:
    problem = problem_of(small_world, evaluations=80)
    straight, stopped, resumed = (AGENTS[name].make(problem, None) for _ in range(3))
    whole = search(straight, small_world, batches=5).batches
    search(stopped, small_world, batches=1)
    states = [stopped.state()]
    search(stopped, small_world, batches=2)  # what comes later must not reach into the state
    states.append(stopped.state())
    for after, state in zip((1, 3), states, strict=True):
        resumed.restore(state)
        rest = search(resumed, small_world, batches=5 - after).batches
        assert all_same(masks_of(rest), masks_of(whole[after:]))
        assert all_same(masks_of([resumed.final()]), masks_of([straight.final()]))


@pytest.mark.parametrize("name", CONTROLS)
def test_failed_outcomes_are_survived(name: str, world: World) -> None:
    problem = problem_of(world, evaluations=64)
    run = search(
        AGENTS[name].make(problem, None), world, evaluations=64, fails=frozenset(range(0, 64, 3)) | {1, 2}
    )
    assert len(run.flat) == 64
    agent = AGENTS[name].make(problem, None)
    assert len(search(agent, world, evaluations=64, fails=frozenset(range(64))).flat) == 64
    assert all(
        problem.target.met_by(world.cost_model.count(c.masks), original=problem.whole) for c in agent.final()
    )


@pytest.mark.parametrize("name", CONTROLS)
def test_the_estimate_of_what_was_given_up_is_never_a_best_and_leads_nowhere(name: str, world: World) -> None:
    """As if it had failed. The starts and probes of greedy come before."""
    problem = problem_of(world, evaluations=64)
    late = frozenset(range(26, 96, 3))
    agents = [AGENTS[name].make(problem, None) for _ in range(2)]
    estimated = search(agents[0], world, evaluations=96, given_up=late)
    failed = search(agents[1], world, evaluations=96, fails=late)
    assert all_same(estimated.masks, failed.masks)
    assert agents[0].state()["best_worth"] == agents[1].state()["best_worth"] <= 1
    whole = [masks for number, masks in enumerate(estimated.masks) if number not in late]
    assert any(same(agents[0].state()["best"], masks) for masks in whole)


def test_the_first_candidates_meet_the_target_however_soon_the_search_ends(world: World) -> None:
    for name in AT_THE_TARGET:
        agent = AGENTS[name].make(problem_of(world, evaluations=512), None)
        (first,) = search(agent, world, batches=1).outcomes
        assert first[0].violation == 0, name


def test_greedy_learns_from_the_estimate_of_a_probe(world: World) -> None:
    agent = AGENTS["greedy"].make(problem_of(world, evaluations=64), None)
    notes = [candidate.note for candidate in search(agent, world, batches=1).batches[0]]
    agent = AGENTS["greedy"].make(problem_of(world, evaluations=64), None)
    first = notes.index("probe")
    search(agent, world, batches=1, given_up=frozenset({first, first + 1}))
    told = [accuracy for at in agent.state()["accuracies"].values() for accuracy in at.values()]
    assert sum(accuracy > 1 for accuracy in told) == 2


@pytest.mark.parametrize("name", CONTROLS)
def test_a_batch_may_have_any_size(name: str, world: World) -> None:
    problem = problem_of(world, evaluations=90)
    agent = AGENTS[name].make(problem, None)
    assert agent.ask(0) == []
    for size in (1, 40, 3):
        asked = agent.ask(size)
        assert 1 <= len(asked) <= size
        agent.tell(asked, [outcome_of(world, problem, candidate.masks) for candidate in asked])


@pytest.mark.parametrize("name", CONTROLS)
def test_where_there_are_few_masks_it_ends(name: str, cost_models: dict[str, CostModel]) -> None:
    """Under a bound that everything meets, all proposals but probes keep everything."""
    tiny = world_of(cost_models["encoder_split"])
    problem = problem_of(tiny, evaluations=64, target="macs=100%")
    agent = AGENTS[name].make(problem, None)
    run = search(agent, tiny, evaluations=64)
    assert len([c for batch in run.batches for c in batch if c.note != "probe"]) <= 1
    assert agent.ask(16) == []


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


SEEDS = range(3)
EVALUATIONS = 160


@pytest.fixture(scope="module")
def best_of_random(cost_models: dict[str, CostModel]) -> list[float]:
    """By seed."""
    found = []
    for seed in SEEDS:
        known = world_of(cost_models["resnet20"], seed)
        agent = AGENTS["random"].make(problem_of(known, evaluations=EVALUATIONS, seed=seed), None)
        found.append(search(agent, known, evaluations=EVALUATIONS).best())
    return found


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", [name for name in LEARNING if name in AT_THE_TARGET])
def test_it_improves_over_its_first_batch_and_beats_random(
    name: str, seed: int, cost_models: dict[str, CostModel], best_of_random: list[float]
) -> None:
    """At the same number of evaluations, on three searches whose answers differ."""
    known = world_of(cost_models["resnet20"], seed)
    agent = AGENTS[name].make(problem_of(known, evaluations=EVALUATIONS, seed=seed), None)
    run = search(agent, known, evaluations=EVALUATIONS)
    assert run.best() > run.best(1)
    assert run.best() > best_of_random[seed]

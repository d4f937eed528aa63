"""One-shot choices: each once, the best known first, all at the target."""

import numpy as np
import pytest

from onnxprune.agents import one_shot
from onnxprune.agents.table import AGENTS
from onnxprune.allocation import ALLOCATIONS, allocate
from onnxprune.errors import DataError, UsageError
from onnxprune.masks import masks_hash
from tests.agents.conftest import World, problem_of, search


def test_every_choice_is_proposed_once_the_priors_first_and_then_nothing_more(world: World) -> None:
    agent = one_shot.make(problem_of(world))
    run = search(agent, world, evaluations=10_000)
    hashes = [masks_hash(masks) for masks in run.masks]
    assert len(set(hashes)) == len(hashes) > 20
    notes = [candidate.note for batch in run.batches for candidate in batch]
    assert notes[:2] == ["l2 global", "l2 uniform"]
    priors = [note.startswith("l2 ") for note in notes]
    assert priors == sorted(priors, reverse=True)
    assert not any(note.startswith("obs") for note in notes)  # needs inputs
    assert all(outcome.feasible for outcome in run.flat)
    assert agent.ask(16) == []


@pytest.mark.parametrize("how", ALLOCATIONS)
def test_each_allocation_is_an_agent_with_one_choice(how: str, world: World) -> None:
    problem = problem_of(world)
    agent = AGENTS[how].make(problem, None)
    (candidate,) = agent.ask(16)
    expected = allocate(
        dict(world.scores["l2"]),
        world.cost_model,
        target=problem.target,
        constraints=problem.constraints,
        how=how,
    )
    assert all(np.array_equal(bits, expected[name]) for name, bits in candidate.masks.items())
    assert agent.ask(16) == []


def test_criteria_and_allocations_can_be_named(world: World) -> None:
    agent = one_shot.make(problem_of(world), {"criteria": "l1, fpgm", "allocations": ("deep", "global")})
    notes = [candidate.note for candidate in agent.ask(16)]
    assert notes == ["l1 deep", "l1 global", "fpgm deep", "fpgm global"]


def test_a_criterion_that_was_named_must_be_there(world: World) -> None:
    with pytest.raises(DataError, match="obs needs inputs"):
        one_shot.make(problem_of(world), {"criteria": "obs"}).ask(1)
    with pytest.raises(UsageError, match="unknown criterion 'l7'"):
        one_shot.make(problem_of(world), {"criteria": "l7"})


def test_it_goes_on_where_it_stopped(world: World) -> None:
    straight, first, second = (one_shot.make(problem_of(world)) for _ in range(3))
    notes = [candidate.note for candidate in straight.ask(20)]
    assert [c.note for c in first.ask(7)] == notes[:7]
    second.restore(first.state())
    assert [c.note for c in second.ask(13)] == notes[7:]

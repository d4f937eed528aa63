"""gnn-rl behind the agents' interface: targets, resuming, and what it finds where the answer is known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("torch_geometric")

from onnxprune.agents.gnn_rl import GnnRl, GnnRlOptions, PaperOptions, make
from onnxprune.agents.gnn_rl.agent import MISSED
from onnxprune.agents.table import AGENTS
from onnxprune.agents.types import Problem
from onnxprune.cost import CostModel
from onnxprune.errors import UsageError
from onnxprune.masks import masks_hash
from onnxprune.search.checkpoint import load_state, save_state
from onnxprune.target import Alignment, Constraints, parse_target, settle
from tests.agents.conftest import World, outcome_of, problem_of, search, world_of

VARIANTS = ("fixed", "paper")
TARGETS = (["macs=50%"], ["params=60%"], ["bytes=60%"], ["macs=55%", "params=60%", "bytes=70%"])


def under(world: World, texts: list[str], *, evaluations: int = 32) -> Problem:
    """The problem of a world with all of these bounds."""
    bounds, asked = parse_target(texts), Constraints(Alignment(4, 4))
    settled = settle(world.cost_model, target=bounds, constraints=asked)
    return replace(problem_of(world, evaluations=evaluations), target=bounds, constraints=settled)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("network", ["resnet20", "encoder_split"])
@pytest.mark.parametrize("texts", TARGETS, ids=" ".join)
def test_every_proposal_meets_every_kind_of_target(
    cost_models: dict[str, CostModel], network: str, texts: list[str], variant: str
) -> None:
    """On a convolutional network and on a transformer."""
    world = world_of(cost_models[network])
    problem = under(world, texts)
    agent = make(problem, {"variant": variant})
    asked = [*agent.ask(8), *agent.final()]
    assert len(asked) == 9
    for candidate in asked:
        assert problem.violation(candidate.masks) == 0
        for group, rungs in zip(problem.groups.prunable, problem.rungs, strict=True):
            assert candidate.masks[group.name].sum() in rungs


def test_the_fixed_variant_leaves_no_step_that_the_target_allows(world: World) -> None:
    problem = problem_of(world)
    for candidate in make(problem).ask(8):
        for group, rungs in zip(problem.groups.prunable, problem.rungs, strict=True):
            bits = candidate.masks[group.name]
            if bits.all():
                continue
            wider = bits.copy()
            following = rungs[np.searchsorted(rungs, bits.sum()) + 1]
            wider[np.flatnonzero(~bits)[: following - bits.sum()]] = True
            assert problem.violation({**candidate.masks, group.name: wider}) > 0


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_it_improves_over_its_first_batch_and_beats_random(
    cost_models: dict[str, CostModel], seed: int
) -> None:
    """At the same number of evaluations, on three searches whose answers differ."""
    evaluations = 160
    known = world_of(cost_models["resnet20"], seed)
    problem = problem_of(known, evaluations=evaluations, seed=seed)
    run = search(make(problem), known, evaluations=evaluations)
    other = search(AGENTS["random"].make(problem, None), known, evaluations=evaluations)
    assert run.best() > max(run.best(1), other.best())
    means = [np.mean([o.accuracy for o in batch if o.accuracy is not None]) for batch in run.outcomes]
    assert np.mean(means[-3:]) > np.mean(means[:3])


def test_the_likeliest_masks_get_better_as_published_too(world: World) -> None:
    problem = problem_of(world, evaluations=160)
    agent = make(problem, {"variant": "paper"})
    before = world.accuracy(agent.final()[0].masks)
    search(agent, world, evaluations=160)
    assert world.accuracy(agent.final()[0].masks) > before


@pytest.mark.parametrize("update_steps", [0, 1000], ids=["after updates", "with a full memory"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_it_goes_on_bit_for_bit_from_its_state(
    small_world: World, variant: str, update_steps: int, tmp_path: Path
) -> None:
    problem = problem_of(small_world, evaluations=64)
    options = {"variant": variant, "update_steps": update_steps}
    straight, stopped, resumed = (make(problem, options) for _ in range(3))
    whole = search(straight, small_world, batches=4).batches
    search(stopped, small_world, batches=2)
    kept = stopped.state()
    search(stopped, small_world, batches=1)  # what comes later must not reach into the state
    save_state(tmp_path / "state.npz", kept)
    resumed.restore(load_state(tmp_path / "state.npz"))
    rest = search(resumed, small_world, batches=2).batches
    hashes = [[masks_hash(c.masks) for c in batch] for batch in rest]
    assert hashes == [[masks_hash(c.masks) for c in batch] for batch in whole[2:]]
    weights = resumed.policy.state_dict()
    assert all(torch.equal(weight, weights[name]) for name, weight in straight.policy.state_dict().items())
    assert torch.equal(resumed.memory.returns, straight.memory.returns)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_same_seed_gives_the_same_masks_and_another_seed_others(small_world: World, variant: str) -> None:
    first, second, other = (
        make(problem_of(small_world, seed=seed), {"variant": variant}).ask(8) for seed in (3, 3, 4)
    )
    assert [masks_hash(c.masks) for c in first] == [masks_hash(c.masks) for c in second]
    assert [masks_hash(c.masks) for c in first] != [masks_hash(c.masks) for c in other]


def test_it_takes_no_part_in_the_global_random_state(small_world: World) -> None:
    before = torch.get_rng_state()
    search(make(problem_of(small_world), {"variant": "paper"}), small_world, evaluations=32)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("variant", VARIANTS)
def test_looking_at_the_likeliest_masks_changes_nothing(small_world: World, variant: str) -> None:
    looked, other = (make(problem_of(small_world), {"variant": variant}) for _ in range(2))
    looked.final()
    assert [masks_hash(c.masks) for c in looked.ask(8)] == [masks_hash(c.masks) for c in other.ask(8)]


@pytest.mark.parametrize("variant", VARIANTS)
def test_failed_outcomes_are_survived_and_not_learnt_from(small_world: World, variant: str) -> None:
    agent = make(problem_of(small_world, evaluations=48), {"variant": variant})
    before = {name: weight.clone() for name, weight in agent.policy.state_dict().items()}
    if variant == "fixed":
        search(agent, small_world, evaluations=16, fails=frozenset(range(16)))
        assert all(torch.equal(weight, before[name]) for name, weight in agent.policy.state_dict().items())
    search(agent, small_world, evaluations=48, fails=frozenset(range(40)))
    assert all(torch.isfinite(weight).all() for weight in agent.policy.parameters())


def test_rewards_are_less_the_error_in_percent(small_world: World) -> None:
    problem = problem_of(small_world, evaluations=10_000)
    agent = make(problem)
    asked = agent.ask(4)
    outcomes = [outcome_of(small_world, problem, candidate.masks) for candidate in asked]
    lengths = [len(episode.steps) for episode in agent.pending]
    agent.tell(asked, outcomes)
    expected = [100 * (o.accuracy - 1) for o in outcomes if o.accuracy is not None]
    last = np.cumsum(lengths) - 1
    assert agent.memory.returns[last].tolist() == pytest.approx(expected)


def test_the_estimate_of_what_was_given_up_teaches_as_any_other(small_world: World) -> None:
    problem = problem_of(small_world, evaluations=10_000)
    agent = make(problem)
    asked = agent.ask(2)
    outcomes = [outcome_of(small_world, problem, c.masks, given_up=True) for c in asked]
    agent.tell(asked, outcomes)
    expected = {100 * (o.accuracy - 1) for o in outcomes if o.accuracy is not None}
    assert set(agent.memory.returns.tolist()) == expected


def test_masks_that_were_met_before_are_drawn_again(small_world: World) -> None:
    """With little noise and nothing learnt a policy draws few masks."""
    different = {}
    for tries in (1, 10):
        agent = make(problem_of(small_world, evaluations=32), {"noise": 0.3, "rate": 1e-9, "tries": tries})
        run = search(agent, small_world, evaluations=32)
        different[tries] = len({masks_hash(masks) for masks in run.masks})
    assert len(run.masks) == 32
    assert different[1] < 16
    assert different[10] > 20, different


def test_an_episode_that_misses_the_target_is_worth_minus_100_and_no_evaluation(world: World) -> None:
    """Three steps seldom reach two fifths of the MACs."""
    options = {"variant": "paper", "steps": 3, "tries": 100}
    agent = make(problem_of(world, target="macs=40%", evaluations=10_000), options)
    asked = agent.ask(16)
    assert len(asked) == 16
    assert agent.missed > 0
    assert {c.note for c in asked} == {"sampled"}
    assert (agent.memory.returns == MISSED).sum() == agent.missed
    assert len(agent.memory) == 3 * agent.missed


def test_what_cannot_reach_the_target_in_its_tries_is_forced_onto_it(world: World) -> None:
    """A step keeps at least nine tenths: two of them cannot halve the MACs."""
    problem = problem_of(world, evaluations=10_000)
    agent = make(problem, {"variant": "paper", "least": 0.9, "steps": 2, "tries": 2})
    asked = agent.ask(4)
    assert {c.note for c in asked} == {"sampled, missed"}
    assert all(problem.violation(c.masks) == 0 for c in asked)
    assert agent.missed == 8
    agent.tell(asked, [outcome_of(world, problem, c.masks) for c in asked])
    assert set(agent.memory.returns.tolist()) == {MISSED, np.float32(0.99 * MISSED)}
    assert agent.final()[0].note == "greedy, missed"


def test_it_updates_after_100_steps_as_published_and_sooner_in_a_short_search() -> None:
    options = GnnRlOptions()
    assert options.steps_between(10_000) == 100
    assert options.steps_between(160) == 40
    assert options.steps_between(1) == 1
    assert replace(options, update_steps=7).steps_between(10_000) == 7


def test_where_all_fits_the_only_masks_keep_everything(small_world: World) -> None:
    agent = make(problem_of(small_world, target="macs=100%"))
    run = search(agent, small_world, evaluations=16)
    assert all(bits.all() for masks in run.masks for bits in masks.values())
    assert all(torch.isfinite(weight).all() for weight in agent.policy.parameters())


def test_the_variant_decides_what_is_not_given(small_world: World) -> None:
    problem = problem_of(small_world)
    assert make(problem).options == GnnRlOptions()
    assert make(problem, {"variant": "paper"}).options == PaperOptions()
    assert all(make(problem, {"variant": v}).options.variant == v for v in AGENTS["gnn-rl"].variants)
    assert make(problem, {"variant": "paper", "dropout": "0"}).options == PaperOptions(dropout=0.0)
    assert isinstance(AGENTS["gnn-rl"].make(problem, None), GnnRl)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"variant": "best"}, "variant is one of fixed, paper"),
        ({"steps": 0}, "at least 1"),
        ({"tries": 101}, "at most 100"),
        ({"least": 1}, "least lies between 0 and 1"),
        ({"noise": 0}, "noise and rate are above 0"),
        ({"clip": 1}, "clip and dropout"),
        ({"discount": 1.5}, "discount"),
        ({"update-steps": -1}, "update_steps"),
        ({"init_policy": "x"}, "unknown option"),
    ],
)
def test_options_out_of_range_are_refused(small_world: World, options: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make(problem_of(small_world), options)

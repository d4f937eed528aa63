"""Moves of the best masks and random keep ratios: what they leave alone, and that they are taken up."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch_geometric")

from onnxprune.agents.gat_ppo import GatPpo, GatPpoOptions
from onnxprune.agents.gat_ppo.elites import Elites
from onnxprune.agents.gat_ppo.neighbours import Neighbours
from onnxprune.agents.space import Space
from onnxprune.agents.table import AGENTS
from onnxprune.masks import masks_hash
from tests.agents.conftest import BATCH, World, outcome_of, problem_of, search

QUICK = GatPpoOptions(hidden=16, heads=2, layers=2, encoder="mlp", imagined=32)


def best_masks(world: World, count: int = 8) -> Elites:
    problem = problem_of(world)
    elites = Elites(problem.order, count)
    for candidate in AGENTS["random"].make(problem, None).ask(3 * count):
        elites.add(candidate.masks, world.accuracy(candidate.masks))
    return elites


def test_neighbours_meet_the_target_and_most_of_them_keep_the_counts(world: World) -> None:
    problem, elites = problem_of(world), best_masks(world, 1)
    space, base = Space.of(problem), elites.rows()[0] > 0
    counts, swapped, stepped = space.kept(problem.order.split(base)), 0, 0
    for masks in Neighbours.of(problem, by_prior=True).near(elites, 200, unit=1.0):
        assert outcome_of(world, problem, masks).violation == 0
        steps = space.kept(masks) - counts
        changed = {problem.order.names[g] for g in space.group_of[problem.order.join(masks) != base].tolist()}
        if steps.any():
            stepped += 1
            assert steps.min() < 0 < steps.max()  # what one group gives, another takes
        else:
            swapped += 1
            assert len(changed) <= 2
    assert swapped > stepped > 20


def test_better_masks_have_more_neighbours(world: World) -> None:
    problem, elites = problem_of(world), best_masks(world)
    rows = elites.rows() > 0
    found = [0] * len(rows)
    for masks in Neighbours.of(problem, by_prior=True).near(elites, 400, unit=1.0):
        found[int(np.argmin((rows != problem.order.join(masks)).sum(1)))] += 1
    assert np.array(found) / 400 == pytest.approx(elites.weights(), abs=0.06)
    assert elites.weights()[0] > 1.5 * elites.weights()[-1]


def test_there_are_none_before_there_are_best_masks(world: World) -> None:
    problem = problem_of(world)
    assert Neighbours.of(problem, by_prior=True).near(Elites(problem.order, 8), 10, unit=1.0) == []


def test_without_the_prior_all_channels_are_swapped_alike(world: World) -> None:
    problem, elites = problem_of(world), best_masks(world, 1)
    base, prior = elites.rows()[0] > 0, Space.of(problem).prior

    def places_of_what_goes(*, by_prior: bool) -> float:
        near = Neighbours.of(problem, by_prior=by_prior).near(elites, 300, unit=1.0)
        return float(np.concatenate([prior[base & ~problem.order.join(masks)] for masks in near]).mean())

    assert places_of_what_goes(by_prior=True) > places_of_what_goes(by_prior=False) + 0.05


def test_random_keep_ratios_meet_the_target_with_the_channels_of_a_best_mask_first(world: World) -> None:
    problem, elites = problem_of(world), best_masks(world, 1)
    base = problem.order.split(elites.rows()[0] > 0)
    found = Neighbours.of(problem, by_prior=True).scattered(elites, 50, unit=1.0)
    assert max(outcome_of(world, problem, masks).violation for masks in found) == 0
    counts = {tuple(Space.of(problem).kept(masks).tolist()) for masks in found}
    assert len(counts) > 40
    for masks in found:
        for name, bits in masks.items():
            assert (bits <= base[name]).all() or (bits >= base[name]).all()


def test_of_random_keep_ratios_a_few_favourites_are_judged_in_the_first_half(world: World) -> None:
    problem = problem_of(world, evaluations=80)
    agent = GatPpo(problem, QUICK)
    run, told, taken = search(agent, world, evaluations=80), 0, 0
    for batch in run.batches:
        scattered = sum(candidate.note == "random ratios" for candidate in batch)
        assert scattered == 0 or told < 40
        told, taken = told + len(batch), taken + scattered
    assert taken > 0
    assert agent.scattered() == []  # once all are neighbours
    fresh = GatPpo(problem, QUICK)
    for candidates, outcomes in zip(run.batches[:2], run.outcomes[:2], strict=True):
        fresh.ask(BATCH)
        fresh.tell(candidates, outcomes)
    favourites = fresh.scattered()
    fit = fresh.critic.fit()
    assert len(favourites) == 16
    worth = fresh.critic.mean(fit, np.stack([problem.order.join(masks) for masks in favourites]))
    others = Neighbours.of(problem, by_prior=True).scattered(fresh.best, 256, unit=1.0)
    rest = fresh.critic.mean(fit, np.stack([problem.order.join(masks) for masks in others]))
    assert worth.min() > np.quantile(rest, 0.8)


@pytest.mark.parametrize("neighbours", [0, 192])
def test_the_search_takes_up_new_ones(neighbours: int, world: World) -> None:
    problem = problem_of(world, evaluations=80)
    run = search(GatPpo(problem, replace(QUICK, neighbours=neighbours)), world, evaluations=80)
    notes = [candidate.note for batch in run.batches for candidate in batch]
    assert ("neighbour" in notes) == (neighbours > 0)
    hashes = [masks_hash(candidate.masks) for batch in run.batches for candidate in batch]
    assert len(set(hashes)) == len(hashes)


def test_the_policy_has_its_time_and_imitates_its_own_masks(world: World) -> None:
    problem = problem_of(world, evaluations=96)
    agent = GatPpo(problem, QUICK)
    run, told = search(agent, world, evaluations=96), 0
    for batch in run.batches:
        near = sum(candidate.note == "neighbour" for candidate in batch)
        assert near <= round(len(batch) * min(1.0, 2 * told / 96))
        told += len(batch)
    notes = {masks_hash(c.masks): c.note for batch in run.batches for c in batch}
    assert "neighbour" not in {notes[key] for key in agent.elites.found}
    assert max(accuracy for accuracy, _ in agent.best.found.values()) == run.best()


@pytest.mark.slow
def test_a_search_is_better_for_them(world: World) -> None:
    best = {}
    for neighbours in (0, 256):
        problem = problem_of(world, evaluations=256)
        agent = GatPpo(problem, replace(QUICK, neighbours=neighbours))
        best[neighbours] = search(agent, world, evaluations=256).best()
    assert best[256] > best[0]


@pytest.mark.parametrize("name", ["gat-ppo", "annealing", "greedy", "cross-entropy", "evolution", "amc"])
def test_a_prior_that_scores_some_groups_alone_leaves_the_others_to_the_agent(
    name: str, small_world: World
) -> None:
    named = sorted(small_world.scores["bn-scale"])[::2]
    part = {group: small_world.scores["bn-scale"][group] for group in named}
    world = replace(small_world, scores={**small_world.scores, "bn-scale": part})
    problem = replace(problem_of(world, evaluations=24), prior="bn-scale")
    run = search(AGENTS[name].make(problem, None), world, evaluations=24)
    assert any(outcome.feasible for outcome in run.flat)

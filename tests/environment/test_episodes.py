"""Walks end in valid masks; projected ones meet every bound from both sides and honour what was sampled."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxprune.cost import CostModel
from onnxprune.environment.episodes import Episode, EpisodeOptions
from onnxprune.environment.task import Task
from onnxprune.errors import TargetError, UnsupportedError, UsageError
from onnxprune.target import Alignment, Bound, Constraints, Target, parse_target, project, reachable
from tests.environment.conftest import NAMES

FREE = Constraints(Alignment(1, 1), 1)
SOME = settings(max_examples=50)  # whole walks take their time
KINDS = ("one-shot", "rounds", "group-wise")


@st.composite
def walks(draw: st.DrawFn, constraint: str) -> tuple[str, Constraints, Target, EpisodeOptions, int]:
    quantities = draw(st.sets(st.sampled_from(("macs", "params", "bytes")), min_size=1))
    shares = st.integers(5, 110).map(lambda percent: Fraction(percent, 100))
    bounds = tuple(Bound(quantity, draw(shares), relative=True) for quantity in sorted(quantities))
    aligned = st.sampled_from((Alignment(1, 1), Alignment(4, 4), Alignment(4, 16)))
    constraints = Constraints(draw(aligned), draw(st.sampled_from((0.0, 0.1, 0.3, 3))))
    order = draw(st.sampled_from(("bits", "ratios")))
    options = EpisodeOptions(
        draw(st.sampled_from(KINDS)), draw(st.integers(1, 4)), constraint, draw(st.booleans()), order
    )
    return draw(st.sampled_from(NAMES)), constraints, Target(bounds), options, draw(st.integers(0, 999))


def task_of(cost_model: CostModel, target: Target, constraints: Constraints) -> Task | None:
    """None where the target cannot be met, and is refused."""
    if target.met_by(reachable(cost_model, constraints), original=cost_model.count({})):
        return Task.of(cost_model, target=target, constraints=constraints)
    with pytest.raises(TargetError, match="E701"):
        Task.of(cost_model, target=target, constraints=constraints)
    return None


def walk(task: Task, options: EpisodeOptions, seed: int) -> list[Episode]:
    """Random bits, kept by chances that differ by episode, to the end; a copy of it after each step."""
    rng = np.random.default_rng(seed)
    count, share = len(task.order), rng.random()
    episode, seen = Episode(task, options), []
    while not episode.done:
        preferences = np.round(rng.standard_normal(count), 1) if rng.random() < 0.8 else None
        episode.act(rng.random(count) < share, preferences)
        copy = Episode(task, options)
        copy.step, copy.bits = episode.step, episode.bits.copy()
        seen.append(copy)
    return seen


def within(task: Task, bits: np.ndarray, target: Target) -> bool:
    return target.met_by(task.cost_model.count(task.order.split(bits)), original=task.whole)


@SOME
@given(walks("project"))
def test_projected_masks_are_valid_and_within_every_bound(cost_models, case) -> None:
    name, constraints, target, options, seed = case
    if (task := task_of(cost_models[name], target, constraints)) is None:
        return
    seen = walk(task, options, seed)
    assert within(task, seen[-1].bits, target)
    assert len(seen) == seen[-1].steps
    for episode in seen:
        for group, rungs in zip(task.groups.prunable, task.rungs, strict=True):
            assert episode.masks()[group.name].sum() in rungs
    if options.kind == "rounds":
        for done, episode in enumerate(seen, 1):
            assert within(task, episode.bits, task.partway(done, options.rounds))
        for before, after in pairwise(seen):
            assert not (after.bits & ~before.bits).any()


@SOME
@given(walks("project"))
def test_filled_masks_have_no_room_for_another_step(cost_models, case) -> None:
    name, constraints, target, options, seed = case
    if options.kind == "rounds" or not options.fill:
        return
    if (task := task_of(cost_models[name], target, constraints)) is None:
        return
    masks = walk(task, options, seed)[-1].masks()
    for group, rungs in zip(task.groups.prunable, task.rungs, strict=True):
        above = rungs[rungs > masks[group.name].sum()]
        if len(above):
            more = {**masks, group.name: np.arange(group.channels) < above[0]}
            assert task.violation(more) > 0


@SOME
@given(walks("project"), st.integers(0, 999))
def test_without_filling_masks_are_the_sampled_part_of_the_filled_ones(cost_models, case, seed) -> None:
    name, constraints, target, _, _ = case
    if (task := task_of(cost_models[name], target, constraints)) is None:
        return
    rng = np.random.default_rng(seed)
    bits, preferences = rng.random(len(task.order)) < rng.random(), rng.standard_normal(len(task.order))
    full, part = Episode(task), Episode(task, EpisodeOptions(fill=False))
    full.act(bits, preferences)
    part.act(bits, preferences)
    assert not (part.bits & ~full.bits).any()
    assert (part.bits & bits == full.bits & bits).all()
    for group, rungs in zip(task.groups.prunable, task.rungs, strict=True):
        own, mask = task.order.split(bits)[group.name], part.masks()[group.name]
        assert mask.sum() <= rungs[rungs >= own.sum()][0]
        if (own & ~mask).any():  # nothing that was sampled stays out where there is room for it
            above = rungs[rungs > mask.sum()][0]
            assert task.violation({**part.masks(), group.name: np.arange(group.channels) < above}) > 0


@SOME
@given(walks("penalty"))
def test_without_projection_masks_are_the_bits_rounded_up(cost_models, case) -> None:
    name, constraints, target, options, seed = case
    if (task := task_of(cost_models[name], target, constraints)) is None:
        return
    rng = np.random.default_rng(seed)
    bits = rng.random(len(task.order)) < rng.random()
    episode = Episode(task, options)
    while not episode.done:
        episode.act(bits, rng.standard_normal(len(bits)))
    assert not (bits & ~episode.bits).any()
    for own, mask, rungs in zip(
        task.order.split(bits).values(), episode.masks().values(), task.rungs, strict=True
    ):
        assert mask.sum() == rungs[rungs >= own.sum()][0]


@given(st.integers(0, 99), st.sampled_from(NAMES))
def test_bits_that_fit_are_the_masks(cost_models, seed, name) -> None:
    rng = np.random.default_rng(seed)
    task = Task.of(cost_models[name], target=Target(), constraints=FREE)
    bits = rng.random(len(task.order)) < 0.5
    for mask in task.order.split(bits).values():
        mask[0] = True  # a view: no group is empty
    spent = task.cost_model.count(task.order.split(bits))
    exact = Target((Bound("macs", Fraction(spent.macs), relative=False),))
    episode = Episode(Task.of(cost_models[name], target=exact, constraints=FREE), EpisodeOptions(fill=False))
    episode.act(bits)
    assert (episode.bits == bits).all()


@given(st.integers(0, 99), st.sampled_from(NAMES), st.sampled_from((1, 4)))
def test_more_sampled_channels_in_a_step_outweigh_any_preference(cost_models, seed, name, align) -> None:
    constraints = Constraints(Alignment(align, align), 1)
    task = task_of(cost_models[name], parse_target(["macs=50%"]), constraints)
    if task is None:
        return
    rng = np.random.default_rng(seed)
    bits = rng.random(len(task.order)) < 0.5
    one, other = Episode(task), Episode(task)
    one.act(bits, rng.standard_normal(len(bits)))
    other.act(bits, 1e9 * rng.standard_normal(len(bits)) ** 5)
    for own, a, b in zip(*(task.order.split(x).values() for x in (bits, one.bits, other.bits)), strict=True):
        assert (own & a).sum() == min(own.sum(), a.sum())
        assert (own & b).sum() == min(own.sum(), b.sum())


def test_preferences_order_those_sampled_alike(small) -> None:
    task = Task.of(small, target=parse_target(["macs=50%"]), constraints=FREE)
    preferences = np.random.default_rng(0).standard_normal(len(task.order))
    episode = Episode(task)
    episode.act(np.ones(len(task.order), bool), preferences)
    for values, mask in zip(task.order.split(preferences).values(), episode.masks().values(), strict=True):
        assert values[mask].min() > values[~mask].max()


def test_a_group_wise_walk_decides_one_group_a_step(cost_models) -> None:
    task = Task.of(cost_models["resnet20"], target=parse_target(["macs=50%"]), constraints=FREE)
    episode = Episode(task, EpisodeOptions("group-wise"))
    for number in range(len(task.order.names)):
        assert (episode.turn == (task.order.group_of == number)).all()
        before = episode.bits
        episode.act(np.arange(len(task.order)) % 2 == 0)
        if not episode.done:
            assert (episode.bits == before)[task.order.group_of != number].all()
            assert not episode.bits[task.order.group_of == number].all()
    assert episode.done
    assert not episode.turn.any()


def test_rounds_take_the_same_share_of_what_is_left(small) -> None:
    task = Task.of(small, target=parse_target(["macs=25%", "params=100%"]), constraints=FREE)
    bounds = [task.partway(done, 2).limits(task.whole) for done in (1, 2)]
    assert bounds[0]["macs"] == task.whole.macs // 2
    assert bounds[1] == task.limits
    assert bounds[0]["params"] == task.whole.params


def test_a_round_decides_what_is_left(small) -> None:
    task = Task.of(small, target=parse_target(["macs=25%"]), constraints=FREE)
    episode = Episode(task, EpisodeOptions("rounds", rounds=2))
    assert episode.turn.all()
    episode.act(np.ones(len(task.order), bool))
    assert not episode.bits.all()
    assert (episode.turn == episode.bits).all()


def test_what_does_not_fit_is_refused_and_changes_nothing(small) -> None:
    task = Task.of(small, target=parse_target(["macs=50%"]), constraints=FREE)
    episode, count = Episode(task), len(task.order)
    for bits, preferences in (
        (np.ones(count + 1, bool), None),
        (np.ones(count, bool), np.zeros(count - 1)),
        (np.ones(count, bool), np.full(count, np.nan)),
    ):
        with pytest.raises(UsageError, match="E207"):
            episode.act(bits, preferences)
    assert not episode.done
    assert episode.bits.all()
    episode.act(np.ones(count, bool))
    with pytest.raises(UsageError, match="done after 1 steps"):
        episode.act(np.ones(count, bool))


@pytest.mark.parametrize("wrong", [{"kind": "one"}, {"constraint": "none"}, {"rounds": 0}])
def test_options_that_make_no_sense_are_refused(wrong: dict) -> None:
    with pytest.raises(UsageError, match="E201"):
        EpisodeOptions(**wrong)


def test_a_model_with_nothing_to_prune_is_refused(stuck) -> None:
    with pytest.raises(UnsupportedError, match="E402"):
        Task.of(stuck, target=parse_target(["macs=50%"]), constraints=FREE)


@SOME
@given(st.sampled_from(NAMES), st.integers(0, 999), st.integers(20, 80))
def test_ratios_scale_the_sampled_shares_alike(cost_models, name: str, seed: int, percent: int) -> None:
    """A group that was sampled fuller than another is never left emptier, but for the step that ends it."""
    target = Target((Bound("macs", Fraction(percent, 100), relative=True),))
    if (task := task_of(cost_models[name], target, FREE)) is None:
        return
    rng = np.random.default_rng(seed)
    shares = rng.uniform(0.2, 1, len(task.order.names))
    bits = rng.random(len(task.order)) < shares[task.order.group_of]
    episode = Episode(task, EpisodeOptions(order="ratios"))
    episode.act(bits, rng.standard_normal(len(task.order)))
    sampled = [part.mean() for part in task.order.split(bits).values()]
    kept = [part.mean() for part in task.order.split(episode.bits).values()]
    steps = [1.5 / len(part) for part in task.order.split(bits).values()]
    for a in range(len(kept)):
        for b in range(len(kept)):
            if sampled[a] >= sampled[b]:
                assert kept[a] + steps[a] >= min(1.0, kept[b]) - steps[b] or kept[a] == 1


def test_ratios_fill_all_groups_alike_where_bits_fill_the_preferred(cost_models) -> None:
    task = Task.of(cost_models[NAMES[0]], target=parse_target(["macs=60%"]), constraints=FREE)
    bits = np.arange(len(task.order)) % 4 == 0
    preferences = -task.order.group_of.astype(float)
    spreads = []
    for order in ("bits", "ratios"):
        episode = Episode(task, EpisodeOptions(order=order))
        episode.act(bits, preferences)
        assert within(task, episode.bits, task.target)
        spreads.append(np.ptp([part.mean() for part in task.order.split(episode.bits).values()]))
    assert spreads[1] < spreads[0]


@pytest.mark.parametrize("bound", [None, "params=70%", "macs=40%"])
def test_a_task_projects_onto_its_own_target_and_others_for_all_groups_and_some(
    cost_models: dict[str, CostModel], bound: str | None
) -> None:
    cost_model, own = cost_models["densenet"], parse_target(["macs=60%"])
    task = Task.of(cost_model, target=own, constraints=Constraints(Alignment(2, 2)))
    other = parse_target([bound]) if bound else None
    rng = np.random.default_rng(0)
    scores = {group.name: rng.standard_normal(group.channels) for group in task.groups.prunable}
    for some in (scores, dict(list(scores.items())[1:])):
        found = task.project(some, other)
        expected = project(some, cost_model, target=other or own, constraints=task.constraints)
        assert all((found[name] == bits).all() for name, bits in expected.items())
        assert within(task, task.order.join(found), other or own)

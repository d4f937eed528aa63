"""The projection meets every target, from both sides, and takes what is preferred."""

import re
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from onnxprune.cost import CostModel
from onnxprune.errors import TargetError, UsageError
from onnxprune.groups import find_groups
from onnxprune.masks import Masks, all_true
from onnxprune.target import (
    Alignment,
    Bound,
    Constraints,
    Projection,
    Target,
    parse_target,
    project,
    reachable,
    require_reachable,
    settle,
)
from tests.target.conftest import NAMES

Scores = dict[str, NDArray[np.float64]]
ALIGNMENTS = (Alignment(1, 1), Alignment(4, 4), Alignment(8, 8), Alignment(4, 16))


def random_scores(cost_model: CostModel, seed: int, kind: str) -> Scores:
    """Continuous ones, ones full of ties, and ones that differ wildly between groups."""
    rng = np.random.default_rng(seed)
    scores: Scores = {}
    for group in cost_model.groups.prunable:
        values = rng.standard_normal(group.channels)
        scores[group.name] = {
            "normal": values,
            "ties": np.round(values),
            "scaled": np.exp(values + 8 * rng.standard_normal()),
        }[kind]
    return scores


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, int, str, Constraints, Target]:
    shares = st.integers(5, 100).map(lambda percent: Fraction(percent, 100))
    quantities = draw(st.sets(st.sampled_from(("macs", "params", "bytes")), min_size=1))
    bounds = tuple(Bound(quantity, draw(shares), relative=True) for quantity in sorted(quantities))
    constraints = Constraints(draw(st.sampled_from(ALIGNMENTS)), draw(st.sampled_from((0.0, 0.1, 0.3, 1, 5))))
    kind = draw(st.sampled_from(("normal", "ties", "scaled")))
    return draw(st.sampled_from(NAMES)), draw(st.integers(0, 999)), kind, constraints, Target(bounds)


def one_step_more(masks: Masks, cost_model: CostModel, constraints: Constraints) -> list[Masks]:
    """The masks with each group that is not whole one rung higher."""
    raised = []
    for group in cost_model.groups.prunable:
        rungs = constraints.rungs(group)
        above = rungs[rungs > masks[group.name].sum()]
        if len(above):
            raised.append({**masks, group.name: np.arange(group.channels) < above[0]})
    return raised


def within(cost_model: CostModel, masks: Masks, target: Target) -> bool:
    return target.met_by(cost_model.count(masks), original=cost_model.count({}))


@given(cases())
def test_a_target_is_met_from_both_sides(
    cost_models: dict[str, CostModel], case: tuple[str, int, str, Constraints, Target]
) -> None:
    name, seed, kind, constraints, target = case
    cost_model = cost_models[name]
    scores = random_scores(cost_model, seed, kind)
    if not target.met_by(reachable(cost_model, constraints), original=cost_model.count({})):
        with pytest.raises(TargetError):
            project(scores, cost_model, target=target, constraints=constraints)
        return
    masks = project(scores, cost_model, target=target, constraints=constraints)
    assert within(cost_model, masks, target)
    settled = settle(cost_model, target=target, constraints=constraints)
    for more in one_step_more(masks, cost_model, settled):
        assert not within(cost_model, more, target)


def one_at_a_time(
    scores: Scores, cost_model: CostModel, target: Target, constraints: Constraints
) -> dict[str, int]:
    """Kept counts by taking the most wanted step that is left, or closing its group if it costs too much."""
    kept, steps = {}, []
    for index, group in enumerate(cost_model.groups.prunable):
        rungs = constraints.rungs(group).tolist()
        falling, wish = sorted(scores[group.name].tolist(), reverse=True), float("inf")
        kept[group.name] = rungs[0]
        for place, (low, high) in enumerate(pairwise(rungs)):
            wish = min(wish, sum(falling[low:high]) / (high - low))
            steps.append((-wish, place, index, group.name, high))
    closed: set[str] = set()
    for *_, name, count in sorted(steps):
        masks = {other: np.arange(len(scores[other])) < n for other, n in (kept | {name: count}).items()}
        if name not in closed and within(cost_model, masks, target):
            kept[name] = count
        else:
            closed.add(name)
    return kept


@given(cases())
def test_it_takes_what_one_step_at_a_time_takes(
    cost_models: dict[str, CostModel], case: tuple[str, int, str, Constraints, Target]
) -> None:
    name, seed, kind, constraints, target = case
    cost_model = cost_models[name]
    drawn = random_scores(cost_model, seed, kind)
    scores = {group: np.rint(1000 * row) for group, row in drawn.items()}  # whole, so that all sums are exact
    if not target.met_by(reachable(cost_model, constraints), original=cost_model.count({})):
        return
    found = project(scores, cost_model, target=target, constraints=constraints)
    settled = settle(cost_model, target=target, constraints=constraints)
    assert {n: int(bits.sum()) for n, bits in found.items()} == one_at_a_time(
        scores, cost_model, target, settled
    )


def test_a_prepared_projection_gives_the_same_for_one_after_another(
    cost_models: dict[str, CostModel],
) -> None:
    cost_model, target = cost_models["resnet20"], parse_target(["macs=60%", "params=50%"])
    constraints = Constraints(Alignment(4, 4))
    names = [group.name for group in cost_model.groups.prunable]
    prepared = Projection.onto(target, cost_model, constraints, names)
    for seed in range(5):
        scores = random_scores(cost_model, seed, "normal")
        found, expected = (
            prepared(scores),
            project(scores, cost_model, target=target, constraints=constraints),
        )
        assert all((found[name] == bits).all() for name, bits in expected.items())
    for wrong in ({**scores, names[0]: np.zeros(3)}, {names[0]: scores[names[0]]}, {}):
        with pytest.raises(UsageError) as caught:
            prepared(wrong)
        assert caught.value.code == "E207"


@given(cases())
def test_counts_are_aligned_and_the_best_channels_stay(
    cost_models: dict[str, CostModel], case: tuple[str, int, str, Constraints, Target]
) -> None:
    name, seed, kind, constraints, target = case
    cost_model = cost_models[name]
    scores = random_scores(cost_model, seed, kind)
    try:
        masks = project(scores, cost_model, target=target, constraints=constraints)
    except TargetError:
        return
    assert masks.keys() == {group.name for group in cost_model.groups.prunable}
    constraints = settle(cost_model, target=target, constraints=constraints)
    for group in cost_model.groups.prunable:
        bits, values = masks[group.name], scores[group.name]
        kept = int(bits.sum())
        assert kept in constraints.rungs(group)
        assert kept == group.channels or constraints.fits(group, kept)
        assert kept >= constraints.least(group)
        assert kept == group.channels or values[bits].min() >= values[~bits].max()


def one_by_one(scores: Scores, cost_model: CostModel, target: Target, constraints: Constraints) -> list[int]:
    """The oracle: every step in falling order of its mean score, taken where it fits, one at a time."""
    groups = cost_model.groups
    kept = {g.name: int(constraints.rungs(g)[0]) for g in groups.prunable}
    steps = []
    for number, group in enumerate(groups):
        if group.frozen is None:
            falling = np.sort(scores[group.name])[::-1]
            rungs = constraints.rungs(group).tolist()
            for rung, (low, high) in enumerate(pairwise(rungs)):
                steps.append((-falling[low:high].mean(), rung, number, group.name, low, high))
    for *_, name, low, high in sorted(steps):
        raised = {**kept, name: high}
        masks = {g.name: np.arange(g.channels) < raised[g.name] for g in groups.prunable}
        if kept[name] == low and within(cost_model, masks, target):
            kept = raised
    return list(kept.values())


@given(st.integers(0, 99), st.integers(25, 95), st.sampled_from(ALIGNMENTS))
def test_it_is_the_greedy_choice_found_faster(
    cost_models: dict[str, CostModel], seed: int, percent: int, align: Alignment
) -> None:
    cost_model = cost_models["inverted_residual"]
    scores = random_scores(cost_model, seed, "normal")
    target, constraints = parse_target([f"macs={percent}%", "params=90%"]), Constraints(align)
    if not target.met_by(reachable(cost_model, constraints), original=cost_model.count({})):
        return
    masks = project(scores, cost_model, target=target, constraints=constraints)
    constraints = settle(cost_model, target=target, constraints=constraints)
    found = [int(masks[group.name].sum()) for group in cost_model.groups.prunable]
    assert found == one_by_one(scores, cost_model, target, constraints)


@given(st.integers(0, 99), st.sampled_from(ALIGNMENTS[:3]), st.sampled_from(NAMES))
def test_a_higher_bound_never_gives_a_lower_cost(
    cost_models: dict[str, CostModel], seed: int, align: Alignment, name: str
) -> None:
    cost_model, constraints = cost_models[name], Constraints(align)
    scores = random_scores(cost_model, seed, "normal")
    whole, least = cost_model.count({}), reachable(cost_model, constraints)
    costs = []
    for limit in np.linspace(least.macs, whole.macs, 12).astype(int).tolist():
        target = Target((Bound("macs", Fraction(limit), relative=False),))
        costs.append(
            cost_model.count(project(scores, cost_model, target=target, constraints=constraints)).macs
        )
    assert costs == sorted(costs)
    assert costs[0] == least.macs
    assert costs[-1] == whole.macs


@pytest.mark.parametrize("name", NAMES)
def test_a_target_that_the_original_meets_keeps_everything(
    cost_models: dict[str, CostModel], name: str
) -> None:
    scores = random_scores(cost_models[name], 0, "normal")
    for target in (Target(), parse_target(["macs=100%", "bytes=100%"]), parse_target(["params=5G"])):
        masks = project(scores, cost_models[name], target=target, constraints=Constraints())
        assert all(bits.all() for bits in masks.values())
        assert masks.keys() == all_true(cost_models[name].groups).keys()


def test_groups_without_scores_keep_everything(cost_models: dict[str, CostModel]) -> None:
    cost_model = cost_models["resnet20"]
    scores = random_scores(cost_model, 3, "normal")
    left_out = next(iter(scores))
    del scores[left_out]
    masks = project(scores, cost_model, target=parse_target(["macs=60%"]), constraints=Constraints())
    assert masks[left_out].all()
    assert within(cost_model, masks, parse_target(["macs=60%"]))


def test_equal_scores_give_the_same_masks_every_time(cost_models: dict[str, CostModel]) -> None:
    cost_model = cost_models["resnet20"]
    scores = {group.name: np.zeros(group.channels) for group in cost_model.groups.prunable}
    target, constraints = parse_target(["macs=50%"]), Constraints(Alignment(1, 1))
    first, second = (project(scores, cost_model, target=target, constraints=constraints) for _ in range(2))
    assert all((first[name] == second[name]).all() for name in first)
    assert all((np.diff(bits.astype(int)) <= 0).all() for bits in first.values())  # lower indices stay


@pytest.mark.parametrize("name", ["resnet20", "inverted_residual"])
def test_means_that_differ_by_rounding_alone_leave_no_count_between_two_rungs(
    cost_models: dict[str, CostModel], name: str
) -> None:
    """0.1 + 0.1 + ... : of steps that are wanted alike, an uneven last one must not come first."""
    cost_model, rng = cost_models[name], np.random.default_rng(0)
    for percent in range(30, 100, 3):
        target, constraints = parse_target([f"macs={percent}%"]), Constraints(Alignment(3, 3))
        groups = cost_model.groups.prunable
        scores = {group.name: np.full(group.channels, 0.1 * rng.integers(1, 4)) for group in groups}
        masks = project(scores, cost_model, target=target, constraints=constraints)
        settled = settle(cost_model, target=target, constraints=constraints)
        assert all(masks[group.name].sum() in settled.rungs(group) for group in groups)


def test_an_impossible_target_states_the_least_cost(cost_models: dict[str, CostModel]) -> None:
    cost_model, constraints = cost_models["resnet20"], Constraints(Alignment(8, 8), min_keep=0.5)
    with pytest.raises(TargetError) as caught:
        require_reachable(cost_model, target=parse_target(["params=90%", "macs=5%"]), constraints=constraints)
    assert caught.value.code == "E701"
    assert "macs=5% is impossible" in caught.value.message
    assert "align 8, min-keep 50%" in caught.value.message
    (stated,) = re.findall(r"reachable is ([0-9.]+)%", caught.value.message)
    possible = parse_target([f"macs={stated}%"])
    require_reachable(cost_model, target=possible, constraints=constraints)
    least = reachable(cost_model, constraints)
    assert f"({least.macs} of {cost_model.count({}).macs})" in caught.value.message


def test_alignment_gets_finer_only_where_the_target_leaves_no_room(cost_models: dict[str, CostModel]) -> None:
    cost_model = cost_models["resnet20"]  # stages of 16, 32 and 64 channels

    def settled(percent: int, align: Alignment) -> Alignment:
        target = parse_target([f"macs={percent}%"])
        found = settle(cost_model, target=target, constraints=Constraints(align))
        assert settle(cost_model, target=target, constraints=found) == found
        return found.align

    assert settled(60, Alignment(4, 8)) == Alignment(4, 8)
    assert settled(60, Alignment(4, 16)) == Alignment(4, 16, choices=2)
    assert settled(30, Alignment(4, 16)) == Alignment(4, 16, choices=4)
    assert settled(12, Alignment(4, 16)) == Alignment(4, 4)
    assert settled(50, Alignment(8, 8)) == Alignment(8, 8)


def test_the_least_cost_is_reached_by_the_lowest_bound(cost_models: dict[str, CostModel]) -> None:
    cost_model, constraints = cost_models["densenet"], Constraints(Alignment(4, 4))
    least = reachable(cost_model, constraints)
    target = Target((Bound("macs", Fraction(least.macs), relative=False),))
    masks = project(
        random_scores(cost_model, 0, "normal"), cost_model, target=target, constraints=constraints
    )
    assert cost_model.count(masks) == least


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"g99": np.zeros(3)}, "unknown or frozen"),
        ({"g00": np.zeros(3)}, "have shape (3,), must be (16,)"),
        ({"g00": np.full(16, np.nan)}, "not all finite"),
    ],
)
def test_scores_that_do_not_fit_are_refused(
    cost_models: dict[str, CostModel], change: Scores, said: str
) -> None:
    cost_model = cost_models["resnet20"]
    for scores, target in (
        (random_scores(cost_model, 0, "normal") | change, Target()),
        (change, parse_target(["macs=1%"])),  # which is out of reach too
    ):
        with pytest.raises(UsageError) as caught:
            project(scores, cost_model, target=target, constraints=Constraints())
        assert caught.value.code == "E207"
        assert said in caught.value.message


def test_frozen_groups_are_refused_as_unknown_ones_are(cost_models: dict[str, CostModel]) -> None:
    cost_model = cost_models["resnet20"]
    frozen = next(group for group in find_groups(cost_model.groups.graph) if group.frozen)
    with pytest.raises(UsageError, match="unknown or frozen"):
        project(
            {frozen.name: np.zeros(frozen.channels)}, cost_model, target=Target(), constraints=Constraints()
        )

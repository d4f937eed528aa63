"""Feasible masks are above infeasible ones, better ones above worse ones, and only the past is the judge."""

import json
import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxprune.cost import Cost
from onnxprune.environment.rewards import FEASIBLE, SelfCompetition, violation
from onnxprune.errors import UsageError
from onnxprune.target import Target, parse_target

KINDS = ("percentile", "record", "r2", "ema")
ORDERED = ("percentile", "record", "r2")
accuracies = st.floats(0, 1) | st.floats(-1e6, 1e6)
held = st.floats(0, FEASIBLE)
broken = st.floats(FEASIBLE, math.inf, exclude_min=True)
outcomes = st.tuples(accuracies | st.none() | st.just(math.nan), held | broken)
batches = st.lists(st.lists(outcomes, max_size=6), max_size=5)
WHOLE = Cost(1000, 100, 400)


def after(kind: str, past: list[list[tuple[float | None, float]]], **options) -> SelfCompetition:
    compete = SelfCompetition(kind, **options)
    for batch in past:
        compete.rewards([a for a, _ in batch], [v for _, v in batch])
    return compete


@given(st.sampled_from(ORDERED), batches, st.lists(accuracies, min_size=1), st.lists(broken, min_size=1))
def test_every_feasible_reward_is_above_every_infeasible_one(kind, past, feasible, infeasible) -> None:
    count = len(feasible)
    rewards = after(kind, past).rewards(
        [*feasible, *(9e9 for _ in infeasible)], [*(0.0 for _ in feasible), *infeasible]
    )
    assert min(rewards[:count]) > max(rewards[count:])


@given(st.sampled_from(KINDS), batches, st.lists(accuracies, min_size=2), held)
def test_a_better_accuracy_never_earns_less(kind, past, feasible, same) -> None:
    rewards = after(kind, past).rewards(sorted(feasible), [same] * len(feasible))
    assert all(b >= a - 1e-12 for a, b in pairwise(rewards))


@given(st.sampled_from(KINDS), batches, st.lists(broken, min_size=2))
def test_a_larger_violation_never_earns_more(kind, past, violations) -> None:
    rewards = after(kind, past).rewards([0.5] * len(violations), sorted(violations))
    assert all(b <= a for a, b in pairwise(rewards))


@given(st.sampled_from(KINDS), batches, st.booleans())
def test_rewards_are_bounded_and_failed_masks_earn_the_least(kind, past, soft) -> None:
    compete = SelfCompetition(kind, soft=soft)
    for batch in past:
        rewards = compete.rewards([a for a, _ in batch], [v for _, v in batch])
        assert all(-2 <= reward <= 1.5 for reward in rewards)
        for (accuracy, _), reward in zip(batch, rewards, strict=True):
            assert reward == -2 or (accuracy is not None and not math.isnan(accuracy))


@given(st.sampled_from(KINDS), batches, st.booleans())
def test_the_best_is_a_feasible_one(kind, past, soft) -> None:
    feasible = [a for b in past for a, v in b if a is not None and not math.isnan(a) and v <= FEASIBLE]
    assert after(kind, past, soft=soft).best == max(feasible, default=None)


@given(st.sampled_from(KINDS), batches, batches)
def test_a_restored_one_goes_on_bit_for_bit(kind, past, future) -> None:
    one, other = after(kind, past), SelfCompetition(kind)
    other.restore(json.loads(json.dumps(one.state())))
    for batch in future:
        told = [a for a, _ in batch], [v for _, v in batch]
        assert one.rewards(*told) == other.rewards(*told)
    assert one.state() == other.state()


@given(st.sampled_from(KINDS), batches, st.lists(outcomes, min_size=2, max_size=6))
def test_failed_masks_leave_no_trace(kind, past, batch) -> None:
    told = [a for a, _ in batch], [v for _, v in batch]
    padded = [math.nan, *told[0], None], [0.0, *told[1], 0.0]
    one, other = after(kind, past), after(kind, past)
    assert other.rewards(*padded)[1:-1] == one.rewards(*told)
    assert one.state() == other.state()


def test_the_formula_against_numbers_worked_by_hand() -> None:
    compete = SelfCompetition("percentile")
    compete.rewards([0.50, 0.52, 0.54, 0.56, 0.58], [0.0] * 5)
    spread = math.sqrt(8.0)  # of 50, 52, 54, 56, 58 %
    rewards = compete.rewards([0.55, 0.56, 0.60, 0.99], [0.0, 0.0, 0.004, 0.1])
    wanted = [math.tanh(-1 / spread), 0.0, math.tanh(4 / spread) + 0.5, -1.5]
    assert rewards == pytest.approx(wanted)
    assert compete.best == 0.60


def test_small_differences_are_measured_with_half_a_percent() -> None:
    compete = SelfCompetition("percentile")
    compete.rewards([0.5] * 64, [0.0] * 64)
    assert compete.reward(0.505, 0.0) == pytest.approx(math.tanh(1) + 0.5)
    assert SelfCompetition("record", scale=1.0).rewards([1.0, 0.5], [0, 0]) == pytest.approx(
        [0, math.tanh(-1)]
    )


def test_a_batch_is_judged_by_the_past_alone() -> None:
    compete = SelfCompetition("record")
    compete.reward(0.5, 0.0)
    first, second = compete.rewards([0.6, 0.6], [0.0, 0.0])
    assert first == second > 0.5


def test_the_first_batch_has_only_itself_to_beat() -> None:
    rewards = SelfCompetition("percentile").rewards([0.1, 0.2, 0.3, 0.4, 0.5], [0.0] * 5)
    assert rewards[3] == pytest.approx(0)
    assert rewards[0] < 0 < rewards[4] < 1
    assert SelfCompetition("r2").rewards([0.1, 0.2, 0.3, 0.4, 0.5], [0.0] * 5) == [-1, -1, -1, 0, 1]


def test_the_window_forgets() -> None:
    compete = SelfCompetition("percentile", window=4)
    compete.rewards([0.9] * 4, [0.0] * 4)
    compete.rewards([0.2] * 4, [0.0] * 4)
    assert compete.reward(0.2, 0.0) == 0  # 0.9 is still the record, but no more the reference
    assert compete.best == 0.9


def test_the_moving_average_judges_the_violation_until_it_is_gone() -> None:
    compete = SelfCompetition("ema")
    compete.reward(0.9, 0.2)
    assert compete.reward(0.1, 0.1) == 1
    assert compete.reward(0.9, 0.3) == -1
    for _ in range(60):
        compete.reward(0.5, 0.0)
    assert compete.reward(0.6, 0.0) == 1
    assert compete.reward(0.4, 0.0) == -1


def test_with_the_constraint_elsewhere_infeasible_masks_are_judged_by_accuracy() -> None:
    compete = SelfCompetition("percentile", soft=True)
    compete.rewards([0.5] * 8, [0.0] * 8)
    assert compete.reward(0.9, 0.4) == pytest.approx(1.0, abs=1e-3)  # and sets no record
    assert compete.best == 0.5


@pytest.mark.parametrize("wrong", [{"kind": "percentil"}, {"window": 0}, {"percentile": 101}, {"scale": 0}])
def test_nonsense_is_refused(wrong: dict) -> None:
    with pytest.raises(UsageError, match="E201"):
        SelfCompetition(**wrong)


def test_the_violation_is_that_of_the_worst_bound() -> None:
    target = parse_target(["macs=50%", "params=50%"])
    assert violation(Cost(500, 50, 400), target=target, whole=WHOLE) == 0
    assert violation(Cost(550, 75, 400), target=target, whole=WHOLE) == 0.5
    assert violation(Cost(550, 50, 400), target=target, whole=WHOLE) == pytest.approx(0.1)
    assert violation(WHOLE, target=Target(), whole=WHOLE) == 0


def test_measured_quantities_join_in() -> None:
    target = parse_target(["macs=50%"])
    cost = Cost(500, 50, 400)
    assert violation(cost, target=target, whole=WHOLE, measured={"latency": 1.25}) == 0.25
    assert violation(cost, target=target, whole=WHOLE, measured={"latency": 0.5}) == 0
    assert violation(cost, target=target, whole=WHOLE, measured={"latency": math.nan}) == math.inf


def test_a_bound_of_nothing_is_met_by_nothing_only() -> None:
    target = parse_target(["bytes=0.1%"])
    assert violation(Cost(5, 5, 5), target=target, whole=WHOLE) == math.inf
    assert violation(Cost(5, 5, 0), target=target, whole=WHOLE) == 0

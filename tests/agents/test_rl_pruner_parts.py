"""The parts of rl-pruner against computations by hand."""

from dataclasses import replace
from math import inf

import numpy as np
import pytest

from onnxprune.agents.rl_pruner.options import RlPrunerOptions
from onnxprune.agents.rl_pruner.policy import LEAST, drawn, normalised, updated
from onnxprune.agents.rl_pruner.schedule import Schedule, epsilon_at
from onnxprune.agents.rl_pruner.spending import ByChannels, ByCost, Spending, Standing
from onnxprune.agents.rl_pruner.tree import ROOT, Buffer, Entry, Node, q_values
from onnxprune.agents.space import Space
from onnxprune.cost import CostModel
from onnxprune.errors import UsageError
from tests.agents.conftest import World, problem_of

EVEN = np.array([0.5, 0.5])
ALL = np.array([True, True])


def standing(*kept: int, owed: tuple[float, ...] = (0.0, 0.0)) -> Standing:
    return Standing(np.array(kept), np.array(owed))


# The policy.


def test_an_action_is_the_policy_with_one_scale_of_normal_noise_for_all() -> None:
    rng = np.random.default_rng(7)
    scale, noise = rng.random(), rng.standard_normal(2)
    expected = np.array([0.25, 0.75]) + 0.1 * scale * noise
    action = drawn(np.array([0.25, 0.75]), np.random.default_rng(7), deviations=np.full(2, 0.1), able=ALL)
    assert action == pytest.approx(expected / expected.sum(), abs=1e-15)


def test_shares_are_clamped_and_those_who_cannot_pay_have_none() -> None:
    shares = normalised(np.array([0.5, -3.0, 0.2]), np.array([True, True, False]))
    assert shares == pytest.approx([0.5 / (0.5 + LEAST), LEAST / (0.5 + LEAST), 0.0])
    assert normalised(EVEN, ~ALL).tolist() == [0.0, 0.0]


def test_an_update_goes_a_share_of_the_way_and_is_clipped() -> None:
    policy = np.array([0.2, 0.3, 0.5])
    near = updated(policy, np.array([0.3, 0.3, 0.4]), rate=0.1, clip=0.2)
    assert near == pytest.approx([0.21, 0.3, 0.49])
    far = updated(policy, np.array([0.8, 0.1, 0.1]), rate=0.5, clip=0.2)  # ratios 2.5, 2 / 3, 0.6
    assert far == pytest.approx(np.array([0.24, 0.24, 0.4]) / 0.88)


# From shares to counts: 48 MACs = 3 a + a c + 2 c with a = 4, c = 6; half of them are allowed.


def test_shares_of_cost_come_down_the_ladders_until_the_target_fits(tiny: CostModel) -> None:
    """A channel of a costs 9 MACs, one of c 6: falls c a c a leave (2, 4) with 22 MACs; (3, 4) has 29."""
    spending = by(ByCost, tiny, steps=1)
    assert spending.first_policy() == pytest.approx([0.5, 0.5])  # 36 and 36
    assert spending.child(spending.whole(), EVEN, 0).kept.tolist() == [2, 4]


def test_a_step_ends_at_its_share_of_the_target_and_what_is_owed_is_carried(tiny: CostModel) -> None:
    """48 sqrt(0.5) = 33 MACs: falls c a c leave (3, 4), just as c has come to 4.5 and a to 3."""
    spending = by(ByCost, tiny, steps=2)
    first = spending.child(spending.whole(), EVEN, 0)
    assert first.kept.tolist() == [3, 4]
    assert first.owed == pytest.approx([0.0, -0.5])


def test_a_group_that_owes_falls_where_it_would_not_have(tiny: CostModel) -> None:
    spending, action = by(ByCost, tiny, steps=2), np.array([0.1, 0.9])
    assert spending.child(standing(4, 6), action, 0).kept.tolist() == [4, 3]
    assert spending.child(standing(4, 6, owed=(0.4, 0.0)), action, 0).kept.tolist() == [3, 4]


def test_shares_of_channels_are_rounded_and_the_last_step_goes_on_to_the_target(tiny: CostModel) -> None:
    """0.4 n and 0.6 n, rounded: n = 4 removes (2, 2) and fits, so two steps have two channels each."""
    spending = by(ByChannels, tiny, steps=2)
    policy = spending.first_policy()
    assert policy == pytest.approx([0.4, 0.6])
    first = spending.child(spending.whole(), policy, 0)
    assert first.kept.tolist() == [3, 5]
    assert spending.child(first, policy, 1).kept.tolist() == [2, 4]
    one = np.array([0.0, 1.0])
    assert spending.child(first, one, 1).kept.tolist() == [3, 3]  # 24 MACs


def test_where_rounded_shares_miss_the_number_the_nearest_sum_is_taken(tiny: CostModel) -> None:
    """Even shares remove 2, 4, 6, ...; of one channel alone the nearest is 2, none is no step."""
    spending = by(ByChannels, tiny, steps=4)
    assert spending.number == 1
    assert spending.child(spending.whole(), EVEN, 0).kept.tolist() == [3, 5]


@pytest.mark.parametrize("kind", [ByChannels, ByCost])
@pytest.mark.parametrize("align", [1, 4])
def test_counts_are_allowed_fall_and_end_at_the_target(
    kind: type[Spending], align: int, world: World
) -> None:
    problem = problem_of(world, align=align, target="macs=40% params=60%")
    spending, rng = kind(Space.of(problem), 6), np.random.default_rng(0)
    for _ in range(10):
        now = spending.whole()
        for step in range(6):
            action = normalised(rng.random(len(now.kept)) ** 4, spending.able(now))
            after = spending.child(now, action, step)
            assert all(k in rungs for k, rungs in zip(after.kept, problem.rungs, strict=True))
            assert (after.kept <= now.kept).all() or step == 5  # the last one fills what is left
            now = after
        assert spending.arrived(now)


def test_debts_stay_below_half_a_step_and_thin_groups_lose_their_share_in_the_end(world: World) -> None:
    """In forty steps most groups have less than a channel a step: the paper's rounding leaves them alone."""
    space = Space.of(problem_of(world, align=1))
    fixed, paper = ByCost(space, 40), ByChannels(space, 40)
    now = fixed.whole()
    for step in range(39):
        now = fixed.child(now, fixed.first_policy(), step)
        assert np.abs(now.owed).max() <= 0.5 + 1e-9
    even = space.ratios(space.masks(np.ones(len(space.channels))))
    assert np.abs(now.kept / space.channels - even).max() < 0.1
    after = paper.child(paper.whole(), paper.first_policy(), 0)
    assert np.mean(after.kept == space.channels) > 0.6


def by(kind: type[Spending], tiny: CostModel, *, steps: int) -> Spending:
    from tests.agents.conftest import world_of

    return kind(Space.of(problem_of(world_of(tiny), align=1)), steps)


# Q and the buffer.


def node(parent: int, level: int, key: str) -> Node:
    return Node(parent, level, EVEN, np.array([4, 6]), np.zeros(2), key)


def test_q_looks_ahead_to_the_best_child() -> None:
    """0.5 + 0.9 max(0.1, 0.4) = 0.86; 0.6 + 0.9 max(0.2) = 0.78."""
    nodes = [node(ROOT, 1, "a"), node(0, 2, "b"), node(0, 2, "c"), node(ROOT, 1, "d"), node(3, 2, "e")]
    rewards = {"a": 0.5, "b": 0.1, "c": 0.4, "d": 0.6, "e": 0.2}
    values = q_values(nodes, lambda one: rewards[one.key], gamma=0.9, depth=2)
    assert values == pytest.approx([0.86, 0.1, 0.4, 0.78, 0.2])


def test_q_of_a_model_at_the_target_is_that_of_staying_there() -> None:
    values = q_values([node(ROOT, 1, "a")], lambda _one: 0.5, gamma=0.9, depth=3)
    assert values == pytest.approx([0.5 + 0.45 + 0.405])


def test_q_of_depth_one_is_the_reward_and_what_failed_is_worth_nothing() -> None:
    nodes = [node(ROOT, 1, "a"), node(ROOT, 1, "b")]
    assert q_values(nodes, lambda one: {"a": 0.5, "b": -inf}[one.key], gamma=0.0, depth=1) == [0.5, -inf]
    led = [node(ROOT, 1, "a"), node(0, 2, "b")]
    assert q_values(led, lambda one: {"a": 0.5, "b": -inf}[one.key], gamma=0.0, depth=2) == [-inf, -inf]


def test_the_buffer_keeps_the_best_and_lets_newer_ones_in_before_equal_ones() -> None:
    buffer = Buffer(2)
    for q, key in ((0.3, "a"), (-inf, "b"), (0.5, "c"), (0.2, "d"), (0.3, "e")):
        buffer.add(Entry(q, node(ROOT, 1, key)))
    assert [entry.node.key for entry in buffer.entries] == ["e", "c"]
    assert buffer.best().node.key == "c"


def test_epsilon_chooses_among_the_buffer_and_draws_nothing_where_it_is_zero() -> None:
    buffer = Buffer(2, [Entry(0.3, node(ROOT, 1, "a")), Entry(0.5, node(ROOT, 1, "b"))])
    rng = np.random.default_rng(0)
    assert {buffer.chosen(1.0, rng).node.key for _ in range(50)} == {"a", "b"}
    before = rng.bit_generator.state
    assert buffer.chosen(0.0, rng).node.key == "b"
    assert rng.bit_generator.state == before


# The schedule.


@pytest.mark.parametrize(
    ("decay", "expected"),
    [
        ("constant", [0.4, 0.4, 0.4, 0.4, 0.0]),
        ("linear", [0.4, 0.3, 0.2, 0.1, 0.0]),
        ("cosine", [0.4, 0.2 + 0.1 * 2**0.5, 0.2, 0.2 - 0.1 * 2**0.5, 0.0]),
    ],
)
def test_epsilon_decays_over_its_share_of_the_steps(decay: str, expected: list[float]) -> None:
    options = RlPrunerOptions(decay=decay, epsilon=0.4, exploration=0.1)
    assert [epsilon_at(options, step, 40) for step in range(5)] == pytest.approx(expected)


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("asked", [{}, {"steps": 3}, {"stages": 2}, {"samples": 4}])
def test_a_schedule_needs_no_more_than_all_evaluations(depth: int, asked: dict[str, int]) -> None:
    options = RlPrunerOptions(depth=depth, **asked)
    schedules = [Schedule.of(options, evaluations) for evaluations in range(480, 900, 7)]
    for schedule in schedules:
        assert schedule.steps * max(1, schedule.stages) * schedule.size <= schedule.evaluations
        told, size = 0, schedule.size
        for step in range(schedule.steps):
            assert schedule.quota(step, told) >= size
            told += size
    assert Schedule.of(replace(options, samples=10), 10_000).size == {1: 10, 2: 60, 3: 160}[depth]


def test_few_evaluations_make_a_small_schedule() -> None:
    assert Schedule.of(RlPrunerOptions(), 7) == Schedule(7, 1, 0, (7,))
    assert Schedule.of(RlPrunerOptions(), 1) == Schedule(1, 1, 0, (1,))
    assert Schedule.of(RlPrunerOptions(), 512).steps == 7  # of 7 stages of 10 masks


def test_a_schedule_that_cannot_be_done_is_refused() -> None:
    with pytest.raises(UsageError, match="5 x 4 x 10 need 200 evaluations, there are 199"):
        Schedule.of(RlPrunerOptions(steps=5, stages=4), 199)
    with pytest.raises(UsageError, match="a look-ahead of depth 3 needs 3 evaluations"):
        Schedule.of(RlPrunerOptions(depth=3), 2)

"""How gnn-rl prunes and learns, by hand computations."""

from math import exp, log, pi, sqrt
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("torch_geometric")

from onnxprune.agents.gnn_rl import GnnRlOptions, make
from onnxprune.agents.gnn_rl.policy import Outlook, Policy
from onnxprune.agents.gnn_rl.pruning import Pruning
from onnxprune.agents.gnn_rl.rollout import Step, roll_out
from onnxprune.agents.gnn_rl.update import Memory, clipped_loss, losses, normalised, returns_of, update
from tests.agents.conftest import World, problem_of


class Constant(nn.Module):
    """A policy with one mean of two entries and one value, whatever the state."""

    deviation = 0.5
    log_prob = Policy.log_prob

    def __init__(self, mean: list[float], value: float) -> None:
        super().__init__()
        self.mean, self.value = nn.Parameter(torch.tensor(mean)), nn.Parameter(torch.tensor(value))

    def look(self, kept: Tensor) -> Outlook:
        return Outlook(self.mean.expand(len(kept), -1), self.value.expand(len(kept)))


def log_normal(value: float, mean: float) -> float:
    return -((value - mean) ** 2) / (2 * 0.5**2) - log(0.5 * sqrt(2 * pi))


ACTIONS = [[0.5, -0.5], [0.1, 0.2]]
OLD_MEAN, MEAN, VALUE = [0.0, 0.0], [0.2, -0.1], 0.3
RETURNS = [-10.0, -30.0]  # normalised: 1, -1


def tiny() -> Memory:
    old = [sum(log_normal(a, m) for a, m in zip(row, OLD_MEAN, strict=True)) for row in ACTIONS]
    return Memory(torch.zeros(2, 2), torch.tensor(ACTIONS), torch.tensor(old), torch.tensor(RETURNS))


def by_hand() -> tuple[list[float], list[float]]:
    """Ratios and advantages of the two steps."""
    ratios = []
    for row in ACTIONS:
        pairs = zip(row, OLD_MEAN, MEAN, strict=True)
        ratios.append(exp(sum(log_normal(a, new) - log_normal(a, old) for a, old, new in pairs)))
    spread = 10 + 1e-12
    return ratios, [10 / spread - VALUE, -10 / spread - VALUE]


def test_losses_are_those_computed_by_hand() -> None:
    ratios, advantages = by_hand()
    assert ratios[0] > 1.2  # the first is clipped, the second is not
    assert 0.8 < ratios[1] < 1.2
    surrogate = -(1.2 * advantages[0] + ratios[1] * advantages[1]) / 2
    value = sum(a**2 for a in advantages) / 2
    found = losses(cast(Policy, Constant(MEAN, VALUE)), tiny(), GnnRlOptions())
    assert found.policy.item() == pytest.approx(surrogate, rel=1e-5)
    assert found.value.item() == pytest.approx(value, rel=1e-5)
    assert found.total.item() == pytest.approx(surrogate + 0.5 * value, rel=1e-5)
    assert found.clipped.item() == 0.5
    changes = [log(ratio) for ratio in ratios]
    assert found.kl.item() == pytest.approx(sum(exp(c) - 1 - c for c in changes) / 2, rel=1e-4)


def test_one_update_is_the_step_computed_by_hand() -> None:
    """Only the step that is not clipped moves the mean: d log N / d mean = (a - mean) / deviation ** 2."""
    ratios, advantages = by_hand()
    policy = Constant(MEAN, VALUE)
    options = GnnRlOptions(epochs=1)
    update(cast(Policy, policy), torch.optim.SGD(policy.parameters(), lr=0.1), tiny(), options)
    slopes = [(a - m) / 0.25 for a, m in zip(ACTIONS[1], MEAN, strict=True)]
    mean = [m + 0.1 * ratios[1] * advantages[1] * s / 2 for m, s in zip(MEAN, slopes, strict=True)]
    assert policy.mean.tolist() == pytest.approx(mean, rel=1e-5)
    value = VALUE + 0.1 * 0.5 * sum(advantages)  # 0.5 weight * 2 (return - value) / 2 steps
    assert policy.value.item() == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss"),
    [(1.5, 1.0, -1.2), (0.5, 1.0, -0.5), (1.5, -1.0, 1.5), (0.5, -1.0, 0.8), (1.1, 2.0, -2.2)],
)
def test_a_ratio_is_clipped_where_it_would_gain_by_going_further(
    ratio: float, advantage: float, loss: float
) -> None:
    found, clipped = clipped_loss(torch.tensor([log(ratio)]), torch.tensor([advantage]), 0.2)
    assert found.item() == pytest.approx(loss)
    assert clipped.item() == (abs(ratio - 1) > 0.2)


def test_returns_are_discounted_from_the_end() -> None:
    assert returns_of(3, -20.0, discount=0.99).tolist() == pytest.approx([-19.602, -19.8, -20.0])
    assert returns_of(3, -20.0, discount=1.0).tolist() == [-20.0] * 3


def test_returns_are_normalised_over_the_memory() -> None:
    assert normalised(torch.tensor([1.0, 3.0, 5.0])).tolist() == pytest.approx(
        [-sqrt(1.5), 0, sqrt(1.5)], abs=1e-5
    )
    assert normalised(torch.full((4,), -7.0)).tolist() == [0] * 4


def test_returns_that_differ_by_a_billionth_are_told_apart() -> None:
    """As where the metric is an error, and the outputs are small."""
    rewards = [100 * (-1e-9 * step - 1) for step in range(4)]
    memory = Memory.empty(2)
    for reward in rewards:
        steps = [Step(torch.zeros(2), torch.zeros(2), torch.tensor(0.0))]
        memory = memory.with_episode(steps, reward, discount=1.0)
    by_hand = (torch.tensor([3.0, 2.0, 1.0, 0.0]) - 1.5) / 1.25**0.5
    assert torch.allclose(normalised(memory.returns), by_hand, rtol=1e-3)


def test_the_memory_holds_episodes_one_behind_the_other() -> None:
    steps = [Step(torch.ones(2), torch.full((2,), float(i)), torch.tensor(float(-i))) for i in range(3)]
    memory = Memory.empty(2).with_episode(steps[:2], 4.0, discount=0.5)
    memory = memory.with_episode(steps[2:], 1.0, discount=0.5)
    assert memory.returns.tolist() == [2, 4, 1]
    assert memory.actions[:, 0].tolist() == [0, 1, 2]
    assert memory.old.tolist() == [0, -1, -2]


def change_before_any_update(variant: str, world: World, **options: object) -> tuple[Tensor, Tensor]:
    """Of the log probabilities of steps that were just drawn; and which of them are the first of an episode.

    Under means that depend much on the state, as they do once something was learnt.
    """
    agent = make(problem_of(world), {"variant": variant, **options})
    last = agent.policy.actor[-1]
    assert isinstance(last, nn.Linear)
    nn.init.normal_(last.weight, std=1.0, generator=torch.Generator().manual_seed(0))
    memory = Memory.empty(len(agent.policy.wiring.channels))
    for episode in roll_out(agent.policy, agent.pruning, count=4):
        memory = memory.with_episode(episode.steps, 0.0, discount=1.0)
    with torch.no_grad():
        found = agent.policy.look(memory.kept)
        change = agent.policy.log_prob(found.mean, memory.actions) - memory.old
    return change.abs(), (memory.kept == agent.policy.wiring.channels).all(1)


def test_probabilities_before_any_update_are_the_old_ones(small_world: World) -> None:
    change, first = change_before_any_update("fixed", small_world)
    assert first.sum() == 4 < len(first)
    assert change.max() < 1e-4


def test_as_published_all_steps_of_an_update_are_taken_for_the_first(small_world: World) -> None:
    change, first = change_before_any_update("paper", small_world, dropout=0)
    assert first.sum() == 4 < len(first)
    assert change[first].max() < 1e-4
    assert change[~first].max() > 1e-3


def test_as_published_dropout_changes_the_probabilities_of_the_first_too(small_world: World) -> None:
    change, first = change_before_any_update("paper", small_world)
    assert change[first].max() > 0.1


def test_as_published_means_and_values_lie_between_minus_one_and_one(small_world: World) -> None:
    policy = make(problem_of(small_world), {"variant": "paper"}).policy
    with torch.no_grad():
        for weight in policy.parameters():
            weight *= 100
        kept = policy.wiring.channels[None]
        assert policy.act(kept).abs().max() <= 1
        assert policy.judge(kept).abs().max() <= 1


def test_actions_are_drawn_about_the_means(small_world: World) -> None:
    policy = make(problem_of(small_world)).policy
    drawn = policy.draw(torch.full((4000, len(policy.wiring.channels)), 2.0))
    assert drawn.mean().item() == pytest.approx(2.0, abs=0.02)
    assert drawn.std().item() == pytest.approx(0.5, abs=0.02)


def pruning(world: World, **options: object) -> Pruning:
    return make(problem_of(world, align=1), options).pruning


def test_as_published_ratios_are_multiplied_clipped_and_may_grow(world: World) -> None:
    own = pruning(world, variant="paper")
    ratios = np.full(len(own.least), 0.5)
    actions = np.zeros(len(ratios))
    actions[:4] = [0.2, -0.4, 0.99, -3.0]
    assert own.step(ratios, actions)[:5].tolist() == pytest.approx([0.4, 0.7, own.least[2], 1.0, 0.5])


def test_fixed_ratios_only_fall_and_not_below_the_least(world: World) -> None:
    own = pruning(world)
    rng = np.random.default_rng(0)
    ratios = np.ones(len(own.least))
    for _ in range(20):
        after = own.step(ratios, 3 * rng.standard_normal(len(ratios)))
        assert ((after <= ratios) & (after >= own.least)).all()
        ratios = after
    assert ratios.min() == own.least[ratios.argmin()]


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_actions_of_zero_lead_equal_ratios_to_the_target(world: World, steps: int) -> None:
    own = pruning(world, steps=steps)
    ratios = np.ones(len(own.least))
    for _ in range(steps):
        assert not own.met(own.kept(ratios))
        ratios = own.step(ratios, np.zeros(len(ratios)))
    assert own.met(own.kept(ratios * 0.96))
    assert not own.met(own.kept(ratios * 1.04))


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_noise_of_an_episode_hardly_depends_on_its_steps(world: World, steps: int) -> None:
    own, rng = pruning(world, steps=steps), np.random.default_rng(0)
    ends = []
    for _ in range(300):
        ratios = np.ones(len(own.least))
        for _ in range(steps):
            ratios = own.step(ratios, 0.2 * rng.standard_normal(len(ratios)))
        ends.append(np.log(ratios))
    assert np.std(ends) == pytest.approx(0.2 * 0.3, rel=0.25)  # (1 - r) of r about 0.7


def test_counts_are_the_nearest_allowed_ones(world: World) -> None:
    own = make(problem_of(world, align=4)).pruning
    for ratio in (1.0, 0.8, 0.33, 0.01):
        for rungs, count, kept in zip(
            own.space.rungs, own.space.channels * ratio, own.kept(np.full(len(own.least), ratio)), strict=True
        ):
            assert kept in rungs
            assert abs(kept - count) == np.abs(rungs - count).min()


def test_the_priors_best_of_each_group_are_kept(world: World) -> None:
    own = make(problem_of(world)).pruning
    kept = own.kept(np.full(len(own.least), 0.6))
    masks = own.best(kept)
    assert [int(bits.sum()) for bits in masks.values()] == kept.tolist()
    for name, bits in masks.items():
        scores = world.scores["l2"][name]
        assert bits.all() or scores[bits].min() >= scores[~bits].max()


def test_an_episode_ends_where_the_target_is_met(world: World) -> None:
    agent = make(problem_of(world))
    lengths = set()
    for episode in roll_out(agent.policy, agent.pruning, count=16):
        lengths.add(len(episode.steps))
        assert agent.pruning.met(episode.kept) == episode.met
        assert episode.met or len(episode.steps) == 5
        assert not any(agent.pruning.met(step.kept.long().numpy()) for step in episode.steps)
    assert len(lengths) > 1

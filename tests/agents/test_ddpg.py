"""What amc and agmc share, against computations by hand: the update, the noise, the memory, the rewards."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import kstest, truncnorm

from onnxprune.agents.ddpg.exploration import course, truncated_normal
from onnxprune.agents.ddpg.learner import Batch, Ddpg
from onnxprune.agents.ddpg.memory import Memory, Past
from onnxprune.agents.ddpg.options import PAPER, DdpgOptions, read_variant
from onnxprune.agents.ddpg.rewards import MovingAverage, leading, ranked_gains, reward_of
from onnxprune.agents.types import Outcome
from onnxprune.cost import Cost
from onnxprune.errors import UsageError
from tests.agents.conftest import World, problem_of

Floats = NDArray[np.float64]
Weights = dict[str, Floats]
OPTIONS = DdpgOptions(hidden=5, discount=0.9, soft=0.25, actor_rate=0.01, critic_rate=0.02)
PARTS = ("actor", "critic", "slow_actor", "slow_critic")


def learner(options: DdpgOptions = OPTIONS) -> Ddpg:
    """With copies that already lag behind."""
    torch.manual_seed(3)
    found = Ddpg(3, options)
    with torch.no_grad():
        for slow in (found.slow_actor, found.slow_critic):
            for weight in slow.parameters():
                weight += 0.3 * torch.randn_like(weight)
    return found


def weights_of(module: torch.nn.Module) -> Weights:
    return {name: weight.double().numpy() for name, weight in module.state_dict().items()}


def acted(w: Weights, s: Floats) -> Floats:
    """mu(s), with three matrices."""
    h = np.maximum(0, s @ w["layers.0.weight"].T + w["layers.0.bias"])
    h = np.maximum(0, h @ w["layers.2.weight"].T + w["layers.2.bias"])
    return 1 / (1 + np.exp(-(h @ w["layers.4.weight"].T + w["layers.4.bias"])[:, 0]))


def valued(w: Weights, s: Floats, a: Floats) -> Floats:
    """Q(s, a)."""
    h = s @ w["of_state.weight"].T + a[:, None] @ w["of_action.weight"].T
    h = np.maximum(0, h + w["of_state.bias"] + w["of_action.bias"])
    h = np.maximum(0, h @ w["inner.weight"].T + w["inner.bias"])
    return (h @ w["value.weight"].T + w["value.bias"])[:, 0]


def gradient(loss: Callable[[Weights], float], w: Weights, step: float = 1e-6) -> Weights:
    """By central differences."""
    found = {name: np.zeros_like(value) for name, value in w.items()}
    for name, value in w.items():
        for place in np.ndindex(*value.shape):
            moved = [{**w, name: value.copy()} for _ in range(2)]
            for weights, sign in zip(moved, (1, -1), strict=True):
                weights[name][place] += sign * step
            found[name][place] = (loss(moved[0]) - loss(moved[1])) / (2 * step)
    return found


def batch_of(count: int = 6) -> Batch:
    rng = np.random.default_rng(0)
    drawn = [rng.standard_normal((count, 3)), rng.random(count), rng.standard_normal(count)]
    following, going = rng.standard_normal((count, 3)), (np.arange(count) % 3 > 0).astype(float)
    return Batch(*(torch.tensor(part, dtype=torch.float32) for part in (*drawn, following, going)))


def assert_stepped(after: Weights, before: Weights, slope: Weights, rate: float) -> None:
    """That Adam has taken its first step: by the rate, against the sign of the gradient."""
    assert max(np.abs(value).max() for value in slope.values()) > 1e-3
    for name, value in slope.items():
        sure = np.abs(value) > 1e-4  # below that its epsilon and single precision have a say
        expected = before[name] - rate * np.sign(value)
        np.testing.assert_allclose(after[name][sure], expected[sure], atol=1e-5)
        still = value == 0
        np.testing.assert_array_equal(after[name][still], before[name][still])


def test_an_update_is_that_of_the_papers_equations() -> None:
    ddpg, batch = learner(), batch_of()
    before = {name: weights_of(getattr(ddpg, name)) for name in PARTS}
    s, a, gains, following, going = (part.double().numpy() for part in vars(batch).values())
    ahead = valued(before["slow_critic"], following, acted(before["slow_actor"], following))
    wanted = gains + 0.9 * going * ahead  # equation 3
    np.testing.assert_allclose(ddpg.wanted(batch).numpy(), wanted, rtol=1e-5, atol=1e-6)

    figures = ddpg.update(batch)
    after = {name: weights_of(getattr(ddpg, name)) for name in PARTS}

    def missed(w: Weights) -> float:
        return float(((valued(w, s, a) - wanted) ** 2).mean())  # equation 2

    def lost(w: Weights) -> float:
        return -float(valued(after["critic"], s, acted(w, s)).mean())

    assert figures["critic_loss"] == pytest.approx(missed(before["critic"]), rel=1e-4)
    assert figures["actor_value"] == pytest.approx(-lost(before["actor"]), rel=1e-4)
    assert_stepped(after["critic"], before["critic"], gradient(missed, before["critic"]), 0.02)
    assert_stepped(after["actor"], before["actor"], gradient(lost, before["actor"]), 0.01)


def test_the_copies_go_their_share_of_the_way() -> None:
    ddpg = learner()
    before = {name: weights_of(getattr(ddpg, name)) for name in PARTS}
    ddpg.update(batch_of())
    for name in ("actor", "critic"):
        now, slow = weights_of(getattr(ddpg, name)), weights_of(getattr(ddpg, f"slow_{name}"))
        for part, value in slow.items():
            expected = 0.25 * now[part] + 0.75 * before[f"slow_{name}"][part]
            np.testing.assert_allclose(value, expected, atol=1e-6)


def test_the_critics_loss_reaches_what_states_are_computed_from_and_the_actors_by_the_action_alone() -> None:
    ddpg, batch = learner(), batch_of()
    states = batch.states.clone().requires_grad_()
    critic = ddpg.critic(states, batch.actions)
    (of_critic,) = torch.autograd.grad((critic - ddpg.wanted(batch)).square().mean(), states)
    ddpg.update(replace(batch, states=states))
    of_actor = -ddpg.critic(batch.states, learner().actor(states)).mean()
    (by_action,) = torch.autograd.grad(of_actor, states)
    assert states.grad is not None
    torch.testing.assert_close(states.grad, of_critic + by_action, atol=1e-6, rtol=1e-4)
    assert by_action.abs().max() > 0


def test_what_is_frozen_stays_and_still_hands_on_its_gradients() -> None:
    ddpg = learner(replace(OPTIONS, soft=1.0))
    ddpg.freeze()
    before = [weights_of(ddpg.actor), weights_of(ddpg.critic)]
    states = batch_of().states.requires_grad_()
    ddpg.update(replace(batch_of(), states=states))
    for old, new in zip(before, [weights_of(ddpg.actor), weights_of(ddpg.critic)], strict=True):
        assert all(np.array_equal(old[name], new[name]) for name in old)
    assert states.grad is not None
    assert states.grad.any()


def test_it_learns_the_action_that_a_state_asks_for() -> None:
    ddpg = learner(DdpgOptions(hidden=32, actor_rate=3e-3, critic_rate=3e-3))
    rng = np.random.default_rng(1)
    for _ in range(600):
        states, actions = rng.random((64, 3)).astype(np.float32), rng.random(64).astype(np.float32)
        gains = -((actions - states[:, 0]) ** 2) * 10
        drawn = map(torch.from_numpy, (states, actions, gains, states, np.zeros(64, np.float32)))
        ddpg.update(Batch(*drawn))
    for wanted in (0.2, 0.8):
        assert ddpg.act(np.array([wanted, 0.5, 0.5], np.float32)) == pytest.approx(wanted, abs=0.12)


def test_noise_begins_after_the_warm_up_and_falls_to_its_end() -> None:
    found = course(80, warm_up=0.125, deviation=0.4, decay=0, end=0.25)
    assert [found.at(episode) for episode in (0, 9)] == [None, None]
    assert found.at(10) == 0.4
    assert found.at(79) == pytest.approx(0.1)


def test_a_decay_that_is_given_is_taken_and_a_warm_up_from_one_on_is_a_number() -> None:
    found = course(500, warm_up=100, deviation=0.5, decay=0.95, end=0.1)
    assert found.at(99) is None
    assert found.at(101) == pytest.approx(0.5 * 0.95)
    assert course(2, warm_up=5, deviation=0.5, decay=0, end=0.1).at(6) is not None


@pytest.mark.parametrize(("mean", "deviation"), [(0.5, 0.2), (0.02, 0.3), (1.0, 0.1)])
def test_actions_follow_the_truncated_normal(mean: float, deviation: float) -> None:
    rng = np.random.default_rng(0)
    drawn = [truncated_normal(mean, deviation, rng) for _ in range(4000)]
    expected = truncnorm(-mean / deviation, (1 - mean) / deviation, mean, deviation)
    assert kstest(drawn, expected.cdf).pvalue > 1e-3
    assert kstest(drawn, truncnorm(-1, 1, mean, 2 * deviation).cdf).pvalue < 1e-6


def test_without_noise_the_action_is_the_mean() -> None:
    assert truncated_normal(0.3, 0.0, np.random.default_rng(0)) == 0.3


def past(number: int, steps: int = 3) -> Past:
    """States and actions that tell where they come from."""
    states = np.array([[number, step] for step in range(steps)], np.float32)
    return Past(states, (10 * number + np.arange(steps)).astype(np.float32), float(number))


def test_a_memory_forgets_the_oldest_transitions() -> None:
    memory = Memory(3, 7)
    for number in range(5):
        memory.add(past(number))
    assert len(memory) == 7
    drawn = memory.draw(100, np.random.default_rng(0))
    assert sorted(drawn.actions) == [22, 30, 31, 32, 40, 41, 42]


def test_transitions_have_their_reward_and_what_followed() -> None:
    memory = Memory(3, 100)
    for number in range(2):
        memory.add(past(number))
    drawn = memory.draw(100, np.random.default_rng(0))
    assert len(drawn.actions) == 6
    for state, action, reward, following, going in zip(*vars(drawn).values(), strict=True):
        assert action == 10 * state[0] + state[1]
        assert reward == state[0]
        assert going == (state[1] < 2)
        assert not going or following.tolist() == [state[0], state[1] + 1]


def test_a_memory_goes_on_from_its_state() -> None:
    memory, other = Memory(3, 7), Memory(3, 7)
    for number in range(4):
        memory.add(past(number))
    other.restore(memory.state())
    first, second = (m.draw(4, np.random.default_rng(5)) for m in (memory, other))
    assert all(np.array_equal(a, b) for a, b in zip(vars(first).values(), vars(second).values(), strict=True))


def test_gains_are_places_among_all_that_is_known() -> None:
    known = np.array([0.1, 0.9, 0.5, 0.5], np.float32)
    asked = np.array([0.1, 0.5, 0.9, 2.0], np.float32)
    assert ranked_gains(asked, known).tolist() == [-0.75, 0.0, 0.75, 1.0]


def test_a_moving_average_moves_before_it_is_taken_off() -> None:
    average = MovingAverage(0.5)
    assert average.gains(np.array([1, 3], np.float32)).tolist() == [-1, 1]
    assert average.gains(np.array([4], np.float32)).tolist() == [1]
    assert average.value == 3


def test_the_reward_by_cost_is_that_of_equations_four_and_five() -> None:
    outcome = Outcome(0.75, 0.2, Cost(1000, 50, 200))
    assert reward_of(outcome, "accuracy", "macs") == 0.75
    assert reward_of(outcome, "cost", "macs") == pytest.approx(-0.25 * np.log(1000))
    assert reward_of(outcome, "cost", "params") == pytest.approx(-0.25 * np.log(50))
    for failed in (None, float("nan")):
        assert reward_of(replace(outcome, accuracy=failed), "accuracy", "macs") is None


def test_rewards_that_no_network_could_bear_are_held_within_float32() -> None:
    outcome = Outcome(-1e150, 0.2, Cost(1000, 50, 200))
    rewards = [reward_of(replace(outcome, accuracy=value), "accuracy", "macs") for value in (-1e150, 0.5, 1)]
    gains = MovingAverage(0.5).gains(np.array(rewards, np.float32))
    assert np.isfinite(gains**2).all()
    assert gains.argmin() == 0


@pytest.mark.parametrize(
    ("target", "quantity"),
    [("macs=60% params=50% bytes=70%", "params"), ("bytes=10%", "bytes"), ("", "macs")],
)
def test_the_bound_that_asks_for_the_most_leads(target: str, quantity: str, small_world: World) -> None:
    assert leading(problem_of(small_world, target=target)) == quantity


def test_a_variant_sets_what_is_not_given() -> None:
    paper = read_variant(DdpgOptions, {"variant": "paper", "actor-rate": 0.5}, PAPER)
    assert (paper.actor_rate, paper.gains, paper.discount) == (0.5, "average", 1.0)
    assert read_variant(DdpgOptions, {"variant": "fixed"}, PAPER) == DdpgOptions()
    assert read_variant(DdpgOptions, None, PAPER) == DdpgOptions()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"variant": "old"}, "variant is one of fixed, paper"),
        ({"reward": "r2"}, "reward is one of accuracy, cost"),
        ({"criterion": "l7"}, "criterion is prior or one of"),
        ({"hidden": 0}, "at least 1"),
        ({"tries": 0}, "at least 1"),
        ({"tries": 101}, "at most 100"),
        ({"memory": -1}, "not below 0"),
        ({"actor_rate": 0.0}, "rates are above 0"),
        ({"soft": 1.5}, r"lie in \(0, 1\]"),
        ({"discount": 1.5}, "between 0 and 1"),
        ({"noise": -0.1}, "not below 0"),
        ({"noise_end": 0.0}, "noise_end lies"),
        ({"least_ratio": 1.0}, "least_ratio lies"),
        ({"updats": 1}, "updats"),
    ],
)
def test_options_that_make_no_sense_are_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_variant(DdpgOptions, given, PAPER)

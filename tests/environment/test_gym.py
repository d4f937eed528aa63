"""The environment is one of Gymnasium's, repeats itself, and survives scores that fail."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

from onnxprune.environment import EpisodeOptions, SelfCompetition, Task
from onnxprune.environment.judging import Judge, RewardOptions
from onnxprune.errors import DataError, UsageError
from onnxprune.target import Alignment, Constraints, Target, parse_target

gymnasium = pytest.importorskip("gymnasium")

from gymnasium.utils.env_checker import check_env  # noqa: E402

from onnxprune.environment.gym import PruningEnv  # noqa: E402

FREE = Constraints(Alignment(1, 1), 1)
KINDS = ("one-shot", "rounds", "group-wise")
CONSTRAINTS = ("project", "lagrangian", "penalty")


@pytest.fixture(scope="module")
def task(small) -> Task:
    return Task.of(small, target=parse_target(["macs=50%", "params=75%"]), constraints=FREE)


def share_of_first(masks) -> float:
    """A score to learn: low indices are good to keep."""
    return float(np.mean([bits @ np.linspace(1, 0, len(bits)) / bits.sum() for bits in masks.values()]))


def play(env: PruningEnv, episodes: int, seed: int | None = 0) -> list[tuple[float, dict]]:
    """Random actions; the last reward and info of each episode."""
    env.action_space.seed(0)
    ends = []
    for number in range(episodes):
        env.reset(seed=seed if not number else None)
        done = False
        while not done:
            observation, reward, done, truncated, info = env.step(env.action_space.sample())
            assert observation in env.observation_space
            assert not truncated
            assert done or reward == 0
        ends.append((reward, info))
    return ends


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_gymnasiums_checker_passes(task, kind, constraint) -> None:
    count = len(task.order)
    env = PruningEnv(
        task,
        share_of_first,
        features=np.random.default_rng(0).standard_normal((count, 5)),
        preferences=np.arange(count, dtype=float),
        options=EpisodeOptions(kind, constraint=constraint),
    )
    check_env(env, skip_render_check=True)  # it draws nothing


def test_the_checker_passes_without_bounds_and_features(small) -> None:
    check_env(PruningEnv(Task.of(small, target=Target(), constraints=FREE), len), skip_render_check=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_begins_a_life_that_repeats_itself(task, kind) -> None:
    env = PruningEnv(task, share_of_first, options=EpisodeOptions(kind))
    first, second = play(env, 6), play(env, 6)
    assert [reward for reward, _ in first] == [reward for reward, _ in second]
    assert len({reward for reward, _ in first}) > 1
    later = play(env, 6, seed=None)
    assert [reward for reward, _ in first] != [reward for reward, _ in later]  # the past is known


def test_rewards_are_those_of_the_self_competition(task) -> None:
    compete = SelfCompetition("record")
    for reward, info in play(PruningEnv(task, share_of_first, reward=RewardOptions("record")), 12):
        assert info["accuracy"] == share_of_first(info["masks"])
        assert info["violation"] == 0
        assert info["cost"] == task.cost_model.count(info["masks"])
        assert reward == compete.reward(info["accuracy"], 0.0)


@pytest.mark.parametrize("constraint", ["lagrangian", "penalty"])
def test_without_projection_violations_cost(task, constraint) -> None:
    env = PruningEnv(task, lambda _: 0.5, options=EpisodeOptions(constraint=constraint))
    ends = sorted((info["violation"], reward) for reward, info in play(env, 12))
    assert ends[-1][0] > 0
    assert all(b[1] <= a[1] for a, b in pairwise(ends))


def test_the_multiplier_moves_after_a_batch() -> None:
    judge = Judge("lagrangian", RewardOptions(batch=2))
    judge.reward(0.5, 0.105)
    assert judge.multiplier.value == 1
    judge.reward(0.5, 0.105)
    assert judge.multiplier.value == pytest.approx(1.005)


@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_a_judge_is_restored_bit_for_bit(constraint) -> None:
    rng = np.random.default_rng(0)
    one, other = (Judge(constraint, RewardOptions(batch=3)) for _ in range(2))
    for _ in range(10):
        one.reward(rng.random(), rng.random())
    other.restore(one.state())
    for accuracy, violation in rng.random((10, 2)).tolist():
        assert one.reward(accuracy, violation) == other.reward(accuracy, violation)


def test_the_observation_tells_what_the_bounds_leave(task) -> None:
    env = PruningEnv(task, share_of_first)
    observation, info = env.reset(seed=0)
    assert observation["slack"].tolist() == pytest.approx([-0.5, -0.25], abs=0.01)
    assert info["cost"] == task.whole
    observation = env.step(np.ones(len(task.order), np.int8))[0]
    assert observation["slack"].min() >= 0
    assert not observation["turn"].any()


def test_a_score_that_fails_ends_the_episode_and_the_third_in_a_row_stops(task) -> None:
    outcomes = iter([0.5, ValueError("bad luck"), float("nan"), 0.5, *[RuntimeError("no disk")] * 3])

    def score(_) -> float:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    env = PruningEnv(task, score)
    ends = play(env, 6)
    assert [reward for reward, _ in ends] == [0, -2, -2, 0, -2, -2]
    errors = [info.get("error", "") for _, info in ends]
    assert errors == [
        "",
        "ValueError: bad luck",
        "score gave nan",
        "",
        *["RuntimeError: no disk"] * 2,
    ]
    with pytest.raises(DataError, match=r"E506.*3 episodes in a row\n.*no disk"):
        play(env, 1, seed=None)


def test_a_score_cannot_spoil_the_masks(task) -> None:
    def greedy(masks) -> float:
        for bits in masks.values():
            bits[:] = True
        return 1.0

    for _, info in play(PruningEnv(task, greedy), 2):
        assert task.violation(info["masks"]) == 0


def test_what_is_kept_of_an_episode_does_not_change(task) -> None:
    env = PruningEnv(task, share_of_first, options=EpisodeOptions("rounds"))
    before, _ = env.reset(seed=0)
    env.step(np.zeros(len(task.order), np.int8))
    assert before["bits"].all()


def test_a_step_without_an_episode_is_refused(task) -> None:
    env = PruningEnv(task, share_of_first)
    action = np.ones(len(task.order), np.int8)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(action)
    env.reset()
    with pytest.raises(UsageError, match="E207"):
        env.step(action[:-1])
    env.step(action)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(action)


@pytest.mark.parametrize("wrong", [float("nan"), 0.3, -1, 2, float("inf")])
def test_a_bit_on_turn_is_0_or_1(task, wrong) -> None:
    env = PruningEnv(task, share_of_first, options=EpisodeOptions("group-wise"))
    env.reset()
    action = np.ones(len(task.order))
    action[0] = wrong
    with pytest.raises(UsageError, match=f"E207.*has {wrong:g} for a channel on turn, must be 0 or 1"):
        env.step(action)
    action[0], action[-1] = 0, wrong  # the last is not on turn yet
    assert env.step(action)[0]["bits"][0] == 0


@pytest.mark.parametrize("wrong", ["keep", None, {"bits": 1}, [[1], [1, 0]]])
def test_an_action_that_is_no_array_of_numbers_is_refused(task, wrong) -> None:
    env = PruningEnv(task, share_of_first)
    env.reset()
    with pytest.raises(UsageError, match="E207"):
        env.step(wrong)


@pytest.mark.parametrize("kind", [bool, np.uint8, float, list])
def test_an_action_may_be_of_any_type_that_holds_bits(task, kind) -> None:
    env = PruningEnv(task, share_of_first)
    env.reset()
    bits = np.arange(len(task.order)) % 2
    action = bits.tolist() if kind is list else bits.astype(kind)
    kept = env.step(action)[0]["bits"]
    env.reset()
    assert (env.step(bits)[0]["bits"] == kept).all()
    assert not kept.all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"features": np.zeros(20)},
        {"features": [["a"]] * 20},
        {"features": [[0.0], [0.0, 1.0]] * 10},
        {"features": np.zeros((3, 2))},
        {"preferences": np.zeros(3)},
        {"preferences": np.full(20, np.inf)},
    ],
)
def test_what_does_not_fit_the_channels_is_refused(task, wrong) -> None:
    with pytest.raises(UsageError, match="E207"):
        PruningEnv(task, share_of_first, **wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"penalty": value} for value in (-1, float("nan"), float("inf"))),
        *({"batch": value} for value in (0, float("nan"), 2.5)),
    ],
)
def test_reward_options_out_of_range_are_refused(wrong) -> None:
    with pytest.raises(UsageError, match="E201"):
        RewardOptions(**wrong)


def test_a_missing_gymnasium_names_what_to_install() -> None:
    code = (
        "import sys; sys.modules['gymnasium'] = None\n"
        "from onnxprune.environment import Episode\n"
        "import onnxprune.environment.gym"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr
    assert 'pip install "onnxprune[gymnasium]"' in told


def test_the_environment_knows_no_data_runtime_or_operators_of_its_own() -> None:
    code = "import sys, onnxprune.environment; print('gymnasium' in sys.modules, 'torch' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.split() == ["False", "False"]

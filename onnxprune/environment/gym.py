"""The search as a Gymnasium environment, for other people's agents.

    task = Task.of(CostModel(groups), target=parse_target(["macs=50%"]), constraints=Constraints())
    env = PruningEnv(task, score)              # score(masks) -> accuracy of the model pruned with them
    observation, info = env.reset(seed=0)
    observation, reward, done, _, info = env.step(env.action_space.sample())

It needs the package gymnasium: pip install "onnxprune[gymnasium]".
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxprune.environment.episodes import Episode, EpisodeOptions
from onnxprune.environment.judging import Judge, RewardOptions
from onnxprune.environment.task import Task
from onnxprune.errors import DataError, RuntimeProblem, UsageError
from onnxprune.masks import Masks

try:
    import gymnasium
    from gymnasium import spaces
except ImportError as error:
    raise RuntimeProblem(
        "E603",
        "the environment for other agents needs gymnasium, which is not installed",
        cause=str(error),
        hint='pip install "onnxprune[gymnasium]"',
    ) from error

Bits = NDArray[np.bool_]
Floats = NDArray[np.float64]
Action = NDArray[np.int8]
Observation = dict[str, Any]
Info = dict[str, Any]
Score = Callable[[Masks], float]
MOST_FAILURES = 3  # in a row


@dataclass(frozen=True)
class Step:
    """What `Env.step` gives, before it is taken apart."""

    reward: float
    info: Info


class PruningEnv(gymnasium.Env[Observation, Action]):
    """Episodes over the channels of one model.

    The action is one bit a channel (C,), 1 keeps; bits of channels that are not on turn are not looked at.
    The observation is a Dict, all channels in the order of `ChannelOrder`:

        bits      (C,)     0 or 1, as they stand
        turn      (C,)     1 where the next step decides
        slack     (K,)     what each bound leaves, as a share of the original's cost; negative where broken
        features  (C, F)   as handed in; only then

    The reward comes at the end of the episode. `info` has the cost as it stands and, at the end, masks,
    accuracy, violation and, where scoring failed, error. An episode that cannot be scored ends with the
    reward -2, and the next goes on.

    `reset(seed=...)` begins a new life: rewards no longer know of what was before.

    Args:
        task: What is decided, and the bounds; `Task.of` refuses those that make no sense.
        score: Masks -> accuracy of the pruned model; called once an episode, at its end.
        features: (C, F) numbers about the channels, for the observation.
        preferences: (C,) which channels go last among those sampled alike, such as a criterion.
        options: One-shot, rounds or group-wise, and how the bounds are held.
        reward: How masks are judged.

    Raises:
        UsageError: E207, features or preferences that do not fit the channels.
    """

    def __init__(  # what other people's code calls, all but two by name
        self,
        task: Task,
        score: Score,
        *,
        features: Floats | None = None,
        preferences: Floats | None = None,
        options: EpisodeOptions | None = None,
        reward: RewardOptions | None = None,
    ) -> None:
        self.task = task
        self.options = options or EpisodeOptions()
        self.judge = Judge(self.options.constraint, reward)
        self._score = score
        self._reward_options = reward
        self._features = None if features is None else fitting(features, task, rank=2).astype(np.float32)
        self._preferences = None if preferences is None else fitting(preferences, task, rank=1)
        self._episode: Episode | None = None
        self._failures = 0
        self.action_space = spaces.MultiBinary(len(task.order))
        self.observation_space = self._space()

    def _space(self) -> spaces.Dict:
        count = len(self.task.order)
        parts: dict[str, spaces.Space[Any]] = {
            "bits": spaces.MultiBinary(count),
            "turn": spaces.MultiBinary(count),
        }
        if self.task.limits:
            most = 1 + max(abs(share) for share in self._slack().tolist())
            parts["slack"] = spaces.Box(-most, most, (len(self.task.limits),), np.float32)
        if self._features is not None:
            most = max(1.0, float(np.abs(self._features).max(initial=0)))
            parts["features"] = spaces.Box(-most, most, self._features.shape, np.float32)
        return spaces.Dict(parts)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Observation, Info]:
        """Begin an episode with all channels kept; with a seed, forget all that rewards were judged by."""
        super().reset(seed=seed, options=options)
        if seed is not None:
            self.judge = Judge(self.options.constraint, self._reward_options)
        self._episode = Episode(self.task, self.options)
        return self._observe(), {"cost": self.task.cost_model.count(self._episode.masks())}

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, Info]:
        """Decide the channels on turn.

        Raises:
            gymnasium.error.ResetNeeded: The episode is done or was not begun.
            UsageError: E207, the action does not fit the channels, or a bit on turn is neither 0 nor 1.
            DataError: E506, the third episode in a row could not be scored.
        """
        episode = self._episode
        if episode is None or episode.done:
            raise gymnasium.error.ResetNeeded("call reset() to begin an episode")
        episode.act(kept_by(action, episode), self._preferences)
        step = self._finish(episode) if episode.done else Step(0.0, {})
        info = {"cost": self.task.cost_model.count(episode.masks()), **step.info}
        return self._observe(), step.reward, episode.done, False, info

    def _finish(self, episode: Episode) -> Step:
        """Score the masks of a walk that is done."""
        masks = {name: bits.copy() for name, bits in episode.masks().items()}
        accuracy, why = attempt(self._score, masks)
        self._failures = 0 if accuracy is not None else self._failures + 1
        if self._failures >= MOST_FAILURES:
            self._failures = 0
            raise DataError(
                "E506",
                f"scoring failed in {MOST_FAILURES} episodes in a row",
                cause=why,
                hint="run score alone",
            )
        violation = self.task.violation(masks)
        reward = self.judge.reward(accuracy, violation)
        info = {"masks": masks, "accuracy": accuracy, "violation": violation}
        return Step(reward, {**info, "error": why} if accuracy is None else info)

    def _slack(self) -> NDArray[np.float32]:
        """(K,) (B - F) / F0 of each bound."""
        task = self.task
        cost = task.whole if self._episode is None else task.cost_model.count(self._episode.masks())
        shares = [
            (limit - getattr(cost, name)) / max(1, getattr(task.whole, name))
            for name, limit in task.limits.items()
        ]
        return np.array(shares, np.float32)

    def _observe(self) -> Observation:
        episode = self._episode
        if episode is None:
            raise gymnasium.error.ResetNeeded("call reset() to begin an episode")
        observation: Observation = {
            "bits": episode.bits.astype(np.int8),
            "turn": episode.turn.astype(np.int8),
        }
        if self.task.limits:
            observation["slack"] = self._slack()
        if self._features is not None:
            observation["features"] = self._features.copy()
        return observation


def kept_by(action: Action, episode: Episode) -> Bits:
    """(C,) True keeps; raises: UsageError: E207, one 0 or 1 is wanted for each channel on turn."""
    bits, turn = numbers_of(action, "the action"), episode.turn
    if bits.shape != turn.shape:
        raise UsageError("E207", f"the action has shape {bits.shape}, must be {turn.shape}")
    wrong = bits[turn & ~np.isin(bits, (0, 1))]
    if wrong.size:
        raise UsageError(
            "E207", f"the action has {wrong[0]:g} for a channel on turn, must be 0 or 1; 1 keeps"
        )
    return np.asarray(bits == 1, bool)


def numbers_of(values: Any, what: str) -> Floats:
    """The values as one array; raises: UsageError: E207, they are no numbers, or rows of several lengths."""
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError("E207", f"{what} must be an array of numbers", cause=str(error)) from error


def fitting(values: Floats, task: Task, *, rank: int) -> Floats:
    """The values, checked; raises: UsageError: E207, one row a channel is wanted, of finite numbers."""
    array = numbers_of(values, "features or preferences")
    if array.ndim != rank or len(array) != len(task.order):
        want = f"({len(task.order)}{',' if rank == 1 else ', F'})"
        raise UsageError("E207", f"features or preferences of shape {array.shape}, must be {want}")
    if not np.isfinite(array).all():
        raise UsageError("E207", "features or preferences are not all finite")
    return array


def attempt(score: Score, masks: Masks) -> tuple[float | None, str]:
    """The accuracy, or None and why there is none."""
    try:
        accuracy = float(score({name: bits.copy() for name, bits in masks.items()}))
    except Exception as error:  # noqa: BLE001  # the user's function may raise anything
        return None, f"{type(error).__name__}: {error}"
    if not math.isfinite(accuracy):
        return None, f"score gave {accuracy}"
    return accuracy, ""

"""The last episodes, to be learnt from again and again."""

from dataclasses import dataclass, field
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

Singles = NDArray[np.float32]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Past:
    """A finished episode of T steps.

    Attributes:
        states: (T, S) what was seen before each step; S is 0 where it follows from the actions.
        actions: (T,) in [0, 1].
        reward: Of its masks.
    """

    states: Singles
    actions: Singles
    reward: float


@dataclass(frozen=True)
class Drawn:
    """N transitions: states (N, S), actions (N,), rewards (N,) of their episodes, and what followed.

    `going` (N,) is 1, or 0 where the episode ended with the step; the next state is then of no account.
    """

    states: Singles
    actions: Singles
    rewards: Singles
    following: Singles
    going: Singles


@dataclass
class Memory:
    """Transitions of the last episodes; all episodes have as many steps.

    Attributes:
        steps: Of an episode.
        capacity: Transitions that are held; older ones are forgotten.
        episodes: Those of which any is held, oldest first.
    """

    steps: int
    capacity: int
    episodes: list[Past] = field(default_factory=list)

    def __len__(self) -> int:
        """Transitions."""
        return min(self.capacity, len(self.episodes) * self.steps)

    def add(self, episode: Past) -> None:
        """Hold one more, in place."""
        self.episodes.append(episode)
        del self.episodes[: -ceil(self.capacity / self.steps)]

    @property
    def rewards(self) -> Singles:
        """(episodes,) of all that are held."""
        return np.array([episode.reward for episode in self.episodes], np.float32)

    def draw(self, count: int, rng: np.random.Generator) -> Drawn:
        """At most so many different transitions, all equally likely."""
        forgotten = len(self.episodes) * self.steps - len(self)
        chosen = forgotten + rng.choice(len(self), min(count, len(self)), replace=False)
        return self.transitions(*np.divmod(chosen, self.steps))

    def draw_episodes(self, count: int, rng: np.random.Generator) -> list[Past]:
        """At most so many different episodes, all equally likely."""
        chosen = rng.choice(len(self.episodes), min(count, len(self.episodes)), replace=False)
        return [self.episodes[index] for index in chosen]

    def transitions(self, episode: Counts, step: Counts) -> Drawn:
        """Of these steps (N,) of these episodes (N,)."""
        pairs = list(zip((self.episodes[index] for index in episode), step.tolist(), strict=True))
        last = self.steps - 1
        return Drawn(
            np.stack([past.states[at] for past, at in pairs]),
            np.array([past.actions[at] for past, at in pairs], np.float32),
            np.array([past.reward for past, _ in pairs], np.float32),
            np.stack([past.states[min(at + 1, last)] for past, at in pairs]),
            (step < last).astype(np.float32),
        )

    def state(self) -> dict[str, Any]:
        return {
            "states": [past.states for past in self.episodes],
            "actions": [past.actions for past in self.episodes],
            "rewards": [past.reward for past in self.episodes],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from such a state, in place."""
        rows = zip(state["states"], state["actions"], state["rewards"], strict=True)
        self.episodes = [Past(states, actions, float(reward)) for states, actions, reward in rows]

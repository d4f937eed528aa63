"""How actions leave the policy: at random at first, then with noise that falls."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

LEAST = 1e-6  # deviation below which there is no noise


@dataclass(frozen=True)
class Course:
    """Exploration over the episodes of a search.

    Attributes:
        warm_up: Episodes at the start whose actions are drawn evenly.
        deviation: Of the noise in the first episode after them.
        decay: Its factor from one episode to the next.
    """

    warm_up: int
    deviation: float
    decay: float

    def at(self, episode: int) -> float | None:
        """Standard deviation of the noise in an episode, counted from 0; None where it is drawn evenly."""
        after = episode - self.warm_up
        return None if after < 0 else self.deviation * self.decay**after


def course(episodes: int, *, warm_up: float, deviation: float, decay: float, end: float) -> Course:
    """The course of a search of so many episodes.

    Args:
        episodes: Evaluations of the search.
        warm_up: Below 1 a share of them, from 1 on a number.
        deviation: At first.
        decay: Factor an episode; 0: such that the last episode has a share `end` of the first deviation.
        end: See there.
    """
    first = round(warm_up * episodes) if warm_up < 1 else int(warm_up)
    steps = max(1, episodes - first - 1)
    return Course(first, deviation, decay or end ** (1 / steps))


def truncated_normal(mean: float, deviation: float, rng: np.random.Generator) -> float:
    """A draw from the normal distribution cut to [0, 1], by its inverse."""
    uniform = rng.random()  # drawn in any case, so that what follows does not depend on the deviation
    if deviation < LEAST:
        return min(1.0, max(0.0, mean))
    low, high = ndtr((0.0 - mean) / deviation), ndtr((1.0 - mean) / deviation)
    drawn = mean + deviation * ndtri(low + uniform * (high - low))
    return float(min(1.0, max(0.0, drawn)))

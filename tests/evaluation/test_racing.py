"""Bounds hold as often as they say, and save rows where there is no hope."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxprune.evaluation.racing import Race, looks_of, reach_of
from onnxprune.evaluation.rewards import SPREAD

ROWS, TRIALS = 512, 1500


def raced(figures, incumbent, level: float, race: Race) -> int:
    """Rows after which a candidate is given up; all where it is not."""
    for look in looks_of(ROWS):
        if look < ROWS and reach_of(figures[:look], incumbent, ROWS, race).most < level:
            return look
    return ROWS


def pairs(rng, better: float):
    """Figures 0 and 1 of two candidates that find the same rows hard; the first is better by so much."""
    while True:
        hard = rng.random(ROWS)
        noise = rng.normal(0, 0.15, (2, ROWS))
        yield (hard + noise[0] < 0.75 + better).astype(float), (hard + noise[1] < 0.75).astype(float)


@pytest.mark.parametrize("bound", ["normal", "bernstein"])
@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("confidence", [0.9, 0.99])
def test_what_reaches_the_level_is_hardly_ever_given_up(bound, paired: bool, confidence: float) -> None:
    """The level is exactly what the candidate has on all rows: the hardest case that must not be lost."""
    rng = np.random.default_rng(0)
    race = Race(confidence, bound, SPREAD["top1"])
    lost = 0
    for _, (figures, incumbent) in zip(range(TRIALS), pairs(rng, 0.0), strict=False):
        lost += raced(figures, incumbent if paired else None, figures.mean(), race) < ROWS
    allowed = TRIALS * (1 - confidence)
    assert lost <= allowed + 3 * np.sqrt(allowed)


def test_the_best_arm_survives_and_hopeless_ones_save_rows() -> None:
    rng, race = np.random.default_rng(1), Race(0.99, "normal", 1.0)
    best, rows, alone = 0, [], []
    for _, (good, incumbent) in zip(range(300), pairs(rng, 0.03), strict=False):
        best += raced(good, incumbent, incumbent.mean(), race) < ROWS
        (bad, _) = next(pairs(rng, -0.25))
        bad = np.minimum(bad, np.maximum(incumbent, rng.random(ROWS) < 0.1))
        rows.append(raced(bad, incumbent, incumbent.mean(), race))
        alone.append(raced(bad, None, incumbent.mean(), race))
    assert best <= 1
    assert np.mean(rows) < 0.3 * ROWS
    assert np.mean(rows) <= np.mean(alone)


@given(st.integers(1, 5000))
def test_looks_grow_and_end_with_all_rows(rows: int) -> None:
    looks = looks_of(rows)
    assert looks == sorted(set(looks))
    assert looks[-1] == rows
    assert all(look >= 16 for look in looks[:-1])


def test_with_all_rows_nothing_is_in_doubt() -> None:
    figures = np.random.default_rng(0).random(100)
    reach = reach_of(figures, np.zeros(100), 100, Race())
    assert reach.most == reach.estimate == pytest.approx(figures.mean())


def test_a_few_rows_that_are_all_alike_leave_a_doubt() -> None:
    reach = reach_of(np.ones(16), np.ones(512), 512, Race(spread=1.0))
    assert reach.most > reach.estimate + 0.05

"""Interleaving, and claims only where the noise allows them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxprune.measurement.statistics import Band, control_band, percentiles, ratio, verdict
from onnxprune.measurement.timing import Protocol, cycle_order, time_interleaved

QUICK = Protocol(warmup_ms=0, warmup_runs=2, duration_s=0, min_runs=12)


def test_runs_are_interleaved_there_and_back() -> None:
    order: list[str] = []
    runs = [lambda name=name: order.append(name) for name in "AB"]
    time_interleaved(runs, QUICK)
    assert "".join(order) == "AABB" + "ABBABAAB" * 3


@given(st.integers(1, 5))
def test_every_place_of_a_cycle_is_taken_by_all_alike(count: int) -> None:
    orders = np.array([list(cycle_order(count, cycle)) for cycle in range(count)])  # (cycles, 2 * count)
    assert all(sorted(place) == list(range(count)) for place in orders.T)
    assert all(order[::-1].tolist() == order.tolist() for order in orders)


def test_every_run_is_timed_as_often() -> None:
    for timed in time_interleaved([lambda: None] * 3, QUICK):
        assert len(timed.wall_ms) == 12
        assert (timed.wall_ms >= 0).all()


def test_it_lasts_as_long_as_asked_and_tells_so() -> None:
    told: list[tuple[float, float]] = []
    protocol = Protocol(warmup_ms=0, warmup_runs=0, duration_s=0.05, min_runs=1)
    time_interleaved([lambda: None], protocol, progress=lambda *seconds: told.append(seconds))
    assert told[-1][0] >= 0.05
    assert told[-2][0] < 0.05


def test_the_warm_up_lasts_as_long_as_asked() -> None:
    calls: list[int] = []
    protocol = Protocol(warmup_ms=20, warmup_runs=5, duration_s=0, min_runs=2)
    time_interleaved([lambda: calls.append(1)], protocol)
    assert len(calls) > 7


def test_processor_time_does_not_count_sleep() -> None:
    import time

    protocol = Protocol(warmup_ms=0, warmup_runs=0, duration_s=0, min_runs=4)
    (timed,) = time_interleaved([lambda: time.sleep(0.02)], protocol)
    if timed.cpu_ms is None:
        pytest.skip("this system's processor clock is too coarse")
    assert np.median(timed.wall_ms) >= 20
    assert np.median(timed.cpu_ms) < 10


def test_percentiles_are_numpy_s() -> None:
    times = np.arange(1.0, 102.0)
    got = percentiles(times)
    assert (got.p10_ms, got.p50_ms, got.p90_ms, got.p99_ms) == (11, 51, 91, 100)
    assert got.cv == pytest.approx(times.std() / times.mean())


def test_the_ratio_is_of_medians() -> None:
    assert ratio(np.array([1.0, 2, 300]), np.array([4.0, 4, 4])) == 0.5


def noisy(level: float, spread: float, seed: int, runs: int = 200) -> np.ndarray:
    return level * (1 + spread * np.random.default_rng(seed).standard_normal(runs))


def test_a_steady_machine_has_a_narrow_band_and_an_unsteady_one_a_wide_one() -> None:
    steady = control_band(noisy(4, 0.01, 0), noisy(4, 0.01, 1))
    unsteady = control_band(noisy(4, 0.3, 0), noisy(4, 0.3, 1))
    assert 0.97 < steady.low <= 1 <= steady.high < 1.03
    assert unsteady.high - unsteady.low > 5 * (steady.high - steady.low)


def test_a_drift_in_one_part_of_the_time_widens_the_band() -> None:
    times = noisy(4, 0.01, 0)
    times[100:120] *= 1.5
    assert control_band(times, noisy(4, 0.01, 1)).high > 1.4


def test_few_runs_have_one_block() -> None:
    times = noisy(4, 0.1, 0, runs=6)
    band = control_band(times, times)
    assert (band.low, band.high) == (1, 1)


@pytest.mark.parametrize(
    ("figure", "band", "claim"),
    [
        (0.75, Band(0.99, 1.01), "faster"),
        (1.92, Band(0.99, 1.01), "slower"),
        (0.90, Band(0.85, 1.40), "no claim"),
        (1.0, Band(0.99, 1.01), "no claim"),
        (1.02, Band(1.03, 1.05), "no claim"),
        (0.98, Band(0.95, 0.97), "no claim"),
        (float("nan"), Band(0.99, 1.01), "no claim"),
    ],
)
def test_nothing_is_claimed_that_the_control_shows_too(figure: float, band: Band, claim: str) -> None:
    assert verdict(figure, band) == claim

"""The multiplier grows while a bound is broken, falls where it is not, and never goes below zero."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxprune.environment.lagrangian import OMNISAFE, LagrangianOptions, Multiplier, penalised
from onnxprune.environment.rewards import FEASIBLE
from onnxprune.errors import UsageError

violations = st.lists(st.floats(0, 10), min_size=1, max_size=16)
options = st.builds(LagrangianOptions, st.floats(0, 5), st.floats(1e-3, 1), st.floats(0, 0.1), st.booleans())


@given(st.lists(violations), st.floats(0, 5), st.floats(1e-3, 1))
def test_a_plain_step_is_that_of_the_formula(batches, initial, rate) -> None:
    multiplier = Multiplier(LagrangianOptions(initial, rate))
    for batch in batches:
        wanted = max(0.0, multiplier.value + rate * (float(np.mean(batch)) - FEASIBLE))
        assert multiplier.update(batch) == pytest.approx(wanted)


@given(options, violations)
def test_it_rises_over_the_limit_and_falls_below_it(chosen, batch) -> None:
    multiplier = Multiplier(chosen)
    before, excess = multiplier.value, float(np.mean(batch)) - chosen.limit
    after = multiplier.update(batch)
    assert after >= max(0.0, before) if excess >= 0 else after <= before


@given(options, st.lists(violations), st.lists(violations))
def test_it_stays_at_or_above_zero_and_is_restored_bit_for_bit(chosen, past, future) -> None:
    one, other = Multiplier(chosen), Multiplier(chosen)
    for batch in past:
        assert one.update(batch) >= 0
    other.restore(json.loads(json.dumps(one.state())))
    assert [one.update(batch) for batch in future] == [other.update(batch) for batch in future]
    assert one.state() == other.state()


def test_steps_by_adam_are_of_the_size_of_the_rate() -> None:
    for size in (0.05, 5.0):
        multiplier = Multiplier(OMNISAFE)
        for _ in range(10):
            multiplier.update([size])
        assert multiplier.value == pytest.approx(1e-3 + 10 * 3.5e-2, rel=1e-3)


def test_failed_episodes_do_not_move_it() -> None:
    multiplier = Multiplier()
    assert multiplier.update([math.inf, math.nan]) == 1.0
    assert multiplier.update([]) == 1.0
    assert multiplier.update([0.105, math.inf]) == pytest.approx(1.005)


def test_advantages_are_combined_and_keep_their_size() -> None:
    multiplier = Multiplier(LagrangianOptions(initial=3.0))
    combined = multiplier.combine(np.array([1.0, 0.0, -1.0]), np.array([0.0, 1.0, 1.0]))
    assert combined.tolist() == [0.25, -0.75, -1.0]
    assert Multiplier(LagrangianOptions(initial=0.0)).combine(np.ones(2), np.ones(2)).tolist() == [1.0, 1.0]


@given(st.floats(-1, 1.5), st.floats(0, 1e3), st.floats(0, 1e3))
def test_a_penalty_takes_more_for_more_and_nothing_for_nothing(quality, small, large) -> None:
    small, large = sorted((small, large))
    assert penalised(quality, large) <= penalised(quality, small) <= penalised(quality, 0) == quality
    assert penalised(quality, large) >= -2


@pytest.mark.parametrize("wrong", [{"initial": -1}, {"rate": 0}, {"limit": -1}, {"rate": math.inf}])
def test_options_out_of_range_are_refused(wrong: dict) -> None:
    with pytest.raises(UsageError, match="E201"):
        LagrangianOptions(**wrong)

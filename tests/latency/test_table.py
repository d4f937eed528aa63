"""What a table says: exactly what was measured at its points, bilinear between them, never falling."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxprune.errors import UsageError
from onnxprune.groups import Groups
from onnxprune.latency import LatencyTable, TimedCostModel, Times
from onnxprune.latency.model import Lookup
from onnxprune.latency.table import never_falling
from tests.latency.conftest import SETTING, leading

TABLE = LatencyTable(
    SETTING,
    original_ns=1000,
    segments=(
        Times("a", ({}, {"g00": 1}), ([0], [4, 8, 12]), np.array([[40, 100, 130]])),
        Times(
            "c",
            ({"g00": 1}, {"g02": 2}),
            ([4, 12], [8, 16, 32]),
            np.array([[50, 80, 120], [110, 200, 300]]),
        ),
        Times("e", ({"g02": 1}, {"g03": 1}), ([4, 16], [6, 12]), np.array([[20, 60], [60, 90]])),
    ),
)
FIXED = 1000 - 130 - 300 - 90
LOOKUP = Lookup(("g00", "g02", "g03"), TABLE.segments)


def between(x: int, points: list[int], values: list[int]) -> int:
    """Linear between two points, rounded down."""
    upper = next(index for index, point in enumerate(points) if x <= point and index)
    (x0, x1), (y0, y1) = points[upper - 1 : upper + 1], values[upper - 1 : upper + 1]
    return (y0 * (x1 - x) + y1 * (x - x0)) // (x1 - x0)


def by_hand(first: int, second: int, third: int) -> int:
    """The sum over the segments of `TABLE`, each along its outputs, then along its inputs."""
    alone = between(first, [4, 8, 12], [40, 100, 130])
    ends = [between(2 * second, [8, 16, 32], row) for row in ([50, 80, 120], [110, 200, 300])]
    middle = between(first, [4, 12], ends)
    ends = [between(third, [6, 12], row) for row in ([20, 60], [60, 90])]
    return FIXED + alone + middle + between(second, [4, 16], ends)


@pytest.mark.parametrize(
    ("counts", "latency"),
    [
        ((12, 16, 12), 1000),  # all is kept: what was measured
        ((4, 4, 6), FIXED + 40 + 50 + 20),  # the least of everything
        ((8, 16, 12), FIXED + 100 + 210 + 90),  # half way along the inputs of c: (120 + 300) / 2
        ((12, 6, 12), FIXED + 130 + 155 + 65),  # half way along the outputs of c: (110 + 200) / 2
        ((6, 6, 9), FIXED + 70 + 87 + 45),  # c: 65 + (155 - 65) / 4, e: 40 + (75 - 40) / 6, rounded down
    ],
)
def test_a_mask_takes_what_a_lookup_by_hand_gives(
    counts: tuple[int, int, int], latency: int, groups: Groups
) -> None:
    assert TimedCostModel(groups, TABLE).count(leading(groups, *counts)).latency_ns == latency


@given(st.integers(4, 12), st.integers(4, 16), st.integers(6, 12))
def test_every_mask_takes_what_interpolation_gives(first: int, second: int, third: int) -> None:
    assert LOOKUP.sum(np.array([[first, second, third]]))[0] + FIXED == by_hand(first, second, third)


@given(st.lists(st.integers(0, 400), min_size=12, max_size=12), st.data())
def test_the_sum_never_falls_where_a_count_grows(values: list[int], data: st.DataObject) -> None:
    times = np.rint(never_falling(np.array(values, np.float64).reshape(3, 4))).astype(np.int64)
    segment = Times("x", ({"g00": 3}, {"g02": 1}), ([3, 12, 36], [2, 5, 6, 16]), times)
    lookup = Lookup(("g00", "g02"), (segment,))
    low = np.array([[data.draw(st.integers(1, 12)), data.draw(st.integers(1, 16))]])
    high = low + np.array([[data.draw(st.integers(0, 4)), data.draw(st.integers(0, 4))]])
    assert lookup.sum(low)[0] <= lookup.sum(high)[0]
    assert lookup.sum(np.array([[12, 16]]))[0] == times[-1, -1]


def test_below_the_least_point_nothing_changes(groups: Groups) -> None:
    model = TimedCostModel(groups, TABLE)
    least, below = (model.count(leading(groups, *n)).latency_ns for n in [(4, 4, 6), (1, 1, 1)])
    assert least == below


@given(st.lists(st.integers(0, 10**6), min_size=6, max_size=6))
def test_times_made_never_falling_stay_where_they_did_not_fall(values: list[int]) -> None:
    made = never_falling(np.array(values, np.float64).reshape(2, 3))
    assert (np.diff(made, axis=0) >= 0).all()
    assert (np.diff(made, axis=1) >= 0).all()
    np.testing.assert_array_equal(never_falling(made), made)


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.2, 100.0])
def test_scaled_the_original_still_takes_what_it_took(factor: float, groups: Groups) -> None:
    table = TABLE.scaled(factor)
    assert TimedCostModel(groups, table).count({}).latency_ns == 1000
    assert table.fixed_ns >= 0


def test_scaled_the_part_that_masks_change_is_stretched(groups: Groups) -> None:
    counts = leading(groups, 4, 4, 6)
    saved = [1000 - TimedCostModel(groups, t).count(counts).latency_ns for t in (TABLE, TABLE.scaled(0.5))]
    assert saved == [410, 205]


def test_a_table_comes_back_from_its_file(groups: Groups) -> None:
    again = LatencyTable.from_json(json.loads(json.dumps(TABLE.to_json())))
    assert again.to_json() == TABLE.to_json()
    counts = leading(groups, 7, 9, 8)
    assert TimedCostModel(groups, again).count(counts) == TimedCostModel(groups, TABLE).count(counts)


@pytest.mark.parametrize(
    "damage",
    [
        {"format": 99},
        {"setting": None},
        {"segments": [{"name": "a"}]},
        {"segments": [{**TABLE.to_json()["segments"][1], "times_ns": [[1, 2]]}]},
        {"original_ns": "fast"},
    ],
)
def test_a_damaged_table_is_refused(damage: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="latency table cannot be read") as caught:
        LatencyTable.from_json({**TABLE.to_json(), **damage})
    assert caught.value.code == "E208"


def test_a_table_of_another_model_is_refused(groups: Groups) -> None:
    foreign = Times("z", ({}, {"g99": 1}), ([0], [4]), np.array([[1]]))
    with pytest.raises(UsageError, match="it has a group g99") as caught:
        TimedCostModel(groups, LatencyTable(SETTING, 1000, (foreign,)))
    assert caught.value.code == "E208"


def test_a_table_without_segments_has_only_what_is_fixed(groups: Groups) -> None:
    model = TimedCostModel(groups, LatencyTable(SETTING, 1000, ()))
    assert model.count(leading(groups, 4, 4, 6)).latency_ns == 1000


def test_a_table_of_a_model_with_other_channels_is_refused(groups: Groups) -> None:
    wider = Times("a", ({}, {"g00": 1}), ([0], [4, 12, 24]), np.array([[40, 100, 130]]))
    with pytest.raises(UsageError, match="other numbers of channels") as caught:
        TimedCostModel(groups, LatencyTable(SETTING, 1000, (wider,)))
    assert caught.value.code == "E208"

"""The kept counts that a group may have."""

import numpy as np
import pytest

from onnxprune.errors import UsageError
from onnxprune.groups import Group, Member
from onnxprune.target import Alignment, Constraints, parse_min_keep

EIGHT = Alignment(8, 8)


def group(channels: int, *widths: int) -> Group:
    members = tuple(
        Member(f"w{i}", 0, np.arange(channels * width).reshape(channels, width), "out")
        for i, width in enumerate(widths)
    )
    return Group("g00", channels, "conv", members)


def rungs(constraints: Constraints, of: Group) -> list[int]:
    return constraints.rungs(of).tolist()


def test_counts_are_multiples_of_the_step_and_the_whole() -> None:
    assert rungs(Constraints(EIGHT, min_keep=1), group(32, 1)) == [8, 16, 24, 32]
    assert rungs(Constraints(EIGHT, min_keep=1), group(20, 1)) == [8, 16, 20]


def test_without_alignment_every_count_is_allowed() -> None:
    assert rungs(Constraints(Alignment(1, 1), min_keep=1), group(5, 1)) == [1, 2, 3, 4, 5]


def test_a_group_as_wide_as_its_step_stays_whole() -> None:
    assert rungs(Constraints(EIGHT), group(8, 1)) == [8]


def test_it_is_the_physical_extent_that_is_aligned() -> None:
    assert rungs(Constraints(EIGHT, min_keep=1), group(8, 4)) == [2, 4, 6, 8]
    assert rungs(Constraints(EIGHT, min_keep=1), group(4, 16)) == [1, 2, 3, 4]
    assert rungs(Constraints(EIGHT, min_keep=1), group(24, 3)) == [8, 16, 24]


def test_every_producing_axis_is_aligned() -> None:
    assert rungs(Constraints(EIGHT, min_keep=1), group(16, 2, 3)) == [8, 16]
    assert rungs(Constraints(EIGHT, min_keep=1), group(16, 2, 4)) == [4, 8, 12, 16]


def test_at_least_a_share_is_kept() -> None:
    assert rungs(Constraints(EIGHT, min_keep=0.5), group(32, 1)) == [16, 24, 32]
    assert rungs(Constraints(EIGHT, min_keep=0.51), group(32, 1)) == [24, 32]
    assert rungs(Constraints(Alignment(1, 1), min_keep=0.07), group(100, 1))[0] == 7  # 0.07 * 100 > 7


def test_at_least_a_number_is_kept() -> None:
    assert rungs(Constraints(EIGHT, min_keep=9), group(32, 1)) == [16, 24, 32]
    assert rungs(Constraints(EIGHT, min_keep=100), group(32, 1)) == [32]
    assert rungs(Constraints(Alignment(1, 1), min_keep=0), group(3, 1)) == [1, 2, 3]


def test_a_group_can_have_its_own_step() -> None:
    assert rungs(Constraints(EIGHT, steps={"g00": 16}), group(32, 1)) == [16, 32]


def test_a_count_fits_where_its_extent_is_a_multiple() -> None:
    constraints = Constraints(EIGHT)
    assert constraints.fits(group(16, 4), 2)
    assert not constraints.fits(group(16, 4), 1)


def test_constraints_say_what_they_are() -> None:
    assert str(Constraints(Alignment(4, 16), min_keep=0.1)) == "align 4 to 16, min-keep 10%"
    assert str(Constraints(EIGHT, min_keep=3)) == "align 8, min-keep 3"


@pytest.mark.parametrize(("text", "value"), [("10%", 0.1), ("0.25", 0.25), ("4", 4), ("0", 0), ("1", 1)])
def test_min_keep_is_a_share_or_a_number(text: str, value: float) -> None:
    assert parse_min_keep(text) == value


@pytest.mark.parametrize("text", ["100%", "150%", "-1", "2.5", "some", "", "%", "nan", "inf"])
def test_nonsense_for_min_keep_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="must be a share below 100% or a number of channels") as caught:
        parse_min_keep(text)
    assert caught.value.code == "E202"

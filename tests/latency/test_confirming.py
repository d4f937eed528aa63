"""Masks are measured: those that miss the target are chosen again, and what is told is what was measured."""

from collections.abc import Callable

import numpy as np
import pytest

from onnxprune.errors import TargetError
from onnxprune.groups import Groups
from onnxprune.latency import TimedCostModel, choose_confirmed, confirm, judged
from onnxprune.masks import Masks
from onnxprune.measurement.statistics import Band
from onnxprune.target import Target, parse_target, project
from tests.latency.conftest import UNALIGNED, FakeWatch, by_macs, leading

TARGET = parse_target(["latency=70%"])


def choosing(target: Target = TARGET) -> Callable[[TimedCostModel], Masks]:
    """Even shares of all groups that meet the target by a cost model."""

    def choose(model: TimedCostModel) -> Masks:
        even = {g.name: -(np.arange(g.channels) + 0.5) / g.channels for g in model.groups.prunable}
        return project(even, model, target=target, constraints=UNALIGNED)

    return choose


def test_masks_that_meet_the_target_are_measured_once(groups: Groups, timed: TimedCostModel) -> None:
    watch = FakeWatch(groups, lambda _masks: 0.65)
    found = choose_confirmed(choosing(), timed, TARGET, watch)
    assert found.confirmed.met
    assert len(watch.wholes) == 1
    assert found.cost_model.count(found.masks).latency_ns <= 7_000_000


@pytest.mark.parametrize("promised", [1.2, 1.3, 1.4])
def test_masks_are_chosen_again_until_they_were_measured_to_meet_the_target(
    promised: float, groups: Groups, timed: TimedCostModel
) -> None:
    honest = by_macs(groups)
    watch = FakeWatch(groups, lambda masks: min(1.0, honest(masks) * promised))
    told: list[str] = []
    found = choose_confirmed(choosing(), timed, TARGET, watch, tell=told.append)
    assert 0.5 < watch.share(found.masks) <= 0.7
    assert found.confirmed.met
    assert told
    assert all("over latency=70%" in text for text in told)


def test_what_gives_more_than_is_asked_is_taken_back_in_part(groups: Groups, timed: TimedCostModel) -> None:
    honest = by_macs(groups)
    watch = FakeWatch(groups, lambda masks: 0.75 if honest(masks) > 0.55 else 0.8 * honest(masks))
    found = choose_confirmed(choosing(), timed, TARGET, watch)
    met = [share for share in map(watch.share, watch.wholes) if share <= 0.7]
    assert len(met) > 1
    assert watch.share(found.masks) == max(met)


def test_where_nothing_meets_the_target_the_nearest_is_given(groups: Groups, timed: TimedCostModel) -> None:
    honest = by_macs(groups)
    watch = FakeWatch(groups, lambda masks: 0.8 + 0.1 * honest(masks))
    found = choose_confirmed(choosing(), timed, TARGET, watch)
    assert not found.confirmed.met
    assert len(watch.wholes) > 1
    assert watch.share(found.masks) == min(map(watch.share, watch.wholes))


def test_a_target_that_no_masks_meet_is_refused_before_any_are_measured(
    groups: Groups, timed: TimedCostModel
) -> None:
    watch, target = FakeWatch(groups, lambda _masks: 0.5), parse_target(["latency=5%"])
    with pytest.raises(TargetError, match="latency=5% is impossible"):
        choose_confirmed(choosing(target), timed, target, watch)
    assert watch.wholes == []


@pytest.mark.parametrize(
    ("share", "band", "met", "noted"),
    [
        (0.70, Band(1.0, 1.0), True, False),
        (0.71, Band(1.0, 1.0), False, False),
        (0.71, Band(0.98, 1.02), True, True),
        (0.73, Band(0.98, 1.02), False, False),
        (0.69, Band(0.9, 0.95), True, False),
    ],
)
def test_a_bound_holds_as_far_as_the_noise_lets_one_tell(
    share: float, band: Band, met: bool, noted: bool, groups: Groups
) -> None:
    watch = FakeWatch(groups, lambda _masks: share, control=band)
    (found,) = confirm([leading(groups, 4, 4, 6)], TARGET, watch)
    assert found.met == met
    assert ("within the noise" in str(found)) == noted
    assert found.to_json()["met"] == met


def test_a_bound_in_milliseconds_is_held_against_what_was_measured(groups: Groups) -> None:
    watch = FakeWatch(groups, lambda _masks: 0.5)
    targets = [parse_target([text]) for text in ("latency=6ms", "latency=4ms")]
    found = [confirm([leading(groups, 4, 4, 6)], target, watch)[0] for target in targets]
    assert [one.met for one in found] == [True, False]
    assert found[1].excess == pytest.approx(1.25)


def test_of_several_bounds_the_tightest_counts(groups: Groups) -> None:
    watch = FakeWatch(groups, lambda _masks: 0.5)
    (found,) = confirm([leading(groups, 4, 4, 6)], parse_target(["latency=80%", "latency=4ms"]), watch)
    assert found.excess == pytest.approx(1.25)


def test_verdicts_tell_what_was_measured_and_what_was_counted(groups: Groups, timed: TimedCostModel) -> None:
    target, masks = parse_target(["macs=100%", "latency=60%"]), leading(groups, 4, 4, 6)
    watch = FakeWatch(groups, lambda _masks: 0.61, control=Band(0.97, 1.03))
    (found,) = confirm([masks], target, watch)
    counted, measured = judged(target, timed.count({}), timed.count(masks), found)
    assert counted["target"] == "macs=100%"
    assert counted["met"]
    assert measured["target"] == "latency=60%"
    assert (measured["limit"], measured["reached"], measured["share"]) == (6_000_000, 6_100_000, 0.61)
    assert measured["met"]
    assert measured["within_noise"]
    assert "CPUExecutionProvider" in measured["measured"]

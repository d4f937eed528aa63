"""From pieces to a table that is fitted to the whole model, and masks that meet bounds by it."""

from pathlib import Path

import numpy as np
import pytest

from onnxprune.cost import CostModel
from onnxprune.errors import TargetError
from onnxprune.groups import Groups, find_groups
from onnxprune.latency import Store, TimedCostModel, measure_table
from onnxprune.latency.stopwatch import NS
from onnxprune.onnx_file import load_graph
from onnxprune.target import (
    Alignment,
    Constraints,
    parse_target,
    project,
    reachable,
    require_reachable,
    settle,
)
from tests.exported import export_case
from tests.latency.conftest import ORIGINAL_MS, SETTING, UNALIGNED, FakeWatch, by_macs, leading

WHOLE_NS = round(ORIGINAL_MS * NS)


def test_where_all_is_kept_the_latency_is_that_of_the_original(timed: TimedCostModel) -> None:
    assert timed.count({}).latency_ns == WHOLE_NS
    assert timed.table.setting == SETTING


def test_at_its_least_the_latency_is_what_was_measured_there(timed: TimedCostModel, watch: FakeWatch) -> None:
    (least,) = watch.wholes
    assert timed.count(least).latency_ns == pytest.approx(watch.share(least) * WHOLE_NS, abs=10)
    assert reachable(timed, UNALIGNED) == timed.count(least)


def test_what_is_counted_stays_as_it_was(timed: TimedCostModel, groups: Groups) -> None:
    masks = leading(groups, 5, 9, 11)
    plain, own = CostModel(groups).count(masks), timed.count(masks)
    assert (plain.macs, plain.params, plain.bytes) == (own.macs, own.params, own.bytes)


def test_pieces_are_measured_once_however_often_they_come_up(exported_folder: Path, tmp_path: Path) -> None:
    groups = find_groups(load_graph(export_case("resnet20", "torchscript", exported_folder)))
    watch = FakeWatch(groups, by_macs(groups))
    table = measure_table(groups, Constraints(Alignment(4, 16)), watch, Store(tmp_path, SETTING))
    points = sum(times.times_ns.size for times in table.segments)
    assert len(set(watch.pieces)) == len(watch.pieces) < points


def test_a_piece_that_does_not_run_is_told_by_the_whole_model_alone(groups: Groups, store: Store) -> None:
    name = groups.findings.macs[1].node
    watch = FakeWatch(groups, by_macs(groups), fails=(name,))
    model = TimedCostModel(groups, measure_table(groups, UNALIGNED, watch, store))
    assert name not in {times.name for times in model.table.segments}
    assert model.count({}).latency_ns == WHOLE_NS
    (least,) = watch.wholes
    assert model.count(least).latency_ns == pytest.approx(watch.share(least) * WHOLE_NS, abs=10)


def test_a_model_that_pruning_makes_no_faster_has_no_reachable_target(groups: Groups, store: Store) -> None:
    table = measure_table(groups, UNALIGNED, FakeWatch(groups, lambda _masks: 1.02), store)
    model = TimedCostModel(groups, table)
    with pytest.raises(TargetError, match=r"the smallest reachable is 100\.0%"):
        require_reachable(model, target=parse_target(["latency=90%"]), constraints=UNALIGNED)


@pytest.mark.parametrize("texts", [["latency=60%"], ["latency=7ms"], ["latency=75%", "params=50%"]])
def test_a_bound_is_met_from_both_sides(texts: list[str], timed: TimedCostModel, groups: Groups) -> None:
    target, rng, whole = parse_target(texts), np.random.default_rng(0), timed.count({})
    scores = {group.name: rng.standard_normal(group.channels) for group in groups.prunable}
    masks = project(scores, timed, target=target, constraints=UNALIGNED)
    settled = settle(timed, target=target, constraints=UNALIGNED)
    assert target.met_by(timed.count(masks), original=whole)
    for group in groups.prunable:
        rungs = settled.rungs(group)
        above = rungs[rungs > masks[group.name].sum()]
        if len(above):
            more = {**masks, group.name: np.arange(group.channels) < above[0]}
            assert not target.met_by(timed.count(more), original=whole)


def test_an_impossible_bound_states_the_least_latency(timed: TimedCostModel) -> None:
    least = vars(reachable(timed, UNALIGNED))["latency_ns"]
    with pytest.raises(TargetError) as caught:
        require_reachable(timed, target=parse_target(["latency=1%"]), constraints=UNALIGNED)
    assert caught.value.code == "E701"
    assert "latency=1% is impossible" in caught.value.message
    assert f"({least / NS:.6g} ms of 10 ms)" in caught.value.message


def test_progress_is_told_to_the_end(groups: Groups, watch: FakeWatch, store: Store) -> None:
    told: list[tuple[int, int]] = []
    measure_table(groups, UNALIGNED, watch, store, progress=lambda done, of: told.append((done, of)))
    assert told[-1][0] == told[-1][1] > 0
    assert told == sorted(told)

"""Times on disk: shared by all models of one setting, never a reason to fail."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from onnxprune.groups import Groups
from onnxprune.latency import Store, TimedCostModel, default_folder, measure_table
from onnxprune.latency.store import ENVIRONMENT
from tests.latency.conftest import SETTING, UNALIGNED, FakeWatch, by_macs


def test_what_was_measured_before_is_read(groups: Groups, store: Store, timed: TimedCostModel) -> None:
    again = FakeWatch(groups, by_macs(groups))
    table = measure_table(groups, UNALIGNED, again, Store(store.path.parent, SETTING))
    assert again.pieces == []
    assert table.to_json() == timed.table.to_json()


@pytest.mark.parametrize("other", [replace(SETTING, threads=2), replace(SETTING, processor="another")])
def test_times_of_another_setting_are_others(other: object, store: Store, timed: TimedCostModel) -> None:
    assert Store(store.path.parent, SETTING).times
    assert Store(store.path.parent, other).times == {}  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": 1}', '{"format": 1, "setting": 3}', "\0"])
def test_a_damaged_file_is_as_none_and_is_written_anew(text: str, groups: Groups, store: Store) -> None:
    store.path.parent.mkdir(parents=True)
    store.path.write_text(text)
    watch = FakeWatch(groups, by_macs(groups))
    measure_table(groups, UNALIGNED, watch, Store(store.path.parent, SETTING))
    assert watch.pieces
    assert set(json.loads(store.path.read_text())["times_ns"]) == set(watch.pieces)


def test_two_that_measure_at_once_keep_what_both_found(tmp_path: Path) -> None:
    one, other = Store(tmp_path, SETTING), Store(tmp_path, SETTING)
    one.put("a", 1.0)
    other.put("b", 2.0)
    one.save()
    other.save()
    assert Store(tmp_path, SETTING).times == {"a": 1.0, "b": 2.0}


def test_what_was_measured_before_a_stop_is_kept(groups: Groups, store: Store) -> None:
    class Stopped(FakeWatch):
        def piece_ns(self, piece: object) -> float:
            if len(self.pieces) == 5:
                raise KeyboardInterrupt
            return super().piece_ns(piece)  # type: ignore[arg-type]

    watch = Stopped(groups, by_macs(groups))
    with pytest.raises(KeyboardInterrupt):
        measure_table(groups, UNALIGNED, watch, store)
    assert set(Store(store.path.parent, SETTING).times) == set(watch.pieces)
    assert len(watch.pieces) == 5


def test_the_cache_lies_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    assert default_folder() == tmp_path / "user" / "onnxprune"
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "own"))
    assert default_folder() == tmp_path / "own"

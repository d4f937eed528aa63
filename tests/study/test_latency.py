"""A study under a bound on the latency: measured once, the same for all who search."""

import json
import shutil
from pathlib import Path

import pytest

from onnxprune.study import resume, start, study
from onnxprune.study.cells import TABLES
from tests.latency.conftest import stand_in
from tests.study.conftest import options


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stand_in(monkeypatch, tmp_path / "cache")


def test_all_searches_count_by_the_table_of_the_study(made: Path, tmp_path: Path) -> None:
    run = start(options(made, targets=("latency=70%", "macs=60%")), tmp_path / "run", [])
    (table,) = (run.path / TABLES).iterdir()
    shutil.rmtree(tmp_path / "cache")
    study(run)
    tables = list((run.path / "searches").glob("*/latency_table.json"))
    assert len(tables) == 4  # two agents, two seeds
    assert {one.read_text() for one in tables} == {table.read_text()}
    assert not (tmp_path / "cache").exists()  # nothing was measured again
    found = json.loads((run.path / "study.json").read_text())["records"]
    assert all(one["state"] == "done" and one["repaired"] is not None for one in found)


def test_a_table_that_is_gone_is_told_and_nothing_is_measured_instead(made: Path, tmp_path: Path) -> None:
    run = start(options(made, targets=("latency=70%",)), tmp_path / "run", [])
    (table,) = (run.path / TABLES).iterdir()
    table.unlink()
    study(run)
    boxes = json.loads((run.path / "run.json").read_text())["boxes"]
    assert {box["state"] for box in boxes.values()} == {"failed"}
    assert all("error[E208]" in box["why"] for box in boxes.values())


def test_where_times_are_kept_may_change_when_a_study_goes_on(made: Path, tmp_path: Path) -> None:
    run = start(options(made, targets=("latency=70%",)), tmp_path / "run", [])
    again = resume(run.path, {"measure.latency_cache": str(tmp_path / "other")})
    study(again)
    found = json.loads((run.path / "study.json").read_text())["records"]
    assert all(one["state"] == "done" for one in found)

"""A study under a bound on the latency: measured once, the same for all who search."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from onnxprune.study import resume, start, study, studying
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


def test_figures_of_a_model_that_was_measured_to_take_longer_are_kept(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start(options(made, targets=("latency=70%",), seeds=1), tmp_path / "run", [])
    real = studying.chosen_agents

    def slower(*words: Any) -> Any:
        stand_in(monkeypatch, tmp_path / "cache", lambda _groups: lambda _masks: 0.8)
        return real(*words)

    monkeypatch.setattr(studying, "chosen_agents", slower)
    study(run)
    states = {name: box["state"] for name, box in run.record["boxes"].items()}
    assert {state for name, state in states.items() if name.startswith("models/")} == {"missed"}
    assert all(box["exit_code"] in (0, 7) for box in run.record["boxes"].values())
    found = json.loads((run.path / "study.json").read_text())["records"]
    assert all(one["repaired"] is not None for one in found)

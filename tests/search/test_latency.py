"""A search under a bound on the latency: agents see it, finalists are measured, it goes on the same."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from onnxprune.agents.table import AGENTS
from onnxprune.agents.types import Outcome, Problem
from onnxprune.cost import TimedCost
from onnxprune.errors import TargetError, UsageError
from onnxprune.groups import Groups, find_groups
from onnxprune.latency import Store, TimedCostModel, measure_table
from onnxprune.latency.run_file import TABLE
from onnxprune.masks import Masks, load_masks
from onnxprune.onnx_file import load_graph
from onnxprune.runs.folder import RunFolder
from onnxprune.search import Listener, resume, search, start, summary_of
from onnxprune.search.history import Episode
from onnxprune.search.options import SearchOptions
from onnxprune.target import parse_target, settle
from tests.latency.conftest import SETTING, UNALIGNED, FakeWatch, by_macs, stand_in
from tests.search.conftest import lines, options, problem_of

Share = Callable[[Masks], float]


@pytest.fixture
def asked(model: Path, samples: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SearchOptions:
    stand_in(monkeypatch, tmp_path / "cache")
    return options(model, samples, target=("latency=60%",))


def run_of(asked: SearchOptions, folder: Path, listener: Listener | None = None) -> RunFolder:
    run = start(asked, folder, [])
    search(run, listener)
    return run


def test_the_result_was_measured_to_meet_the_target(asked: SearchOptions, tmp_path: Path) -> None:
    run = run_of(asked, tmp_path / "run")
    found = summary_of(run)
    (verdict,) = found["targets"]
    assert verdict["met"]
    assert 0.3 < verdict["share"] <= 0.6
    assert "CPUExecutionProvider" in verdict["measured"]
    assert found["best"]["latency"]["ratio"] == verdict["share"]
    assert all(0 < finalist["latency"]["ratio"] < 0.7 for finalist in found["finalists"])
    groups = find_groups(load_graph(Path(asked.model)))
    assert by_macs(groups)(load_masks(run.path / "masks.json", groups)) == verdict["share"]


def test_every_candidate_meets_the_target_by_the_table(asked: SearchOptions, tmp_path: Path) -> None:
    run = run_of(asked, tmp_path / "run")
    episodes = lines(run.path)
    assert all(0 < episode["cost"]["latency_ns"] <= 6_000_000 for episode in episodes)
    assert {episode["violation"] for episode in episodes} == {0.0}


def test_the_progress_tells_the_latency_of_the_best(asked: SearchOptions, tmp_path: Path) -> None:
    shares: list[dict[str, float]] = []
    run_of(asked, tmp_path / "run", Listener(step=lambda p: shares.append(dict(p.shares))))
    assert 0 < shares[-1]["latency_ns"] <= 0.6


def test_a_search_that_was_stopped_goes_on_by_its_own_table(asked: SearchOptions, tmp_path: Path) -> None:
    whole = run_of(asked, tmp_path / "whole")
    seen: list[int] = []
    run = start(asked, tmp_path / "run", [])
    with pytest.raises(KeyboardInterrupt):
        search(run, Listener(step=lambda p: seen.append(p.done), stop=lambda: len(seen) > 6))
    shutil.rmtree(tmp_path / "cache")  # what is there is of no use any more
    search(resume(run.path, {}))
    assert lines(run.path) == lines(whole.path)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("damage", ["gone", "{}", "[]"])
def test_a_run_without_its_table_is_refused(damage: str, asked: SearchOptions, tmp_path: Path) -> None:
    run = start(asked, tmp_path / "run", [])
    if damage == "gone":
        (run.path / TABLE).unlink()
    else:
        (run.path / TABLE).write_text(damage)
    with pytest.raises(UsageError) as caught:
        search(resume(run.path, {}))
    assert caught.value.code == "E208"


def test_an_impossible_latency_is_refused_before_there_is_a_folder(
    asked: SearchOptions, model: Path, samples: Path, tmp_path: Path
) -> None:
    with pytest.raises(TargetError, match="latency=1% is impossible") as caught:
        start(options(model, samples, target=("latency=1%",)), tmp_path / "run", [])
    assert caught.value.code == "E701"
    assert not (tmp_path / "run").exists()


def uneven(groups: Groups) -> Share:
    """Even shares of all groups take what they promise, others a fifth more."""
    honest, names = by_macs(groups), [group.name for group in groups.prunable]

    def share(masks: Masks) -> float:
        kept = [masks[name].mean() for name in names if name in masks]
        return honest(masks) * (1.2 if np.ptp(kept) > 0.1 else 1.0)

    return share


def test_a_finalist_that_takes_too_long_is_cut_further(
    asked: SearchOptions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand_in(monkeypatch, tmp_path / "cache", uneven)
    found = summary_of(run_of(asked, tmp_path / "run"))
    (verdict,) = found["targets"]
    assert verdict["met"]
    notes = [finalist["note"] for finalist in found["finalists"]]
    assert any("cut further" in note for note in notes)
    missed = [f for f in found["finalists"] if not f["latency"]["met"]]
    assert missed
    assert found["best"] not in missed


def test_a_search_whose_finalists_all_take_too_long_is_told_and_written(
    asked: SearchOptions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def share_of(_groups: Groups) -> Share:
        return lambda masks: 0.8 if sum(int(bits.sum()) for bits in masks.values()) > 6 else 0.2

    stand_in(monkeypatch, tmp_path / "cache", share_of)
    run = start(asked, tmp_path / "run", [])
    with pytest.raises(TargetError, match="no candidate met latency=60%") as caught:
        search(run)
    assert caught.value.code == "E702"
    (verdict,) = summary_of(run)["targets"]
    assert not verdict["met"]
    assert verdict["share"] == 0.8
    assert (run.path / "masks.json").exists()


@pytest.fixture
def timed(model: Path, tmp_path: Path) -> Problem:
    """A problem whose cost model knows the latency."""
    problem = problem_of(model)
    watch = FakeWatch(problem.groups, by_macs(problem.groups))
    table = measure_table(problem.groups, UNALIGNED, watch, Store(tmp_path, SETTING))
    cost_model, target = TimedCostModel(problem.groups, table), parse_target(["latency=60%", "params=70%"])
    settled = settle(cost_model, target=target, constraints=UNALIGNED)
    return Problem(cost_model, target, settled, problem.scores, "group-l2", 24)


@pytest.mark.parametrize("name", [name for name in AGENTS if name not in ("one-shot", "gat-ppo")])
def test_every_agent_proposes_masks_within_a_bound_on_the_latency(name: str, timed: Problem) -> None:
    agent = AGENTS[name].make(timed, None)
    for _ in range(3):
        candidates = agent.ask(4)
        costs = [timed.cost_model.count(candidate.masks) for candidate in candidates]
        assert all(isinstance(cost, TimedCost) for cost in costs)
        if name != "greedy":  # it looks at each group alone first
            assert all(timed.target.met_by(cost, original=timed.whole) for cost in costs)
        agent.tell(candidates, [Outcome(0.5, 0.0, cost, 24) for cost in costs])


def test_the_record_of_an_evaluation_comes_back_with_its_latency(
    asked: SearchOptions, tmp_path: Path
) -> None:
    run = run_of(asked, tmp_path / "run")
    for line in (run.path / "search" / "episodes.jsonl").read_text().splitlines():
        assert Episode.from_json(json.loads(line)).to_json() == json.loads(line)

"""A whole study in a folder: what it compares, what it leaves, how it goes on after it was killed."""

import csv
import json
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxprune.errors import DataError, OnnxPruneError, UsageError
from onnxprune.evaluation import files
from onnxprune.groups import find_groups
from onnxprune.masks import load_masks, masks_hash
from onnxprune.onnx_file import load_graph
from onnxprune.search import SearchOptions, kept_scores, search
from onnxprune.search import start as start_search
from onnxprune.search.options import ChannelSettings, EvaluateSettings
from onnxprune.study import Listener, RunFolder, resume, start, study, studying, summary_of, working
from onnxprune.study.cells import CONTROL, SUMS, cells_of
from onnxprune.study.records import Judged, judged_by, record_of
from onnxprune.study.studying import options_of
from tests.study.conftest import AGENTS, killed, options

DEATHS = {
    "within a search": (
        "import onnxprune.search.journal as m\n"
        "real, calls = m.Journal.pend, []\n"
        "def pend(*a):\n"
        "    real(*a)\n"
        "    calls.append(1)\n"
        "    if len(calls) == 8: die()\n"
        "m.Journal.pend = pend"
    ),
    "when a search has ended and is not recorded": (
        "import onnxprune.study.jobs as m\n"
        "calls = []\n"
        "def tell(*a):\n"
        "    calls.append(1)\n"
        "    if len(calls) == 3: die()\n"
        "m.tell = tell"
    ),
    "before anything is trained": "import onnxprune.study.studying as m; m.chosen_agents = die",
    "within a training": "import onnxprune.compression.training as m; m.write_changed = die",
    "before the results": "import onnxprune.study.studying as m; m.write_results = die",
}

QUICK = ("within a search",)


def records(run: RunFolder) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads((run.path / "study.json").read_text())["records"]
    return found


def test_every_agent_searches_from_every_seed_with_equally_many_evaluations(whole: RunFolder) -> None:
    found = {(one["agent"], one["seed"]): one for one in records(whole)}
    assert set(found) == {(agent, seed) for agent in (*AGENTS, CONTROL) for seed in (0, 1)}
    assert all(one["state"] == "done" for one in found.values())
    assert all(found[agent, seed]["evaluations"] == 6 for agent in AGENTS for seed in (0, 1))
    assert all(one["macs"] <= 0.6 for one in found.values())  # type: ignore[operator]


def test_a_search_of_a_study_is_that_of_the_command(made: Path, whole: RunFolder, tmp_path: Path) -> None:
    asked = SearchOptions(
        str(made / "model.onnx"),
        str(made / "samples.npz"),
        ("macs=60%",),
        agent="annealing",
        evaluations=6,
        batch=3,
        seed=1,
        channels=ChannelSettings(align="1"),
        evaluate=EvaluateSettings(calibration_rows=32),
    )
    search(start_search(asked, tmp_path / "alone", []))
    groups = find_groups(load_graph(made / "model.onnx"))
    (folder,) = (whole.path / "searches").glob("*annealing_s1")
    own, alone = (load_masks(path / "masks.json", groups) for path in (folder, tmp_path / "alone"))
    assert masks_hash(own) == masks_hash(alone)


def test_searches_from_one_seed_share_sums_and_scores(
    material: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is computed once for both agents of a seed, and nothing of it stays."""
    computed, there = {"sums": 0, "scores": 0}, []

    def counting(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **others: Any) -> Any:
            computed[name] += 1
            return real(*args, **others)

        return counted

    monkeypatch.setattr(files, "gather_from", counting("sums", files.gather_from))
    monkeypatch.setattr(kept_scores, "score", counting("scores", kept_scores.score))
    run = start(options(material), material / "run", [])
    study(run, Listener(step=lambda *_: there.append(len(list((run.path / SUMS).glob("*"))))))
    assert computed == {"sums": 2, "scores": 2}
    assert max(there) == 1
    assert not (run.path / SUMS).exists()


def test_the_best_by_the_selection_split_and_the_control_are_trained_by_one_schedule(
    whole: RunFolder,
) -> None:
    found = records(whole)
    means = {
        agent: sum(float(str(one["selection"])) for one in found if one["agent"] == agent) for agent in AGENTS
    }
    best = max(means, key=means.__getitem__)
    trained = {str(one["agent"]) for one in found if one["trained"] is not None}
    assert trained == {best, CONTROL}
    schedules = set()
    for one in (whole.path / "models").iterdir():
        record = json.loads((one / "run.json").read_text())
        if record["options"]["distill.enabled"]:
            own = {key: value for key, value in record["options"].items() if key.startswith("distill.")}
            schedules.add(json.dumps(own, sort_keys=True))
    assert len(schedules) == 1


def test_figures_on_the_test_part_are_those_of_the_models(whole: RunFolder) -> None:
    for one in records(whole):
        (folder,) = (whole.path / "models").glob(f"*_{one['agent']}_s{one['seed']}")
        measured = json.loads((folder / "measurement.json").read_text())["models"]
        assert one["original"] == measured["original"]["test"]["top1"]
        assert one["repaired"] == measured["reconstructed"]["test"]["top1"]
        assert ("student" in measured) == (one["trained"] is not None)


def test_models_may_be_tested_by_another_metric_than_searches(material: Path) -> None:
    asked = {"agents": ("random",), "seeds": 1, "evaluate.metric": "cosine", "measure.metric": "top1"}
    run = start(options(material, **asked), material / "run", [])
    study(run)
    ((one,), (folder,)) = records(run), (run.path / "models").iterdir()
    measured = json.loads((folder / "measurement.json").read_text())["models"]
    assert one["repaired"] == measured["reconstructed"]["test"]["top1"]
    found = json.loads((run.path / "study.json").read_text())
    assert (found["metric"], found["test_metric"]) == ("cosine", "top1")
    report = (run.path / "report.md").read_text()
    assert "cosine (selection) and top1 (test)" in report
    assert f"| {100 * float(str(one['repaired'])):.2f} % |" in report


def test_figures_are_called_what_they_were_measured_by(material: Path) -> None:
    """Not what was asked for: a version before this one did not look at it."""
    run = start(options(material, agents=("random",), seeds=1), material / "run", [])
    study(run)
    (measured,) = (run.path / "models").glob("*/measurement.json")
    document = json.loads(measured.read_text())
    assert document["metric"] == "top1"
    measured.write_text(json.dumps({**document, "metric": "agreement"}))
    cells = cells_of(options_of(run))
    assert judged_by(run, cells) == Judged("top1", 1, "agreement")
    assert record_of(run, cells[0]).repaired == document["models"]["reconstructed"]["test"]["agreement"]


def test_labels_are_needed_where_a_metric_compares_with_them_alone(material: Path) -> None:
    """Searches by top1; the test part, judged by cosine, has no labels."""
    arrays = dict(np.load(material / "samples.npz"))
    without = {name: array[:40] + 1 for name, array in arrays.items() if name != "labels"}
    np.savez(material / "test.npz", **without)
    asked = {"test": str(material / "test.npz"), "evaluate.metric": "top1"}
    start(options(material, **asked, **{"measure.metric": "cosine"}), material / "run", [])
    with pytest.raises(DataError, match=r"top1 needs labels: .* gives the test part"):
        start(options(material, **asked), material / "other", [])


@pytest.mark.parametrize("asked", [{"evaluate.metric": "top1"}, {"measure.metric": "top1"}])
def test_without_labels_neither_metric_may_compare_with_them(asked: dict[str, str], material: Path) -> None:
    arrays = dict(np.load(material / "samples.npz"))
    np.savez(material / "samples.npz", **{k: v for k, v in arrays.items() if k != "labels"})
    other = {"evaluate.metric": "cosine", "measure.metric": "cosine"}
    with pytest.raises(DataError, match="top1 needs labels"):
        start(options(material, **{**other, **asked}), material / "run", [])


def test_a_metric_of_the_test_that_is_not_known_is_refused(material: Path) -> None:
    with pytest.raises(UsageError, match="unknown metric 'accuracy'"):
        start(options(material, **{"measure.metric": "accuracy"}), material / "run", [])
    assert not (material / "run").exists()


def test_the_test_part_is_read_after_all_searches(whole: RunFolder) -> None:
    names = list(whole.record["boxes"])
    kinds = [name.partition("/")[0] for name in names]
    assert kinds == sorted(kinds, reverse=True)  # searches, then models
    for search_folder in (whole.path / "searches").iterdir():
        splits = json.loads((search_folder / "search.json").read_text())["splits"]
        assert set(splits) == {"data", "calibration", "reward", "selection"}


def test_a_table_a_picture_and_a_line_for_each_search_are_left(whole: RunFolder) -> None:
    report = (whole.path / "report.md").read_text()
    for word in (*AGENTS, CONTROL, "macs=60%", "model.svg", "±"):
        assert word in report
    with (whole.path / "records.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["agent"] for row in rows] == [one["agent"] for one in records(whole)]
    assert float(rows[0]["selection"]) == records(whole)[0]["selection"]
    picture = ET.parse(whole.path / "model.svg").getroot()
    assert picture.tag.endswith("svg")
    words = {element.text for element in picture.iter() if element.text}
    assert {*AGENTS, "macs=60%"} <= words


@pytest.mark.parametrize(
    "death", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in DEATHS]
)
def test_a_study_that_was_killed_goes_on_to_the_same_records(
    death: str, made: Path, whole: RunFolder, tmp_path: Path
) -> None:
    asked = options(made, **{"distill.enabled": True})
    run = start(asked, tmp_path / "run", ["words"])
    killed(run.path, DEATHS[death])
    again = resume(run.path, {})
    study(again)
    assert records(again) == records(whole)
    for name in ("records.csv", "report.md", "model.svg"):
        assert (again.path / name).read_bytes() == (whole.path / name).read_bytes()


def test_what_is_done_is_not_done_again(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = start(options(made), tmp_path / "run", [])
    study(run)
    monkeypatch.setattr("onnxprune.study.jobs.work", None)  # it would fail
    before = records(run)
    study(resume(run.path, {}))
    assert records(run) == before


def test_several_processes_give_the_same_records(made: Path, tmp_path: Path) -> None:
    runs = [start(options(made), tmp_path / name, []) for name in ("alone", "together")]
    for run, workers in zip(runs, (1, 2), strict=True):
        study(run, workers=workers)
    assert records(runs[0]) == records(runs[1])


def test_without_a_section_nothing_is_trained_and_there_is_no_control(made: Path, tmp_path: Path) -> None:
    run = start(options(made), tmp_path / "run", [])
    study(run)
    assert {one["agent"] for one in records(run)} == set(AGENTS)
    assert all(one["trained"] is None for one in records(run))
    assert all(one["repaired"] is not None for one in records(run))


def test_a_search_that_fails_is_told_and_the_others_go_on(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = working.search_cell

    def search_cell(job: working.Job, ear: working.Ear) -> None:
        if "random_s1" in job.name:
            raise DataError("E506", "the metric is gone")
        real(job, ear)

    monkeypatch.setattr(working, "search_cell", search_cell)
    run, told = start(options(made), tmp_path / "run", []), list[str]()
    study(run, Listener(warn=told.append))
    assert [one["state"] for one in records(run)].count("done") == 3
    assert any("random seed 1: failed: error[E506]" in text for text in told)
    assert [box["exit_code"] for box in summary_of(run)["failed"].values()] == [5]
    monkeypatch.undo()
    again = resume(run.path, {})
    study(again)  # it is tried again
    assert all(one["state"] == "done" for one in records(again))
    assert summary_of(again)["failed"] == {}


def test_a_search_whose_curve_is_gone_is_told_and_not_an_internal_error(made: Path, tmp_path: Path) -> None:
    run, told = start(options(made), tmp_path / "run", []), list[str]()
    study(run)
    (folder,) = (run.path / "searches").glob("*random_s1")
    (folder / "search" / "curve.csv").unlink()
    again = resume(run.path, {})
    study(again, Listener(warn=told.append))
    assert any("random seed 1: failed: error[E208]" in text and "is damaged" in text for text in told)
    shutil.rmtree(folder)
    study(resume(run.path, {}))
    assert all(one["state"] == "done" for one in records(run))


def test_a_study_is_not_replaced_by_one_that_begins_with_its_policy(material: Path) -> None:
    run = start(options(material, agents=("random",), seeds=1), material / "run", [])
    study(run)
    policy = run.path / "searches" / "policy.pt"
    policy.write_bytes(b"learnt")
    asked = options(material, agents=(f"agmc:init_policy={policy}",), seeds=1)
    with pytest.raises(UsageError, match=r"is a file of the run in .*--force removes") as caught:
        start(asked, run.path, [], force=True)
    assert caught.value.code == "E203"
    assert (run.path / "study.json").exists()
    assert policy.read_bytes() == b"learnt"


def test_what_is_replaced_comes_back_where_nothing_could_be_done(
    material: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study(start(options(material, agents=("random",), seeds=1), material / "run", ["first"]))
    before = (material / "run" / "study.json").read_bytes()
    again = start(options(material, agents=("random",), seeds=2), material / "run", ["other"], force=True)
    monkeypatch.setattr(studying, "do_all", None)
    with pytest.raises(TypeError):
        study(again)
    assert (material / "run" / "study.json").read_bytes() == before
    assert resume(material / "run", {}).record["argv"] == ["first"]
    monkeypatch.undo()
    study(start(options(material, agents=("random",), seeds=2), material / "run", ["other"], force=True))
    assert not (material / "run" / ".replaced").exists()
    assert len(records(resume(material / "run", {}))) == 2


def test_a_stop_is_saved_and_gone_on_from(made: Path, whole: RunFolder, tmp_path: Path) -> None:
    run = start(options(made, **{"distill.enabled": True}), tmp_path / "run", ["words"])
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 8

    with pytest.raises(KeyboardInterrupt):
        study(run, Listener(stop=stop))
    assert json.loads((run.path / "run.json").read_text())["status"] == "interrupted"
    again = resume(run.path, {})
    study(again)
    assert records(again) == records(whole)


def test_a_study_of_other_values_or_samples_is_refused(material: Path) -> None:
    run = start(options(material), material / "run", [])
    with pytest.raises(UsageError, match="run was made for evaluations 6, got 7"):
        resume(run.path, {"evaluations": 7})
    with (material / "samples.npz").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(UsageError, match="run was made for data"):
        study(resume(run.path, {}))


@pytest.mark.parametrize(
    ("others", "code", "message"),
    [
        ({"agents": ("random", "rnadom")}, "E201", "rnadom: unknown --agent 'rnadom'"),
        ({"agents": ("annealing:heat=3",)}, "E201", "annealing:heat=3"),
        ({"agents": ("random", "random")}, "E201", "agents has random twice"),
        ({"targets": ("macs=60%", "macs=1%")}, "E701", "model, macs=1%, random"),
        ({"targets": ("macs=150%",)}, "E202", "macs=150%"),
        ({"targets": ("macs=60%", " ")}, "E202", "targets has an empty text"),
        ({"seeds": 0}, "E201", "seeds = 0: must be at least 1"),
        ({"models": ("nowhere.onnx",)}, "E301", "nowhere.onnx"),
        ({"agents": ("a:b", "a b")}, "E201", "two searches would be called model_macs=60-_a-b_s0"),
        ({"prior": "tailor"}, "E201", "unknown --prior 'tailor'"),
        ({"prior": "bn-scale"}, "E403", "criterion bn-scale needs BatchNormalization"),
        (
            {"agents": ("random", "amc:criterion=bn-scale")},
            "E403",
            "amc:criterion=bn-scale: criterion bn-scale",
        ),
        ({"distill.enabled": True, "distill.optimizer": "sgt"}, "E201", "sgt"),
    ],
)
def test_what_cannot_work_is_refused_before_there_is_a_study(
    others: dict[str, object], code: str, message: str, made: Path, tmp_path: Path
) -> None:
    with pytest.raises(OnnxPruneError) as caught:
        start(options(made, **others), tmp_path / "run", [])
    assert caught.value.code == code
    assert message in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_two_models_of_one_name_are_refused(made: Path, tmp_path: Path) -> None:
    asked = options(made)
    other = tmp_path / "model.onnx"
    other.write_bytes((made / "model.onnx").read_bytes())
    with pytest.raises(UsageError, match="two searches would be called model_"):
        start(replace(asked, models=(*asked.models, str(other))), tmp_path / "run", [])

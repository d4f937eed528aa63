"""The masks come from a search in the run's folder, which stops and goes on with the run."""

import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from onnxprune import search as searches
from onnxprune.compression import CompressOptions, Listener, RunFolder, compress, resume, start, summary_of
from onnxprune.compression.asking import asked_agent, repair_of, search_options
from onnxprune.compression.compress import options_of
from onnxprune.compression.inputs import open_parts
from onnxprune.compression.searching import begin, opened_by
from onnxprune.compression.work import make_work
from onnxprune.errors import DataError, OnnxPruneError, RuntimeProblem, TargetError, UsageError
from onnxprune.groups import find_groups
from onnxprune.masks import load_masks, masks_hash
from onnxprune.onnx_file import load_graph
from onnxprune.runs.folder import file_hash
from onnxprune.search.inputs import make_inputs, open_all
from tests.compression.conftest import continued, hashes, killed, options, with_run, write_samples
from tests.search.conftest import three_convolutions

posix = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
QUICK = {
    "search.agent": "random",
    "search.evaluations": 8,
    "search.batch": 4,
    "search.calibration_rows": 16,
    "distill.enabled": False,
    "reconstruct.method": "bias",
}
FILES = ("pruned.onnx", "reconstructed.onnx", "final.onnx", "masks.json", "search/search/episodes.jsonl")
DEATHS = {
    "in the middle of the second batch": (
        "import onnxprune.search.journal as m\n"
        "real, calls = m.Journal.pend, []\n"
        "def pend(*a):\n"
        "    real(*a)\n"
        "    calls.append(1)\n"
        "    if len(calls) == 6: die()\n"
        "m.Journal.pend = pend"
    ),
    "after the search, before it is recorded": (
        "import onnxprune.compression.searching as m\n"
        "real = m.search\n"
        "m.search = lambda *a, **k: (real(*a, **k), die())"
    ),
    "before the search is a run": "import onnxprune.search.searching as m; m.make_run = die",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a model that has enough channels for hundreds of different masks, and a run that searched."""
    return with_run(tmp_path_factory.mktemp("made"), three_convolutions(np.random.default_rng(0)), **QUICK)


def asked(model: Path, samples: Path, **others: object) -> CompressOptions:
    changed = {name.replace("__", "."): value for name, value in others.items()}
    return options(model, samples, **{**QUICK, **changed})


def hash_of(path: Path, model: Path) -> str:
    return masks_hash(load_masks(path, find_groups(load_graph(model))))


def test_the_masks_of_the_search_are_what_is_pruned(finished: RunFolder, model: Path) -> None:
    found = json.loads((finished.path / "search" / "search.json").read_text())
    assert hash_of(finished.path / "masks.json", model) == found["best"]["masks"]
    summary, report = summary_of(finished), (finished.path / "report.md").read_text()
    assert summary["search"]["agent"] == "random"
    assert summary["search"]["evaluations"] == 8
    assert summary["targets"][0]["met"]
    assert "The agent `random` chose the channels" in report
    assert "selection split" in report
    assert json.loads((finished.path / "prune.json").read_text())["allocation"] is None


@pytest.mark.parametrize("apart", [False, True])
def test_the_search_sees_the_fit_and_the_search_part_alone(
    apart: bool, model: Path, samples: Path, tmp_path: Path
) -> None:
    test = {"test": str(write_samples(tmp_path / "test.npz", model, seed=5))} if apart else {}
    whole = asked(model, samples, **test)
    parts = open_parts(whole, load_graph(model))
    alone = search_options(whole, "random")
    opened = open_all(alone)
    assert opened.parts.fit.count == parts.fit.count == (77 if apart else 48)
    assert opened.parts.search.count == parts.search.count == (19 if apart else 24)
    for mine, theirs in ((parts.fit, opened.parts.fit), (parts.search, opened.parts.search)):
        assert rows_of(mine) == rows_of(theirs)
    inputs = make_inputs(alone, opened)
    assert (inputs.reward.count or 0) + (inputs.selection.count or 0) == parts.search.count


def rows_of(samples: object) -> list[bytes]:
    return [batch.inputs["x"].tobytes() for batch in samples.batches(8)]  # type: ignore[attr-defined]


def test_the_search_alone_finds_the_same(
    finished: RunFolder, model: Path, samples: Path, tmp_path: Path
) -> None:
    run = searches.start(search_options(asked(model, samples), "random"), tmp_path / "alone", [])
    searches.search(run)
    episodes = "search/episodes.jsonl"
    assert (run.path / episodes).read_bytes() == (finished.path / "search" / episodes).read_bytes()
    assert hash_of(run.path / "masks.json", model) == hash_of(finished.path / "masks.json", model)


@posix
@pytest.mark.parametrize("patch", DEATHS.values(), ids=list(DEATHS))
def test_a_run_that_was_killed_in_the_search_ends_as_one_that_was_not(
    patch: str, model: Path, samples: Path, tmp_path: Path, finished: RunFolder
) -> None:
    run = start(asked(model, samples), tmp_path / "killed", ["words"])
    killed(run.path, patch)
    assert json.loads((run.path / "run.json").read_text())["boxes"]["search"]["state"] == "running"
    continued(run.path)
    assert hashes(run.path, FILES) == hashes(finished.path, FILES)
    assert not (run.path / "search" / "search" / "evaluator").exists()


def test_a_stop_in_the_search_is_saved_and_goes_on(
    model: Path, samples: Path, tmp_path: Path, finished: RunFolder
) -> None:
    run, seen = start(asked(model, samples), tmp_path / "stopped", []), list[int]()
    heard = Listener(searching=lambda p: seen.append(p.done), stop=lambda: len(seen) == 6)
    with pytest.raises(KeyboardInterrupt):
        compress(run, heard)
    assert run.record["status"] == "interrupted"
    assert not (run.path / "masks.json").exists()
    compress(resume(run.path, {"search.workers": 1, "search.budget": "1h"}))
    assert hashes(run.path, FILES) == hashes(finished.path, FILES)


@pytest.mark.parametrize(
    ("error", "code"), [(DataError("E506", "three in a row"), "E506"), (TargetError("E702", "none"), "E702")]
)
def test_a_search_that_fails_is_told_as_such_and_the_run_can_go_on(
    error: OnnxPruneError,
    code: str,
    model: Path,
    samples: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise error

    run = start(asked(model, samples, reconstruct__enabled=False), tmp_path / "run", [])
    with monkeypatch.context() as patched:
        patched.setattr("onnxprune.search.searching.carry_out", failing)
        with pytest.raises(OnnxPruneError) as told:
            compress(run)
    assert (told.value.code, run.record["status"]) == (code, "failed")
    continued(run.path)
    assert (run.path / "final.onnx").exists()


def test_masks_that_were_changed_are_searched_again(finished: RunFolder) -> None:
    before = hashes(finished.path, FILES)
    (finished.path / "search" / "masks.json").write_text("{}")
    continued(finished.path)
    assert hashes(finished.path, FILES) == before


def test_without_its_package_the_agent_that_learns_gives_way_to_one_that_needs_none(
    model: Path, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = asked(model, samples, search__agent="auto")
    assert asked_agent(wanted, open_parts(wanted, load_graph(model))).agent == "gat-ppo"
    monkeypatch.setattr("onnxprune.search.agents.installed", lambda name: name != "torch_geometric")
    run = start(wanted, tmp_path / "run", [])
    told: list[str] = []
    compress(run, Listener(warn=told.append))
    assert summary_of(run)["search"]["agent"] == "greedy"
    assert sum('pip install "onnxprune[agents]"' in text for text in told) == 1
    assert "torch_geometric" in (run.path / "report.md").read_text()
    with pytest.raises(RuntimeProblem, match="gat-ppo needs torch_geometric"):
        start(asked(model, samples, search__agent="gat-ppo"), tmp_path / "other", [])
    assert not (tmp_path / "other").exists()


def test_a_policy_to_begin_with_goes_to_the_agent_that_can_and_is_part_of_what_the_run_was_made_for(
    model: Path, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch_geometric")
    monkeypatch.chdir(tmp_path)
    alone = searches.start(search_options(asked(model, samples), "gat-ppo"), tmp_path / "alone", [])
    searches.search(alone)
    shutil.copy(alone.path / "policy.pt", tmp_path)
    wanted = asked(
        model, samples, search__agent="auto", search__init_policy="policy.pt", search__freeze_encoder=True
    )
    run = start(wanted, tmp_path / "run", [])
    monkeypatch.chdir(tmp_path.parent)  # the path was made whole
    compress(run)
    found = json.loads((run.path / "search" / "search.json").read_text())
    policy = tmp_path / "policy.pt"
    assert found["options"]["agent"] == "gat-ppo"
    assert found["options"]["freeze_encoder"]
    assert found["options"]["init_policy"] == str(policy)
    assert found["sha256"]["init_policy"] == run.record["sha256"]["init_policy"] == file_hash(policy)
    policy.write_bytes((run.path / "search" / "policy.pt").read_bytes())
    with pytest.raises(UsageError, match="run was made for init_policy with sha256"):
        continued(run.path)


def test_a_policy_to_begin_with_is_not_dropped_for_want_of_a_package(
    model: Path, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tmp_path / "policy.pt"
    policy.touch()
    monkeypatch.setattr("onnxprune.search.agents.installed", lambda name: name != "torch_geometric")
    with pytest.raises(RuntimeProblem, match="gat-ppo needs torch_geometric"):
        start(
            asked(model, samples, search__agent="auto", search__init_policy=str(policy)), tmp_path / "run", []
        )
    assert not (tmp_path / "run").exists()


def test_who_evaluates_may_change_and_what_is_learned_may_not(
    finished: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    again = resume(finished.path, {"search.scheduler": "tcp://10.0.0.5:8786", "search.workers": 2})
    work = make_work(options_of(again), again, Listener())
    options = searches.options_of(begin(work, opened_by(work)))
    assert (options.scheduler, options.workers) == ("tcp://10.0.0.5:8786", 2)
    with pytest.raises(UsageError, match=r"made for search.freeze_encoder False, got True"):
        resume(finished.path, {"search.freeze_encoder": True})
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(RuntimeProblem, match="distributed is not installed"):
        begin(work, opened_by(work))


def test_a_scheduler_that_cannot_be_asked_is_told_before_there_is_a_run(
    model: Path, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    with pytest.raises(UsageError, match="no address of a Dask scheduler"):
        start(asked(model, samples, search__scheduler="nonsense"), tmp_path / "run", [])
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(RuntimeProblem, match="distributed is not installed") as error:
        start(asked(model, samples, search__scheduler="tcp://10.0.0.5:8786"), tmp_path / "run", [])
    assert error.value.hint == 'pip install "onnxprune[distributed]"'
    assert not (tmp_path / "run").exists()


def test_an_allocation_without_an_agent_means_no_search(model: Path, samples: Path, tmp_path: Path) -> None:
    wanted = asked(model, samples, search__agent="auto", prune__allocation="uniform")
    run = start(wanted, tmp_path / "run", [])
    compress(run)
    assert run.box("search")["state"] == "skipped"
    assert summary_of(run)["search"] is None
    assert "the allocation uniform was asked for" in (run.path / "report.md").read_text()
    assert not (run.path / "search").exists()


def test_too_few_samples_to_choose_by_leave_the_search_out(model: Path, samples: Path) -> None:
    wanted = asked(model, samples, search__agent="auto")
    parts = open_parts(wanted, load_graph(model))
    found = asked_agent(wanted, replace(parts, search=replace(parts.search, count=1)))
    assert (found.agent, found.limits) == ("none", True)


def test_candidates_are_repaired_as_the_result_will_be(model: Path, samples: Path) -> None:
    assert repair_of(asked(model, samples)) == "bias"
    assert repair_of(asked(model, samples, reconstruct__enabled=False)) == "none"
    trained = asked(model, samples, reconstruct__enabled=False, distill__enabled=True)
    assert repair_of(trained) == "least-squares"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"search__agent": "randm"}, "unknown --agent"),
        (
            {"search__agent": "random", "prune__allocation": "global"},
            "--allocation global is for --agent none",
        ),
        ({"search__agent_option": ("luck=1",)}, "luck"),
        ({"search__evaluations": 0}, "--evaluations 0"),
        ({"search__batch": 0}, "--search-batch 0"),
        ({"search__workers": -1}, "--workers -1"),
        ({"search__budget": "20"}, "--budget 20"),
        ({"prune__device": "CPUU"}, "--device CPUU"),
        ({"search__init_policy": "gone.pt"}, "--init-policy gone.pt: there is no such file"),
        ({"search__agent": "none", "search__init_policy": "p.pt"}, "--init-policy p.pt is for an agent"),
        (
            {"search__agent": "auto", "prune__allocation": "uniform", "search__init_policy": "p.pt"},
            "--init-policy p.pt is for an agent",
        ),
    ],
)
def test_what_the_search_would_refuse_is_refused_before_there_is_a_run(
    given: dict[str, object], told: str, model: Path, samples: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=told):
        start(asked(model, samples, **given), tmp_path / "run", [])
    assert not (tmp_path / "run").exists()

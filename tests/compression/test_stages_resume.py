"""A run of several stages goes on after kill -9 between and inside them, as if it had never stopped."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxprune.compression import Listener, RunFolder, compress, resume, start
from onnxprune.errors import UsageError
from tests.compression.conftest import MODELS, continued, deaths, hashes, killed, options, with_run
from tests.compression.test_search_box import QUICK
from tests.search.conftest import three_convolutions

posix = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
STAGED: dict[str, Any] = {
    **QUICK,
    "distill.enabled": True,
    "distill.teacher": "best",
    "distill.epochs": 2,
    "stages.count": 2,
    "stages.stage_epochs": 2,
    "target": ("macs=40%",),
}
FILES = tuple(f"{folder}{name}" for folder in ("stages/1/", "") for name in (*MODELS, "masks.json"))
DYING = """
from pydoc import locate
owner, calls = locate("{owner}"), []
real = owner.{name}
def counted(*args, **kwargs):
    calls.append(1)
    return die() if len(calls) == {call} else real(*args, **kwargs)
owner.{name} = counted
"""
# Where the process dies: the box that it leaves undone, and at which call of what.
DEATHS = {
    "in the first search": ("stages/1/search", "onnxprune.search.journal.Journal", "pend", 6),
    "in the first training": ("stages/1/distill", "torch.optim.SGD", "step", 5),
    "before the first stage has chosen": ("stages/1/choose", "onnxprune.compression.judging", "best_of", 1),
    "between the stages": ("search", "onnxprune.compression.work", "trace", 1),
    "in the last search": ("search", "onnxprune.search.journal.Journal", "pend", 14),
    "in the proof of the last masks": ("prune", "onnxprune.compression.boxes", "write_changed", 2),
    "in the last training": ("distill", "torch.optim.SGD", "step", 11),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two stages that search and train."""
    return with_run(tmp_path_factory.mktemp("made"), three_convolutions(np.random.default_rng(0)), **STAGED)


@pytest.fixture
def run(model: Path, samples: Path, tmp_path: Path) -> RunFolder:
    return start(options(model, samples, **STAGED), tmp_path / "run", [])


def states(run: RunFolder) -> dict[str, str]:
    boxes = json.loads((run.path / "run.json").read_text())["boxes"]
    return {name: box["state"] for name, box in boxes.items()}


OFTEN = {"between the stages"}


@posix
@pytest.mark.parametrize(("box", "owner", "name", "call"), deaths(DEATHS, OFTEN))
def test_a_run_that_was_killed_ends_as_one_that_was_not(
    box: str, owner: str, name: str, call: int, run: RunFolder, finished: RunFolder
) -> None:
    killed(run.path, DYING.format(owner=owner, name=name, call=call))
    *_, (last, state) = states(run).items()
    assert (last, state) == (box, "running")
    continued(run.path)
    assert hashes(run.path, FILES) == hashes(finished.path, FILES)
    assert not [path for path in run.path.rglob(".*") if path.is_file()]


def test_a_finished_run_does_nothing_again(finished: RunFolder) -> None:
    told: dict[str, str] = {}
    compress(resume(finished.path, {}), Listener(box=lambda name, state: told.update({name: state})))
    assert set(told.values()) == {"kept"}
    assert [name for name in told if name.endswith("prune")] == ["stages/1/prune", "prune"]


def test_a_stop_in_a_stage_is_saved_and_goes_on(run: RunFolder, finished: RunFolder) -> None:
    def stop() -> bool:
        return states(run).get("stages/1/distill") == "running"

    with pytest.raises(KeyboardInterrupt):
        compress(run, Listener(stop=stop))
    assert (run.path / "stages" / "1" / "distill" / "checkpoint.pt").exists()
    continued(run.path)
    assert hashes(run.path, FILES) == hashes(finished.path, FILES)


def test_a_run_that_was_moved_goes_on_in_a_later_search(run: RunFolder, finished: RunFolder) -> None:
    def stop() -> bool:
        return (run.path / "search/search/episodes.jsonl").exists()

    with pytest.raises(KeyboardInterrupt):
        compress(run, Listener(stop=stop))
    assert states(run)["search"] == "running"
    moved = run.path.rename(run.path.with_name("moved"))
    continued(moved)
    assert hashes(moved, FILES) == hashes(finished.path, FILES)


def test_what_a_stage_left_is_made_again_where_it_was_changed(finished: RunFolder) -> None:
    before = hashes(finished.path, FILES)
    (finished.path / "stages" / "1" / "final.onnx").write_bytes(b"not what was written")
    told: dict[str, list[str]] = {}
    listener = Listener(box=lambda name, state: told.setdefault(name, []).append(state))
    compress(resume(finished.path, {}), listener)
    assert told["stages/1/choose"] == ["running", "done"]
    assert told["stages/1/distill"] == told["distill"] == ["kept"]
    assert hashes(finished.path, FILES) == before


def test_a_later_stage_is_done_again_where_an_earlier_one_left_something_else(finished: RunFolder) -> None:
    boxes = finished.record["boxes"]
    for name in ("search", "prune", "reconstruct", "distill", "choose"):
        boxes[name]["reads"]["stages/1/final.onnx"] = "of another one"
    finished.save()
    before = hashes(finished.path, FILES)
    told: dict[str, list[str]] = {}
    listener = Listener(box=lambda name, state: told.setdefault(name, []).append(state))
    compress(resume(finished.path, {}), listener)
    assert told["stages/1/choose"] == ["kept"]
    for name in ("search", "prune", "reconstruct", "distill", "choose"):
        assert told[name] == ["running", "done"]
    assert hashes(finished.path, FILES) == before


def test_another_number_of_stages_is_refused(finished: RunFolder) -> None:
    with pytest.raises(UsageError, match=r"run was made for stages\.count 2, got 3"):
        resume(finished.path, {"stages.count": 3})


def test_stages_of_a_run_that_is_replaced_are_removed(
    finished: RunFolder, model: Path, samples: Path
) -> None:
    start(options(model, samples), finished.path, [], force=True)
    assert not (finished.path / "stages").exists()

"""A run whose files were damaged is refused or goes on to the same end; bad values are told early."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from shutil import copytree, rmtree

import numpy as np
import onnx
import pytest

from onnxprune.agents.controls import Control
from onnxprune.agents.types import State
from onnxprune.errors import DataError, UsageError
from onnxprune.search import Listener, resume, search, start
from tests.compression.conftest import write_samples
from tests.search.conftest import options, three_convolutions

Damage = Callable[[Path], object]
LEAVING = """
import sys
def leave(outputs, labels=None, reference=None):
    sys.exit(3)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A finished run, and the same stopped after its second batch."""
    folder = tmp_path_factory.mktemp("damage")
    onnx.save(three_convolutions(np.random.default_rng(0)), folder / "model.onnx")
    samples = write_samples(folder / "samples.npz", folder / "model.onnx")
    chosen = options(folder / "model.onnx", samples, agent="evolution", evaluations=9, batch=3)
    search(start(chosen, folder / "whole", ["words"]))
    told: list[object] = []
    listener = Listener(step=told.append, stop=lambda: len(told) >= 7)
    with pytest.raises(KeyboardInterrupt):
        search(start(chosen, folder / "part", ["words"]), listener)
    return folder / "whole", folder / "part"


def cell(name: str, text: bytes) -> Damage:
    return lambda run: (run / "search" / name).write_bytes(text)


def edited(pattern: bytes, make: Callable[[re.Match[bytes]], bytes]) -> Damage:
    """Every match in episodes.jsonl replaced by something of the same length."""

    def damage(run: Path) -> None:
        path = run / "search" / "episodes.jsonl"
        path.write_bytes(re.sub(pattern, make, path.read_bytes()))

    return damage


def record(change: Callable[[dict[str, object]], object]) -> Damage:
    def damage(run: Path) -> None:
        document = json.loads((run / "run.json").read_text())
        change(document)
        (run / "run.json").write_text(json.dumps(document))

    return damage


def a_folder(run: Path) -> None:
    (run / "search" / "pending.jsonl").unlink()
    (run / "search" / "pending.jsonl").mkdir()


def a_file(run: Path) -> None:
    rmtree(run / "search")
    (run / "search").write_text("x")


REFUSED: dict[str, tuple[str, Damage]] = {
    "bits": ("E208", edited(rb'"bits": "[^"]*"', lambda m: m[0][:9] + b"*" * (len(m[0]) - 10) + b'"')),
    "an accuracy": ("E208", edited(rb'"accuracy": [0-9.]+', lambda m: m[0][:12] + b"7" * (len(m[0]) - 12))),
    "accuracies as text": (
        "E208",
        edited(rb'"accuracy": [0-9.]+', lambda m: m[0][:12] + b'"' + b"a" * (len(m[0]) - 14) + b'"'),
    ),
    "no status": ("E208", record(lambda r: r.pop("status"))),
    "no argv": ("E208", record(lambda r: r.pop("argv"))),
    "option of another type": ("E208", record(lambda r: r["options"].update(evaluations="x"))),  # type: ignore[attr-defined]
    "an option that is new": ("E208", record(lambda r: r["options"].pop("evaluations"))),  # type: ignore[attr-defined]
    "unknown option": ("E208", record(lambda r: r["options"].update(no_such=1))),  # type: ignore[attr-defined]
    "a folder in the way": ("E203", a_folder),
    "a file in the way": ("E203", a_file),
    "masks in the way": ("E203", lambda run: (run / "masks.json").mkdir()),
}
HARMLESS: dict[str, Damage] = {
    "pending of no text": cell("pending.jsonl", b"\xff\xfe{}\n"),
    "pending of zeros": cell("pending.jsonl", b"\0" * 50),
    "pending lists": cell("pending.jsonl", b'{"masks": [1], "accuracy": 1, "rows": 1}\n'),
    "pending words": cell("pending.jsonl", b'{"masks": "a", "accuracy": "x", "rows": "y"}\n'),
}


@pytest.mark.parametrize(("code", "damage"), REFUSED.values(), ids=list(REFUSED))
def test_damage_that_matters_is_told(
    code: str, damage: Damage, made: tuple[Path, Path], tmp_path: Path
) -> None:
    run = copytree(made[1], tmp_path / "run")
    damage(run)
    with pytest.raises(UsageError) as caught:
        search(resume(run, {}))
    assert caught.value.code == code


def test_a_checkpoint_of_another_version_of_the_agent_is_told(
    made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copytree(made[1], tmp_path / "run")

    def restore(self: Control, state: State) -> None:
        raise KeyError("neighbours")

    monkeypatch.setattr(Control, "restore", restore)
    with pytest.raises(UsageError, match=r"another version wrote it \(KeyError: 'neighbours'\)") as caught:
        search(resume(run, {}))
    assert caught.value.code == "E208"


@pytest.mark.parametrize("damage", HARMLESS.values(), ids=list(HARMLESS))
def test_damage_of_what_was_not_told_yet_changes_nothing(
    damage: Damage, made: tuple[Path, Path], tmp_path: Path
) -> None:
    run = copytree(made[1], tmp_path / "run")
    damage(run)
    search(resume(run, {}))
    for name in ("search/episodes.jsonl", "masks.json"):
        assert (run / name).read_bytes() == (made[0] / name).read_bytes()


@pytest.mark.parametrize("name", ["masks.json", "masks.npz", "search.json"])
@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_a_damaged_result_is_made_anew(name: str, text: str, made: tuple[Path, Path], tmp_path: Path) -> None:
    run = copytree(made[0], tmp_path / "run")
    (run / name).write_text(text)
    search(resume(run, {}))
    assert (run / "masks.json").read_bytes() == (made[0] / "masks.json").read_bytes()


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_refused_early(seed: int, model: Path, samples: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--seed"):
        start(options(model, samples, seed=seed), tmp_path / "a", [])
    assert not (tmp_path / "a").exists()


def test_a_metric_that_cannot_be_imported_is_told_before_there_is_a_folder(
    model: Path, samples: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="no_such_module:f raised ModuleNotFoundError"):
        start(options(model, samples, evaluate__metric="no_such_module:f"), tmp_path / "a", [])
    assert not (tmp_path / "a").exists()


def test_a_metric_that_leaves_is_one_that_fails(model: Path, samples: Path, tmp_path: Path) -> None:
    (tmp_path / "leaving.py").write_text(LEAVING)
    metric = f"{tmp_path / 'leaving.py'}:leave"
    run = start(options(model, samples, evaluate__metric=metric), tmp_path / "a", [])
    with pytest.raises(DataError) as caught:
        search(run)
    assert (caught.value.code, "SystemExit" in caught.value.cause) == ("E506", True)


@pytest.mark.parametrize("text", ["entropy=inf", "clip=nan", "focus=1e999", "entropy=-inf"])
def test_options_that_are_not_finite_are_refused_early(
    text: str, model: Path, samples: Path, tmp_path: Path
) -> None:
    pytest.importorskip("torch_geometric")
    with pytest.raises(UsageError) as caught:
        start(options(model, samples, agent="gat-ppo", agent_option=(text,)), tmp_path / "a", [])
    assert caught.value.code == "E202"

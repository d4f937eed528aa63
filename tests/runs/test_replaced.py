"""A run that --force replaces is gone when the new one has begun to work, and not before."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from onnxprune import compression, search
from onnxprune.errors import DataError, UsageError
from onnxprune.runs.folder import RECORD, locked, path_hash
from onnxprune.runs.opening import check_new, mend, open_run
from onnxprune.runs.replaced import ASIDE, kept_on_failure, let_go, put_back, set_aside
from tests.compression import conftest as compressing
from tests.onnx_file.small_models import chain
from tests.search import conftest as searching

FAILING = "tests.cli.metrics:broken_metric"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    onnx.save(compressing.told_apart(chain(np.random.default_rng(0))), path)
    return path


@pytest.fixture
def samples(model: Path, tmp_path: Path) -> Path:
    return compressing.write_samples(tmp_path / "samples.npz", model)


def files(folder: Path) -> dict[str, str]:
    return {path.name: path_hash(path) for path in folder.iterdir()}


def test_a_search_that_cannot_score_leaves_the_earlier_one(
    model: Path, samples: Path, tmp_path: Path
) -> None:
    folder, asked = tmp_path / "run", searching.options(model, samples)
    search.search(search.start(asked, folder, []))
    before = files(folder)
    failing = searching.options(model, samples, evaluate__metric=FAILING)
    for _ in range(2):
        with pytest.raises(DataError, match="cannot be scored"):
            search.search(search.start(failing, folder, [], force=True))
        assert files(folder) == before
    again = searching.options(model, samples, target=("macs=40%",))
    search.search(search.start(again, folder, [], force=True))
    assert files(folder).keys() == before.keys()
    assert files(folder)["masks.json"] != before["masks.json"]


def test_a_compression_that_cannot_measure_the_original_leaves_the_earlier_one(
    model: Path, samples: Path, tmp_path: Path
) -> None:
    folder, asked = tmp_path / "run", compressing.options(model, samples, distill__enabled=False)
    compression.compress(compression.start(asked, folder, []))
    before = files(folder)
    failing = compressing.options(model, samples, distill__enabled=False, measure__metric=FAILING)
    with pytest.raises(DataError):
        compression.compress(compression.start(failing, folder, [], force=True))
    assert files(folder) == before
    compression.compress(compression.start(asked, folder, [], force=True))
    assert files(folder).keys() == before.keys()


@pytest.mark.parametrize("moved", [1, 2, 3])
def test_what_a_kill_left_half_replaced_is_put_together_again(moved: int, tmp_path: Path) -> None:
    for name in (RECORD, "masks.json", "log.txt"):
        (tmp_path / name).write_text(f"old {name}")
    before = files(tmp_path)
    (tmp_path / ASIDE).mkdir()
    for name in (RECORD, "masks.json", "log.txt")[:moved]:
        (tmp_path / name).replace(tmp_path / ASIDE / name)
    check_new(tmp_path, "search", force=True)
    assert files(tmp_path) == before


def test_another_process_that_is_kept_out_puts_nothing_back(
    model: Path, samples: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    search.search(search.start(searching.options(model, samples), folder, []))
    run = search.start(searching.options(model, samples, target=("macs=40%",)), folder, [], force=True)
    before = files(folder)
    with locked(folder), pytest.raises(UsageError, match="another process works"):
        search.search(search.resume(folder, {}))
    assert files(folder) == before
    search.search(run)
    assert run.record["status"] == "done"
    assert not (folder / ASIDE).exists()


@pytest.mark.parametrize("act", [set_aside, put_back])
@pytest.mark.parametrize("done", range(6))
def test_a_process_that_dies_while_files_are_moved_costs_none_of_them(
    done: int, act: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("masks.json", "search")
    for name in (RECORD, *names):
        (tmp_path / name).write_text("old")
    if act is put_back:
        set_aside(tmp_path, names)
    left = done

    def dying(operation: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            return operation(*given)

        return call

    with monkeypatch.context() as patched, suppress(KeyboardInterrupt):
        for name in ("mkdir", "replace", "rmdir"):
            patched.setattr(Path, name, dying(getattr(Path, name)))
        act(*((tmp_path, names) if act is set_aside else (tmp_path,)))
    mend(tmp_path)
    set_aside(tmp_path, names)
    put_back(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(
        (RECORD, *names), "old"
    )


def test_any_failure_before_the_original_is_scored_puts_it_back(tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text("old")
    set_aside(tmp_path, [])
    (tmp_path / RECORD).write_text("new")
    with pytest.raises(TypeError), kept_on_failure(tmp_path):
        raise TypeError
    assert (tmp_path / RECORD).read_text() == "old"


def test_a_removal_that_was_cut_short_leaves_the_new_run_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (RECORD, "masks.json"):
        (tmp_path / name).write_text("old")
    set_aside(tmp_path, ["masks.json"])
    (tmp_path / RECORD).write_text("new")
    monkeypatch.setattr("shutil.rmtree", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        let_go(tmp_path)
    put_back(tmp_path)
    assert (tmp_path / RECORD).read_text() == "new"
    assert not (tmp_path / "masks.json").exists()


def test_an_interrupted_run_can_go_on_and_the_one_before_it_comes_back_in_the_next(
    model: Path, samples: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    search.search(search.start(searching.options(model, samples), folder, []))
    before = files(folder)
    search.start(searching.options(model, samples, seed=1), folder, [], force=True)  # and killed
    assert open_run(folder, "search").record["status"] == "new"
    set_aside(folder, ["masks.json", "search.json", "search", "config.toml"])
    put_back(folder)
    assert {name: files(folder)[name] for name in ("masks.json", "search.json", RECORD)} == {
        name: before[name] for name in ("masks.json", "search.json", RECORD)
    }

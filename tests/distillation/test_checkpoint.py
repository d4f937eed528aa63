"""A run that is interrupted and continued ends with the bits of one that was not; other runs are refused."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from onnxprune.distillation import DistillOptions, Hooks, Stopped, distill
from onnxprune.errors import RuntimeProblem, UsageError
from tests.distillation.small_pair import QUICK, arrays, make_data, make_pair, stop_after

AUGMENTED = replace(QUICK, augment=("flip", "crop", "mixup"), epochs=4)


@pytest.mark.parametrize("options", [AUGMENTED, replace(AUGMENTED, optimizer="adamw", switch_teacher=True)])
def test_a_resumed_run_gives_the_same_bits(options: DistillOptions, tmp_path: Path) -> None:
    teacher, student = make_pair(tmp_path)
    whole = distill(teacher, student, make_data(), options, run=tmp_path / "whole")
    for looks in (2, 9, 7):  # in the middle of an epoch, and right after one
        hooks = Hooks(stop=stop_after(looks))
        with pytest.raises(Stopped):
            distill(teacher, student, make_data(), options, run=tmp_path / "parts", hooks=hooks)
    parts = distill(teacher, student, make_data(), options, run=tmp_path / "parts")
    assert parts.path.read_bytes() == whole.path.read_bytes()
    assert [row.loss for row in parts.history] == [row.loss for row in whole.history]
    assert len(parts.history) == 4
    assert len((tmp_path / "parts" / "metrics.csv").read_text().splitlines()) == 5


def test_a_finished_run_is_written_again_without_training(tmp_path: Path) -> None:
    teacher, student = make_pair(tmp_path)
    first = distill(teacher, student, make_data(), QUICK, run=tmp_path / "run")
    before = arrays(first.path)
    told: list[object] = []
    hooks = Hooks(epoch=told.append)
    again = distill(teacher, student, make_data(), QUICK, run=tmp_path / "run", hooks=hooks)
    assert told == []
    assert all((before[name] == value).all() for name, value in arrays(again.path).items())


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"lr": 0.1}, "another --lr: 0.05, got 0.1"),
        ({"batch": 4}, "another --batch: 8, got 4"),
        ({"augment": ("flip",)}, r"another --augment: \[\], got \['flip'\]"),
    ],
)
def test_a_checkpoint_of_other_options_is_refused(
    changed: dict[str, object], told: str, tmp_path: Path
) -> None:
    teacher, student = make_pair(tmp_path)
    distill(teacher, student, make_data(), QUICK, run=tmp_path / "run")
    with pytest.raises(UsageError, match=told) as caught:
        distill(teacher, student, make_data(), replace(QUICK, **changed), run=tmp_path / "run")
    assert caught.value.code == "E208"


def test_a_checkpoint_of_another_model_or_of_other_data_is_refused(tmp_path: Path) -> None:
    teacher, student = make_pair(tmp_path)
    distill(teacher, student, make_data(), QUICK, run=tmp_path / "run")
    with pytest.raises(UsageError, match=r"another student: sha256 [0-9a-f]{8}\.\.\., got"):
        distill(teacher, teacher, make_data(), QUICK, run=tmp_path / "run")
    with pytest.raises(UsageError, match="other data: 48 fit rows, got 40"):
        distill(teacher, student, make_data(fit=40), QUICK, run=tmp_path / "run")


def test_what_only_decides_where_to_stop_may_change(tmp_path: Path) -> None:
    teacher, student = make_pair(tmp_path)
    distill(teacher, student, make_data(), QUICK, run=tmp_path / "run")
    distill(teacher, student, make_data(), replace(QUICK, patience=9), run=tmp_path / "run")


@pytest.mark.parametrize("content", [b"", b"no checkpoint", None])
def test_a_damaged_checkpoint_is_told(content: bytes | None, tmp_path: Path) -> None:
    teacher, student = make_pair(tmp_path)
    distill(teacher, student, make_data(), QUICK, run=tmp_path / "run")
    path = tmp_path / "run" / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:-500] if content is None else content)
    with pytest.raises(UsageError, match="no checkpoint that can be read") as caught:
        distill(teacher, student, make_data(), QUICK, run=tmp_path / "run")
    assert caught.value.code == "E208"


def test_a_disk_that_fills_up_leaves_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher, student = make_pair(tmp_path)
    saved: list[bytes] = []
    path = tmp_path / "run" / "checkpoint.pt"

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fill(_row: object) -> None:
        saved.append(path.read_bytes())
        monkeypatch.setattr("onnxprune.runs.folder.os.fsync", full)

    with pytest.raises(RuntimeProblem) as caught:
        distill(teacher, student, make_data(), QUICK, run=tmp_path / "run", hooks=Hooks(epoch=fill))
    assert caught.value.code == "E605"
    assert path.read_bytes() == saved[0]
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["checkpoint.pt", "metrics.csv"]
    monkeypatch.undo()
    distill(teacher, student, make_data(), QUICK, run=tmp_path / "run")


def test_a_changed_byte_in_the_checkpoint_is_told(tmp_path: Path) -> None:
    teacher, student = make_pair(tmp_path)
    distill(teacher, student, make_data(), QUICK, run=tmp_path / "run")
    path = tmp_path / "run" / "checkpoint.pt"
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(UsageError, match="no checkpoint that can be read"):
        distill(teacher, student, make_data(), QUICK, run=tmp_path / "run")


@pytest.mark.parametrize("name", ["module", "optimizer", "history", "rng"])
def test_a_checkpoint_that_lacks_something_is_told(name: str, tmp_path: Path) -> None:
    teacher, student = make_pair(tmp_path)
    distill(teacher, student, make_data(), QUICK, run=tmp_path / "run")
    path = tmp_path / "run" / "checkpoint.pt"
    state = torch.load(path, weights_only=True)
    del state[name]
    torch.save(state, path)
    with pytest.raises(UsageError) as caught:
        distill(teacher, student, make_data(), QUICK, run=tmp_path / "run")
    assert caught.value.code == "E208"


def test_a_checkpoint_of_an_older_version_knows_nothing_of_the_rows(tmp_path: Path) -> None:
    teacher, student = make_pair(tmp_path)
    distill(teacher, student, make_data(), QUICK, run=tmp_path / "run")
    path = tmp_path / "run" / "checkpoint.pt"
    state = torch.load(path, weights_only=True)
    del state["identity"]["data"]
    torch.save(state, path)
    distill(teacher, student, make_data(), QUICK, run=tmp_path / "run")

"""What a run writes beside its model, and what is said where that cannot be."""

import builtins
import csv
import errno
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch

from onnxprune.distillation import data
from onnxprune.distillation.logs import EpochRow, tensorboard, write_metrics
from onnxprune.distillation.optimizer import first_not_finite
from onnxprune.errors import RuntimeProblem
from tests.distillation.small_pair import images, samples_of

ROW = EpochRow(1, 2.5, 0.1, 0.8, None, 0.8, 3.0, 1.0)


def test_metrics_are_one_row_an_epoch(tmp_path: Path) -> None:
    write_metrics(tmp_path / "metrics.csv", [ROW, ROW])
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    assert rows[0] == {
        "epoch": "1",
        "loss": "2.5",
        "lr": "0.1",
        "score": "0.8",
        "average_score": "",
        "best_score": "0.8",
        "seconds": "3.0",
        "eta_minutes": "1.0",
    }


def test_a_full_disk_keeps_the_rows_that_were_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_metrics(tmp_path / "metrics.csv", [ROW])
    before = (tmp_path / "metrics.csv").read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("onnxprune.runs.folder.os.fsync", full)
    with pytest.raises(RuntimeProblem) as caught:
        write_metrics(tmp_path / "metrics.csv", [ROW, ROW])
    assert caught.value.code == "E605"
    assert (tmp_path / "metrics.csv").read_bytes() == before


def test_tensorboard_gets_every_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[str, float, int]] = []

    class Writer:
        def __init__(self, folder: str) -> None:
            assert folder == str(tmp_path)

        def add_scalar(self, name: str, value: float, epoch: int) -> None:
            written.append((name, value, epoch))

        def flush(self) -> None:
            pass

    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    tensorboard(tmp_path)(ROW)
    assert [(name, epoch) for name, _, epoch in written] == [
        (name, 1) for name in ("loss", "lr", "score", "best_score", "seconds")
    ]


def test_a_missing_tensorboard_is_told_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "torch.utils.tensorboard":
            raise ModuleNotFoundError("No module named 'tensorboard'", name="tensorboard")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(RuntimeProblem, match="tensorboard is not installed") as caught:
        tensorboard(tmp_path)
    assert (caught.value.code, caught.value.hint) == ("E603", "pip install tensorboard")


def test_the_first_loss_that_is_not_finite_is_found() -> None:
    losses = [torch.tensor(x) for x in (1.0, float("inf"), float("nan"))]
    assert first_not_finite(losses) == 1
    assert first_not_finite(losses[:1]) is None


def test_data_that_does_not_fit_into_memory_is_told_before_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(data, "free_memory", lambda: 10_000)
    with pytest.raises(RuntimeProblem, match="48 rows take") as caught:
        data.read_rows(samples_of(images()), ["x"])
    assert (caught.value.code, caught.value.hint) == ("E605", "--samples 6")


def test_data_whose_length_is_unknown_is_read_whole() -> None:
    known = samples_of(images())
    unknown = type(known)(known.source, known.chunks, None, labelled=False)
    assert torch.equal(data.read_rows(unknown, ["x"]).inputs[0], data.read_rows(known, ["x"]).inputs[0])

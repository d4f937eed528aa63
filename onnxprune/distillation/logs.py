"""What a run tells: a row an epoch, in metrics.csv and for TensorBoard."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from onnxprune.errors import RuntimeProblem
from onnxprune.onnx_file.saving import disk_errors

METRICS = "metrics.csv"


@dataclass(frozen=True)
class EpochRow:
    """One epoch.

    Attributes:
        epoch: Counted from 1.
        loss: Mean over the steps of the epoch.
        lr: Learning rate of its last step.
        score: Of the student on the search part.
        average_score: Of the averaged weights; None without an average.
        best_score: Best of both so far.
        seconds: It took.
        eta_minutes: Until the last epoch, at this pace.
    """

    epoch: int
    loss: float
    lr: float
    score: float
    average_score: float | None
    best_score: float
    seconds: float
    eta_minutes: float


@dataclass(frozen=True)
class StepRow:
    """One step of the optimizer.

    Attributes:
        done: Batches of this epoch.
        total: Batches of an epoch.
        epoch: Counted from 1.
        loss: Of this step, or None where reading it would wait for the GPU.
    """

    done: int
    total: int
    epoch: int
    loss: float | None


def write_metrics(path: Path, rows: Sequence[EpochRow]) -> None:
    """All rows as CSV, atomically: a resumed run has no row twice.

    Raises:
        RuntimeProblem: E605, the disk is full.
    """
    part = path.with_suffix(".csv.part")
    with disk_errors(path, 1 << 20):
        with part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(EpochRow)])
            writer.writeheader()
            writer.writerows(asdict(row) for row in rows)
        part.replace(path)


def tensorboard(folder: Path) -> Callable[[EpochRow], None]:
    """A function that writes each row's figures for TensorBoard; the folder is made with the first.

    Raises:
        RuntimeProblem: E603, the package tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an optional package
    except ImportError as error:
        raise RuntimeProblem(
            "E603", "tensorboard is not installed", cause=str(error), hint="pip install tensorboard"
        ) from error
    writers: list[Any] = []

    def write(row: EpochRow) -> None:
        if not writers:
            writers.append(SummaryWriter(str(folder)))
        writer = writers[0]
        for name, value in asdict(row).items():
            if name not in ("epoch", "eta_minutes") and value is not None:
                writer.add_scalar(name, value, row.epoch)
        writer.flush()

    return write

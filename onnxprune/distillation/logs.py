"""What a run tells: a row an epoch, in metrics.csv and for TensorBoard."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from onnxprune.runs.board import board
from onnxprune.runs.folder import write_bytes

METRICS = "metrics.csv"
UNTOLD = ("epoch", "eta_minutes")  # no curve


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
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [field.name for field in fields(EpochRow)])
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    write_bytes(path, text.getvalue().encode())


def tensorboard(folder: Path) -> Callable[[EpochRow], None]:
    """A function that writes each row's figures for TensorBoard; the folder is made with the first.

    Raises:
        RuntimeProblem: E603, the package tensorboard is not installed.
    """
    write = board(folder)

    def write_row(row: EpochRow) -> None:
        figures = {name: value for name, value in asdict(row).items() if name not in UNTOLD}
        write({name: value for name, value in figures.items() if value is not None}, row.epoch)

    return write_row

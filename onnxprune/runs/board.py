"""Figures for TensorBoard, where its package is installed."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from onnxprune.errors import RuntimeProblem

Board = Callable[[Mapping[str, float], int], None]


def board(folder: Path | str) -> Board:
    """A function that writes figures by name and their step; the folder is made with the first.

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

    def write(figures: Mapping[str, float], step: int) -> None:
        if not writers:
            writers.append(SummaryWriter(str(folder)))
        for name, value in figures.items():
            writers[0].add_scalar(name, value, step)
        writers[0].flush()

    return write

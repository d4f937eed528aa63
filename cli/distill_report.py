"""What `onnxprune distill` tells: a line an epoch, a table at the end."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxprune.cli.console import Output
from onnxprune.cli.stop_request import StopRequest
from onnxprune.measurement.accuracy import Measurement

if TYPE_CHECKING:
    from onnxprune.distillation import Distilled, EpochRow, StepRow

FRACTIONS = ("top1", "top5", "agreement")


class EpochTeller:
    """Moves the bar with each step, and says a line after each epoch."""

    def __init__(
        self,
        output: Output,
        epochs: int,
        bar: Callable[[float], None] | None,
        board: Callable[["EpochRow"], None] | None,
        request: StopRequest,
    ) -> None:
        self._output, self._epochs, self._bar, self._board = output, epochs, bar, board
        self._request = request

    def step(self, row: "StepRow") -> None:
        self._request.listening = True
        if self._bar is not None:
            self._bar(row.epoch - 1 + row.done / row.total)

    def epoch(self, row: "EpochRow") -> None:
        self._output.note(epoch_line(row, self._epochs))
        if self._board is not None:
            self._board(row)


def epoch_line(row: "EpochRow", epochs: int) -> str:
    average = "" if row.average_score is None else f", averaged {100 * row.average_score:.2f} %"
    return (
        f"epoch {row.epoch}/{epochs}: loss {row.loss:.4f}, search {100 * row.score:.2f} %{average}, "
        f"best {100 * row.best_score:.2f} %; {row.seconds:.0f} s, {duration(row.eta_minutes)} left"
    )


def duration(minutes: float) -> str:
    return f"{minutes / 60:.1f} h" if minutes >= 90 else f"{minutes:.0f} min"


def print_distilled(
    output: Output, result: "Distilled", measured: Mapping[str, Measurement], file: Path
) -> None:
    """The scores on the search part, and on the test part where it was read."""
    rows = [
        ["teacher", figure(result.metric, result.teacher_score)],
        ["student before", figure(result.metric, result.first_score)],
        ["student", figure(result.metric, result.best_score)],
    ]
    output.table(["model", f"{result.metric} (search)"], rows)
    if measured:
        names = list(next(iter(measured.values())).metrics)
        tested = [[name, *(figure(key, one.metrics[key]) for key in names)] for name, one in measured.items()]
        output.table(["model", *(f"{name} (test)" for name in names)], tested)
    for warning in {w for one in measured.values() for w in one.warnings}:
        output.warn(warning)
    which = "the averaged weights" if result.averaged else "the weights"
    chosen = (
        f"{which} of epoch {result.best_epoch}"
        if result.best_epoch
        else "the student as it came: no epoch was better"
    )
    output.line(f"wrote {file}: {chosen}")


def figure(metric: str, value: float) -> str:
    return f"{100 * value:.2f} %" if metric in FRACTIONS else f"{value:.4g}"


def document(
    models: tuple[Path, Path], result: "Distilled", measured: Mapping[str, Measurement], file: Path
) -> dict[str, Any]:
    """The same for a program."""
    return {
        "original": str(models[0]),
        "student": str(models[1]),
        "output": str(file),
        **{name: value for name, value in asdict(result).items() if name != "path"},
        "test": {name: asdict(one) for name, one in measured.items()},
    }

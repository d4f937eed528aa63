"""The files of a search: what was tried, line by line, and the checkpoint that they are cut back to.

episodes.jsonl   a line for each evaluation, the same however often the search was interrupted
updates.jsonl    a line for each batch: what the agent tells of its learning
curve.csv        a row for each evaluation: accuracy, cost, the best so far, time
pending.jsonl    evaluations of the batch that is not told yet: none is done twice after a crash
checkpoint.npz   the agent, and how long the other files are
tb/              for TensorBoard, where asked for
"""

import csv
import io
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxprune.agents.types import Figures
from onnxprune.errors import UsageError
from onnxprune.onnx_file.saving import disk_errors
from onnxprune.runs.board import board
from onnxprune.search.checkpoint import load_state, save_state
from onnxprune.search.history import Episode, History, Scored

FOLDER = "search"
EPISODES, UPDATES, CURVE, PENDING = "episodes.jsonl", "updates.jsonl", "curve.csv", "pending.jsonl"
KEPT = (EPISODES, UPDATES, CURVE)
CHECKPOINT = "checkpoint.npz"
COLUMNS = (
    *("evaluations", "accuracy", "best", "violation", "macs", "params", "bytes", "rows", "repeated"),
    "seconds",
)


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds beside the files.

    Attributes:
        agent: Its state.
        updates: Batches that it was told.
        elapsed_s: Time spent so far.
        scoring_s: Of it, until scores came back.
    """

    agent: dict[str, Any]
    updates: int
    elapsed_s: float
    scoring_s: float


class Journal:
    """Writes the files of one search."""

    def __init__(self, folder: Path, *, tensorboard: bool = False) -> None:
        self.folder = folder
        self._sums = dict.fromkeys(KEPT, 0)  # CRC-32 of what the kept files hold
        with disk_errors(folder, 0):
            folder.mkdir(exist_ok=True)
        self._board = board(folder / "tb") if tensorboard else None

    def path(self, name: str) -> Path:
        return self.folder / name

    def begin(self) -> None:
        """Empty files, in place; what is pending of a first batch stays."""
        for name in KEPT:
            self._write(name, "", mode="w")
        self._write(CURVE, row_text(COLUMNS))

    def resume(self, history: History) -> Saved | None:
        """Cut the files back to the checkpoint and read the history from them, in place; None before one.

        Raises:
            UsageError: E208, the checkpoint or the files are damaged.
        """
        if not self.path(CHECKPOINT).exists():
            return None
        state = load_state(self.path(CHECKPOINT))
        try:
            sizes = {name: int(state["sizes"][name]) for name in KEPT}
            saved = Saved(**{name: state[name] for name in ("agent", "updates", "elapsed_s", "scoring_s")})
            sums = {name: int(state["sums"][name]) for name in KEPT}
            for name, size in sizes.items():
                cut(self.path(name), size)
                self._sums[name] = sum_of(self.path(name), sums[name])
            with self.path(EPISODES).open(encoding="utf-8") as lines:
                history.add(Episode.from_json(json.loads(line)) for line in lines)
            if len(history) != state["episodes"]:
                raise ValueError(f"{EPISODES} has {len(history)} lines, want {state['episodes']}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(
                "E208", f"{self.folder} is damaged", cause=str(error), hint="start a new run"
            ) from error
        return saved

    def pend(self, masks: str, scored: Scored) -> None:
        """Keep one evaluation until its batch is told."""
        line = {"masks": masks, "accuracy": scored.accuracy, "rows": scored.rows}
        self._write(PENDING, json.dumps(line) + "\n")

    def pending(self) -> dict[str, Scored]:
        """Evaluations of a batch that was not told, by hash; a last line that is not whole is left out."""
        return dict(self._pending()) if self.path(PENDING).is_file() else {}

    def _pending(self) -> Iterator[tuple[str, Scored]]:
        with self.path(PENDING).open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    found = json.loads(line)
                    scored = Scored(float(found["accuracy"]), int(found["rows"]))
                    yield str(found["masks"]), scored
                except (ValueError, KeyError, TypeError):
                    return

    def record(self, episodes: Sequence[Episode], history: History, figures: Figures, seconds: float) -> None:
        """Append a batch that was told; the history has it already."""
        self._write(EPISODES, "".join(json.dumps(e.to_json()) + "\n" for e in episodes))
        rows = curve_rows(episodes, history, seconds)
        self._write(CURVE, "".join(map(row_text, rows)))
        update = {
            "update": episodes[-1].update,
            "evaluations": len(history),
            "best": history.best.accuracy if history.best else None,
            "figures": figures,
        }
        self._write(UPDATES, json.dumps(update) + "\n")
        if self._board is not None:
            best = {} if history.best is None else {"best": history.best.accuracy or 0.0}
            self._board({**figures, **best}, len(history))

    def save(self, saved: Saved, history: History) -> None:
        """The checkpoint; then nothing is pending any more."""
        sizes = {name: self.path(name).stat().st_size for name in KEPT}
        state = {**vars(saved), "episodes": len(history), "sizes": sizes, "sums": self._sums}
        save_state(self.path(CHECKPOINT), state)
        self._write(PENDING, "", mode="w")

    def _write(self, name: str, text: str, *, mode: str = "a") -> None:
        path = self.path(name)
        with disk_errors(path, len(text)), path.open(mode, encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            if name in KEPT:
                self._sums[name] = zlib.crc32(text.encode(), 0 if mode == "w" else self._sums[name])
                # the checkpoint must not be on the disk before them
                os.fsync(file.fileno())


def cut(path: Path, size: int) -> None:
    """Shorten a file, in place.

    Raises:
        ValueError: It is shorter already.
    """
    have = path.stat().st_size
    if have < size:
        raise ValueError(f"{path.name} has {have} bytes, want {size}")
    if have > size:
        os.truncate(path, size)


def sum_of(path: Path, want: int) -> int:
    """CRC-32 of a file.

    Raises:
        ValueError: It is another.
    """
    have = zlib.crc32(path.read_bytes())
    if have != want:
        raise ValueError(f"{path.name} was changed")
    return have


def curve_rows(episodes: Sequence[Episode], history: History, seconds: float) -> Iterator[Sequence[Any]]:
    """Rows of a batch, in the columns' order."""
    before = [e for e in history.episodes[: episodes[0].number - 1] if history.ranked(e)]
    best = max((e.accuracy or 0.0 for e in before), default=None)
    for e in episodes:
        if history.ranked(e) and e.accuracy is not None:
            best = e.accuracy if best is None else max(best, e.accuracy)
        cost = (e.cost.macs, e.cost.params, e.cost.bytes)
        yield (e.number, e.accuracy, best, e.violation, *cost, e.rows, int(e.cached), round(seconds, 3))


def row_text(row: Sequence[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(row)
    return text.getvalue()

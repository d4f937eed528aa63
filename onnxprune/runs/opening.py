"""Runs that are made in a folder, and those that lie there."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from onnxprune.errors import UsageError
from onnxprune.onnx_file.saving import disk_errors
from onnxprune.runs.folder import (
    BLOCK,
    FORMAT,
    RECORD,
    Document,
    RunFolder,
    clear,
    half_written,
    locked,
    read_json,
)
from onnxprune.runs.replaced import ASIDE, put_back, set_aside


def check_new(path: Path | str, command: str, *, force: bool) -> None:
    """Whether a run of a command may begin in a folder.

    Raises:
        UsageError: E203, another run or other files lie there, or it cannot be made.
    """
    path = Path(path)
    mend(path)
    if path.exists() and not path.is_dir():
        raise UsageError("E203", f"{path} is no folder", hint="choose another output")
    parent = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise UsageError(
            "E203", f"{parent} is not a folder that can be written", hint="choose another output"
        )
    if (path / RECORD).exists() and not force:
        raise UsageError(
            "E203",
            f"{path} holds a run",
            hint=f"onnxprune {command_of(path) or command} --resume {path} continues it; --force starts anew",
        )
    if path.exists() and not (path / RECORD).exists() and any(path.iterdir()):
        raise UsageError("E203", f"{path} is not empty, and holds no run", hint="choose another output")


def mend(path: Path) -> None:
    """Put together what was half replaced, or half put back, when a process died, in place."""
    try:
        half = (path / ASIDE).is_dir() and not (path / RECORD).exists()
    except OSError:
        return  # no path at all; who opens it says why
    if half:
        with disk_errors(path, BLOCK), locked(path):
            put_back(path)


def command_of(path: Path) -> str:
    """The command whose run lies in a folder; "" where that cannot be read."""
    try:
        return str(read_json(path / RECORD).get("command", ""))
    except (UsageError, AttributeError):
        return ""


def make_run(path: Path | str, facts: Document, ours: Iterable[str]) -> RunFolder:
    """A new run; files of an earlier one are set aside until `let_go`, others are left alone.

    Args:
        path: The folder.
        facts: For run.json: "command", "options" and "sha256" at least.
        ours: Names of all files and folders that runs of the command write.
    """
    path = Path(path)
    with disk_errors(path, BLOCK):
        path.mkdir(parents=True, exist_ok=True)
    with disk_errors(path, BLOCK), locked(path):
        clear(half_written(path))
        set_aside(path, ours)
        run = RunFolder(path, {"format": FORMAT, "status": "new", **facts, "warnings": [], "boxes": {}})
        run.save()
    return run


def open_run(path: Path | str, command: str) -> RunFolder:
    """A run of a command that is there.

    Raises:
        UsageError: E208, there is none, or it is damaged, of another version or another command.
    """
    path = Path(path)
    mend(path)
    if not (path / RECORD).is_file():
        raise UsageError("E208", f"{path} holds no run", hint="name the folder given with --out")
    record = read_json(path / RECORD)
    if not is_record(record):
        raise UsageError("E208", f"{path / RECORD} is no record of a run", hint="start a new run")
    own = record.get("command", command)
    if own != command:
        raise UsageError(
            "E208", f"{path} holds a run of {own}", hint=f"onnxprune {own} --resume {path} continues it"
        )
    return RunFolder(path, record)


def is_record(record: Any) -> bool:
    """Whether run.json is what this version wrote."""
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        return False
    if not all(isinstance(record.get(name), list) for name in ("warnings", "argv")):
        return False
    if not isinstance(record.get("status"), str):
        return False
    if not all(isinstance(record.get(name), dict) for name in ("boxes", "options", "sha256")):
        return False
    return all(isinstance(box, dict) for box in record["boxes"].values())

"""The folder of a run: run.json says what was asked for, so that --resume needs nothing else."""

import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onnxprune.cli.json_document import plain
from onnxprune.errors import UsageError
from onnxprune.onnx_file.saving import check_output, disk_errors
from onnxprune.runs.folder import now, write_text
from onnxprune.runs.versions import versions

NAME = "run.json"


def check_new(folder: Path, results: Sequence[str], *, force: bool) -> None:
    """Raises: UsageError: E203, results of a run lie there already, or the folder cannot be made."""
    if folder.exists() and not folder.is_dir():
        raise UsageError("E203", f"{folder} is no folder", hint="choose another output")
    if any((folder / name).exists() for name in results) and not force:
        raise UsageError(
            "E203",
            f"{folder} holds a run",
            hint=f"--resume {folder} continues it; --force starts anew",
        )
    if not folder.exists():
        check_output(folder, force)


def start(folder: Path, command: str, argv: Sequence[str], **facts: Any) -> None:
    """Make the folder and write its run.json."""
    with disk_errors(folder, 1 << 20):
        folder.mkdir(exist_ok=True)
    document = {
        "schema": 1,
        "command": command,
        "status": "running",
        "argv": list(argv),
        "folder": str(Path.cwd()),
        "started": now(),
        "versions": versions(),
        "processor": platform.processor() or platform.machine(),
        **facts,
    }
    write(folder, document)


def forget(folder: Path) -> None:
    """Remove run.json, and the folder if it is empty: nothing came of the run."""
    (folder / NAME).unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def update(folder: Path, **facts: Any) -> None:
    """Add facts, such as status="done", and the time."""
    write(folder, {**read(folder), **facts, "updated": now()})


def read(folder: Path) -> dict[str, Any]:
    """What run.json says.

    Raises:
        UsageError: E208, there is none, or it cannot be read.
    """
    path = folder / NAME
    try:
        document: dict[str, Any] = json.loads(path.read_text("utf-8"))
        if not isinstance(document["argv"], list):
            raise TypeError("argv is no list")
    except (OSError, ValueError, KeyError, TypeError) as error:
        cause = "it does not exist" if isinstance(error, FileNotFoundError) else str(error)
        raise UsageError(
            "E208", f"{path} is no run to resume", cause=cause, hint="name the folder given with --out"
        ) from error
    return document


def write(folder: Path, document: dict[str, Any]) -> None:
    write_text(folder / NAME, json.dumps(plain(document), indent=2) + "\n")

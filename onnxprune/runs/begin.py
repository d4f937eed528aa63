"""How a run begins: where what it reads lies, and what is recorded at once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxprune.errors import UsageError
from onnxprune.runs.folder import Document, now
from onnxprune.runs.versions import versions


def whole_path(spec: str) -> str:
    """What samples are named by, from any folder; a function keeps its name."""
    return str(Path(spec).absolute()) if Path(spec).exists() else spec


def require_apart(specs: Iterable[str | None], folder: Path, ours: Iterable[str]) -> None:
    """Whether what a run reads lies where it will not be overwritten.

    Args:
        specs: What it reads.
        folder: Of the run.
        ours: Names of all files and folders that it may write there.

    Raises:
        UsageError: E203, one is a file of a run in the same folder.
    """
    written = [(folder / name).resolve() for name in ours]
    for spec in specs:
        path = None if spec is None else Path(spec).resolve()
        if path is not None and any(path == own or own in path.parents for own in written):
            raise UsageError(
                "E203", f"{spec} is a file of the run in {folder}, which --force removes", hint="another -o"
            )


@dataclass(frozen=True)
class Asked:
    """What a run is to do.

    Attributes:
        command: Of the run.
        argv: Words of the command line.
        seed: Of every random choice.
        sha256: Of what it reads.
        options: As its schema records them.
    """

    command: str
    argv: Sequence[str]
    seed: int
    sha256: Document
    options: Document


def first_record(asked: Asked, processor: Any) -> Document:
    """What run.json says of a run that begins on this machine."""
    return {
        "command": asked.command,
        "argv": list(asked.argv),
        "started": now(),
        "ended": None,
        "versions": versions(),
        "processor": processor,
        "seed": asked.seed,
        "sha256": asked.sha256,
        "options": asked.options,
    }

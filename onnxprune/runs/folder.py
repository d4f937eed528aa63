"""The folder of a run: run.json with the state of each box, so that a run goes on where it stopped.

A box is finished when run.json says so, the files that it wrote are still what it wrote, and the files that
it read are still what it read. Every file is written under another name and renamed, run.json last.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from onnxprune.errors import UsageError
from onnxprune.onnx_file.saving import disk_errors, flush_folder

if sys.platform != "win32":
    import fcntl

RECORD = "run.json"
CONFIG = "config.toml"
LOG = "log.txt"
FORMAT = 1
BLOCK = 1 << 20
Document = dict[str, Any]


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def file_hash(path: Path) -> str:
    """sha256 of a file, hexadecimal."""
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def path_hash(path: Path) -> str:
    """sha256 of a file, or of all files below a folder with their names."""
    if path.is_file():
        return file_hash(path)
    digest = sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()}\0{file_hash(file)}\0".encode())
    return digest.hexdigest()


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """A document, as `write_text` writes."""
    write_text(path, json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """A text file in UTF-8, as `write_bytes` writes."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """A file, atomically: on the disk when this returns; whatever interrupts it leaves the one before.

    Raises:
        RuntimeProblem: E605, the disk is full.
        UsageError: E203, it cannot be written there.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with disk_errors(path, len(content)):
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            flush_folder(path.parent)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def read_json(path: Path) -> Document:
    """What `write_json` wrote.

    Raises:
        UsageError: E208, it is missing or damaged.
    """
    try:
        document: Document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        cause = "it does not exist" if isinstance(error, FileNotFoundError) else str(error)
        raise UsageError("E208", f"{path} cannot be read", cause=cause, hint="start a new run") from error
    return document


@dataclass
class RunFolder:
    """A run on the disk.

    Attributes:
        path: The folder.
        record: What run.json holds; every change is written at once.
        seen: sha256 of files that did not change since, by name, with size and time of change.
    """

    path: Path
    record: Document
    seen: dict[str, tuple[tuple[int, int], str]] = field(default_factory=dict)

    def save(self) -> None:
        write_json(self.path / RECORD, self.record)

    def update(self, **facts: Any) -> None:
        """Add facts to run.json, in place."""
        self.record.update(facts)
        self.save()

    def box(self, name: str) -> Document:
        """What is recorded of a box; {} before it ran."""
        found: Document = self.record["boxes"].get(name, {})
        return found

    def set_box(self, name: str, **facts: Any) -> None:
        """Record a box, in place."""
        self.record["boxes"][name] = facts
        self.save()

    def hash_of(self, name: str) -> str:
        """sha256 of a file or folder in the run; "" where it is missing."""
        path = self.path / name
        if not path.exists():
            return ""
        stat = path.stat()
        stamp = (stat.st_size, stat.st_mtime_ns)
        if self.seen.get(name, (None, ""))[0] != stamp or path.is_dir():
            self.seen[name] = (stamp, path_hash(path))
        return self.seen[name][1]

    def hashes(self, names: Iterable[str]) -> dict[str, str]:
        return {name: self.hash_of(name) for name in names}

    def finished(self, name: str, reads: Iterable[str]) -> bool:
        """Whether a box need not run again."""
        box = self.box(name)
        if box.get("state") not in ("done", "skipped"):
            return False
        written = box.get("outputs")
        return isinstance(written, dict) and (
            self.hashes(written) == written and self.hashes(reads) == box.get("reads")
        )

    def log(self, text: str) -> None:
        """A line in log.txt."""
        with disk_errors(self.path / LOG, len(text)), (self.path / LOG).open("a", encoding="utf-8") as file:
            file.write(f"{now()}  {text}\n")

    def warn(self, text: str) -> None:
        """Record a warning, once, in place."""
        if text not in self.record["warnings"]:
            self.record["warnings"].append(text)
            self.save()


@contextmanager
def locked(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Keeps other processes out of a folder, until this one ends in whatever way; not on Windows.

    Args:
        path: The folder.
        wait: For the end of another process that works there; else that is an error.

    Raises:
        UsageError: E208, another process works there.
    """
    if sys.platform == "win32":
        yield
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError("E208", f"another process works in {path}", hint="wait for its end") from error
        yield
    finally:
        os.close(descriptor)


def half_written(path: Path) -> list[Path]:
    return [*path.glob(".onnxprune-*"), *path.glob(".*.part")]


def clear(entries: Iterable[Path]) -> None:
    """Remove files and folders of a run, in place; links are removed, never followed."""
    for entry in entries:
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)

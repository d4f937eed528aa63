"""The checkpoint of a run: all that continuing needs, in one file that is whole or the one before."""

import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from onnxprune.distillation.data import Rows
from onnxprune.distillation.options import FREE_ON_RESUME, DistillOptions, option_of
from onnxprune.errors import UsageError
from onnxprune.onnx_file import Graph
from onnxprune.onnx_file.tensors import is_external
from onnxprune.runs.folder import write_bytes

NAME = "checkpoint.pt"
FORMAT = 1
HASHED = 4096


@dataclass(frozen=True)
class Identity:
    """What a run was started for; another one may not continue it.

    Attributes:
        teacher, student: sha256 of the models.
        fit_rows, search_rows: Of the data.
        options: Those that decide the weights.
        data: sha256 of the rows; "" in checkpoints of older versions.
    """

    teacher: str
    student: str
    fit_rows: int
    search_rows: int
    options: dict[str, Any]
    data: str = ""


def options_of(options: DistillOptions) -> dict[str, Any]:
    """The fields that decide the weights."""
    return {name: value for name, value in asdict(options).items() if name not in FREE_ON_RESUME}


def graph_hash(graph: Graph) -> str:
    """sha256 of the model's file and of what it keeps outside."""
    digest = hashlib.sha256()
    with graph.path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    for initializer in graph.initializers.values():
        if is_external(initializer.proto):
            digest.update(np.ascontiguousarray(initializer.array()).tobytes())
    return digest.hexdigest()


def rows_hash(parts: Sequence[Rows]) -> str:
    """sha256 of all labels, and of at most HASHED evenly spaced rows of each part."""
    digest = hashlib.sha256()
    for rows in parts:
        every = slice(None, None, -(-len(rows) // HASHED))
        values = (*(value[every] for value in rows.inputs), *(() if rows.labels is None else (rows.labels,)))
        for value in values:
            digest.update(value.contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write the checkpoint; whatever interrupts it leaves the previous one.

    Raises:
        RuntimeProblem: E605, the disk is full.
    """
    memory = io.BytesIO()
    torch.save(state, memory)
    write_bytes(path, memory.getbuffer())


def load_checkpoint(path: Path, identity: Identity, device: torch.device) -> dict[str, Any]:
    """The state that `save_checkpoint` wrote; nothing in the file can run code.

    Raises:
        UsageError: E208, it cannot be read, or was made for other models, data or options.
    """
    try:
        require_whole(path)
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location=device)
        format_, made_for = state["format"], Identity(**state["identity"])
    except Exception as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(
            "E208",
            f"{path} is no checkpoint that can be read",
            cause=first,
            hint="choose another run directory",
        ) from error
    if format_ != FORMAT:
        raise UsageError("E208", f"{path} has format {format_}, this version reads {FORMAT}")
    difference = first_difference(made_for, identity)
    if difference:
        raise UsageError(
            "E208",
            f"{path.parent} was made for {difference}",
            hint="give the same models, data and options, or choose another run directory",
        )
    return state


def require_whole(path: Path) -> None:
    """Raises: ValueError: a part of the file has another checksum than when it was written."""
    with zipfile.ZipFile(path) as file:
        damaged = file.testzip()
    if damaged:
        raise ValueError(f"{damaged} in it is damaged")


def first_difference(old: Identity, new: Identity) -> str:
    """What differs first, as "another student: sha256 3f9c..., got 77ab..."; "" where nothing does."""
    for name in ("teacher", "student"):
        was, now = getattr(old, name), getattr(new, name)
        if was != now:
            return f"another {name}: sha256 {was[:8]}..., got {now[:8]}..."
    for name in ("fit_rows", "search_rows"):
        was, now = getattr(old, name), getattr(new, name)
        if was != now:
            return f"other data: {was} {name.replace('_', ' ')}, got {now}"
    if old.data and new.data and old.data != new.data:
        return f"other data: sha256 {old.data[:8]}..., got {new.data[:8]}..."
    names = sorted(old.options.keys() & new.options.keys())  # an older version knew fewer
    changed = [name for name in names if plain(old.options[name]) != plain(new.options[name])]
    if not changed:
        return ""
    name = changed[0]
    return f"another {option_of(name)}: {plain(old.options[name])}, got {plain(new.options[name])}"


def plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value

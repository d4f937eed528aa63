"""Sums and reward rows on disk: gathered once, read by every worker and by a run that is resumed.

Uncompressed .npz files, whose arrays are mapped into memory: workers on one machine share them.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO, Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from onnxprune.calibration.feeds import Feed
from onnxprune.data import Batch
from onnxprune.errors import DataError, RuntimeProblem
from onnxprune.evaluation.grams import DEFAULT, GramOptions, Grams, Sums, gather_from, inputs_of
from onnxprune.groups import Groups
from onnxprune.onnx_file.saving import disk_errors
from onnxprune.runs.folder import locked
from onnxprune.runs.identity import model_hash

Array = NDArray[Any]
FORMAT = 1
LOCAL_HEADER = 30  # bytes of a zip entry's header before its name and extra field
UNREADABLE = (OSError, ValueError, KeyError, BadZipFile)


def gram_file(groups: Groups, feeds: Iterable[Feed], folder: Path, *, options: GramOptions = DEFAULT) -> Path:
    """A file with the sums that `gather` gives: one that is there already for this model and these inputs.

    Args:
        groups: Of the original.
        feeds: Calibration inputs; read in any case, to know whether they are the same.
        folder: Where such files lie.
        options: As for `gather`.

    Raises:
        DataError, ModelError: As `gather`.
        RuntimeProblem: E605, the disk is full.
    """
    inputs = inputs_of(groups, feeds)
    path = folder / f"grams-{key_of(groups, inputs, options)[:16]}.npz"
    with one_at_a_time(folder):
        if not is_whole(path):
            write_grams(path, gather_from(groups, inputs, options))
    return path


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Lets one process after the other look for files in a folder, and make those that are missing.

    Raises:
        RuntimeProblem: E605, the disk is full.
        UsageError: E203, the folder cannot be made.
    """
    with disk_errors(folder, 0):
        folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, wait=True):
        yield


def is_whole(path: Path) -> bool:
    try:
        load_grams(path)
    except UNREADABLE:
        return False
    return True


def key_of(groups: Groups, inputs: Iterable[Feed], asked: object) -> str:
    """sha256 of all that is computed from: the model, which groups may go, the inputs, what is asked."""
    free = [group.name for group in groups.prunable]
    digest = sha256(f"{FORMAT} {model_hash(groups.graph)} {free} {asked}".encode())
    rows: dict[str, Any] = {}  # of each input, however they are divided
    for feed in inputs:
        for name, array in feed.items():
            own = rows.setdefault(name, sha256(f"{array.dtype} {array.shape[1:]}".encode()))
            own.update(contents(array))
    for name in sorted(rows):
        digest.update(f" {name} {rows[name].hexdigest()}".encode())
    return digest.hexdigest()


def contents(array: Array) -> bytes | memoryview:
    if array.dtype.kind in "OUS":
        return "\0".join(map(str, array.reshape(-1).tolist())).encode()
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def write_grams(path: Path, grams: Grams) -> None:
    """Write sums, atomically.

    Raises:
        RuntimeProblem: E605, the disk is full.
    """
    arrays = {f"{node}/mean": sums.mean for node, sums in grams.items()}
    arrays |= {f"{node}/square": sums.square for node, sums in grams.items() if sums.square is not None}
    write_arrays(path, arrays)


def load_grams(path: Path) -> dict[int, Sums]:
    """What `write_grams` wrote, mapped into memory.

    Raises:
        OSError, ValueError, KeyError, BadZipFile: It is none, or damaged.
    """
    arrays = mapped(path)
    nodes = {int(name.partition("/")[0]) for name in arrays}
    return {node: Sums(arrays[f"{node}/mean"], arrays.get(f"{node}/square")) for node in sorted(nodes)}


def reward_file(batches: Sequence[Batch], folder: Path) -> Path:
    """A file with reward rows, named for what it holds.

    Raises:
        RuntimeProblem: E605, the disk is full.
    """
    arrays: dict[str, Array] = {}
    for number, batch in enumerate(batches):
        arrays |= {f"{number}/inputs/{name}": array for name, array in batch.inputs.items()}
        if batch.labels is not None:
            arrays[f"{number}/labels"] = batch.labels
    digest = sha256()
    for name, array in arrays.items():
        digest.update(f"{name} {array.dtype} {array.shape} ".encode())
        digest.update(contents(array))
    path = folder / f"rewards-{digest.hexdigest()[:16]}.npz"
    if not path.exists():
        write_arrays(path, arrays)
    return path


def load_rewards(path: Path) -> list[Batch]:
    """What `reward_file` wrote.

    Raises:
        DataError: E501, it is none, or damaged.
    """
    try:
        arrays = mapped(path)
        inputs: dict[int, dict[str, Array]] = {}
        labels: dict[int, Array] = {}
        for name, array in arrays.items():
            number, kind, *rest = name.split("/", 2)
            if kind == "inputs":
                inputs.setdefault(int(number), {})[rest[0]] = array
            else:
                labels[int(number)] = array
    except UNREADABLE as error:
        raise DataError("E501", f"reward rows {str(path)!r} cannot be read", cause=str(error)) from error
    return [Batch(inputs[number], labels.get(number)) for number in sorted(inputs)]


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise RuntimeProblem(
            "E605",
            f"{path} cannot be written",
            cause=str(error),
            hint="free some space, or choose another -o",
        ) from error


def mapped(path: Path) -> dict[str, Array]:
    """The arrays of an uncompressed .npz file by name, mapped into memory.

    Raises:
        OSError, ValueError, BadZipFile: It is none, or damaged.
    """
    with path.open("rb") as file, ZipFile(file) as archive:
        size = path.stat().st_size
        return {
            entry.filename.removesuffix(".npy"): map_entry(path, file, entry, size)
            for entry in archive.infolist()
        }


def map_entry(path: Path, file: IO[bytes], entry: ZipInfo, size: int) -> Array:
    if entry.compress_type != ZIP_STORED:
        raise ValueError(f"{entry.filename} is compressed")
    file.seek(entry.header_offset)
    header = file.read(LOCAL_HEADER)
    file.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"), os.SEEK_CUR)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(file)
    if version not in read:
        raise ValueError(f"{entry.filename}: format {version} is not known")
    shape, fortran, dtype = read[version](file)
    if dtype.hasobject:
        raise ValueError(f"{entry.filename} holds objects")
    start, count = file.tell(), int(np.prod(shape)) * dtype.itemsize
    if start + count > size:
        raise ValueError(f"{entry.filename} is cut off")
    if not count:
        return np.empty(shape, dtype)
    return np.memmap(path, dtype, "r", start, shape, "F" if fortran else "C")

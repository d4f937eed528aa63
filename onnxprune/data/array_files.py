"""Arrays in .npy and .npz files, mapped into memory where the file allows it. Pickles are refused."""

import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from onnxprune.data.samples import Array
from onnxprune.errors import DataError

LOCAL_HEADER = struct.Struct("<26xHH")  # of a zip member: the lengths of its name and extra field
LOCAL_MAGIC = b"PK\x03\x04"
UNREADABLE = (OSError, ValueError, EOFError, KeyError, NotImplementedError, RuntimeError, MemoryError,
              SyntaxError, zipfile.BadZipFile, zlib.error, struct.error)  # fmt: skip


def open_npy(path: Path) -> Array:
    """The array of a .npy file; its bytes are read when they are used.

    Raises:
        DataError: E501, not a .npy file, truncated, or of objects (which would need pickle).
    """
    try:
        with path.open("rb") as file:
            return _map(path, file)
    except UNREADABLE as error:
        raise unreadable(path, error) from error


class ArrayFile(Mapping[str, Array]):
    """The arrays of an .npz file by name, opened at the first use of each.

    A stored member is mapped at its place in the file; a compressed one is read whole, once.

    Raises:
        DataError: E501, not an .npz file, damaged, or with arrays of objects.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open: dict[str, Array] = {}
        try:
            with zipfile.ZipFile(path) as archive:
                members = archive.infolist()
        except UNREADABLE as error:
            raise unreadable(path, error) from error
        self._members = {
            member.filename.removesuffix(".npy"): member
            for member in members
            if member.filename.endswith(".npy")
        }
        if not self._members:
            raise DataError("E501", f"{path} holds no arrays", hint="write it with numpy.savez")

    def __getitem__(self, name: str) -> Array:
        member = self._members[name]
        if name not in self._open:
            try:
                self._open[name] = self._read(member)
            except UNREADABLE as error:
                raise unreadable(self.path, error, member=name) from error
        return self._open[name]

    def __iter__(self) -> Any:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def _read(self, member: zipfile.ZipInfo) -> Array:
        encrypted = bool(member.flag_bits & 0x1)
        if member.compress_type == zipfile.ZIP_STORED and not encrypted:
            with self.path.open("rb") as file:
                return _map(self.path, _at_content(file, member))
        with zipfile.ZipFile(self.path) as archive, archive.open(member) as content:
            array: Array = np.lib.format.read_array(content, allow_pickle=False)
            return array


def unreadable(path: Path, error: BaseException, *, member: str = "") -> DataError:
    """E501 for whatever reading `path` raised."""
    where = f"{path}, array {member}" if member else str(path)
    if "pickle" in str(error):
        return DataError(
            "E501",
            f"{where}: object arrays need pickle, refused",
            hint="save plain arrays: numbers of one shape, not lists of different lengths",
        )
    return DataError("E501", f"{where} cannot be read", cause=str(error) or type(error).__name__)


def _at_content(file: IO[bytes], member: zipfile.ZipInfo) -> IO[bytes]:
    """The file, moved to where the content of a stored member begins."""
    file.seek(member.header_offset)
    header = file.read(LOCAL_HEADER.size)
    if not header.startswith(LOCAL_MAGIC):
        raise zipfile.BadZipFile("the archive's index does not fit its content")
    file.seek(sum(LOCAL_HEADER.unpack(header)), 1)
    return file


def _map(path: Path, file: IO[bytes]) -> Array:
    """The array whose header begins at the file's position."""
    version = np.lib.format.read_magic(file)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read_header is None:
        raise ValueError(f"npy format {version[0]}.{version[1]} is not known")
    shape, fortran, dtype = read_header(file)
    if dtype.hasobject:
        raise ValueError("pickle")
    if 0 in shape:
        return np.empty(shape, dtype)  # nothing to map
    order: Any = "F" if fortran else "C"
    return np.memmap(path, dtype, "r", file.tell(), shape, order)

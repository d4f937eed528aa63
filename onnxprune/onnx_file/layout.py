"""Where the weights of a model go that is written with external data, and where their bytes come from.

One weights file stays one, `<model>.data`; several (one for each tensor, or shards) stay several, under their
old names in the folder `<model>.data/`, where they can meet no file of another model.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PureWindowsPath
from typing import BinaryIO

from onnx import ModelProto, TensorProto, numpy_helper

from onnxprune.errors import ModelError
from onnxprune.onnx_file.external import Reference, data_file, reference_of, stays_inside
from onnxprune.onnx_file.serializing import assign, has_unknown_fields
from onnxprune.onnx_file.tensors import byte_size, is_external, tensors

CHUNK_BYTES = 8 << 20
MAPPED_BYTES = 1 << 20
MAPPED_ALIGNMENT = 64 << 10  # runtimes map large tensors into memory; Windows does so in steps of 64 KiB
ALIGNMENT = 64
VALUE_FIELDS = (
    "float_data",
    "int32_data",
    "string_data",
    "int64_data",
    "double_data",
    "uint64_data",
    "raw_data",
)


@dataclass(frozen=True)
class Segment:
    """Bytes of one tensor in a new weights file, and their origin.

    Attributes:
        place: Where they go; the location is relative to the new model.
        tensor: Holds the values, where `file` is None.
        file: The old weights file, where the values were never loaded.
        start: Where in that, in bytes.
    """

    place: Reference
    tensor: TensorProto
    file: Path | None = None
    start: int = 0

    def pieces(self) -> Iterator[bytes]:
        """The bytes, a few MiB at a time where they come from a file.

        Raises:
            ModelError: E306, the old weights file became shorter.
        """
        if self.file is None:
            yield raw_bytes(self.tensor)
            return
        left = self.place.length
        with self.file.open("rb") as file:
            file.seek(self.start)
            while left:
                piece = file.read(min(CHUNK_BYTES, left))
                if not piece:
                    raise ModelError("E306", f"weights file '{self.file}' became shorter while it was read")
                left -= len(piece)
                yield piece


@dataclass(frozen=True)
class Layout:
    """A model without the values that go elsewhere, and these."""

    model: ModelProto
    segments: tuple[Segment, ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes of the weights files, gaps left out."""
        return sum(segment.place.length for segment in self.segments)


def plan_layout(model: ModelProto, name: str, source: Path | None, homes: Mapping[str, str]) -> Layout:
    """Decide where each tensor's values go when `model` is written under the file name `name`.

    Args:
        model: Not changed. Its external references are those of `source`.
        name: File name of the new model.
        source: The model file beside which the old weights files lie.
        homes: Tensors to write into weights files though their values are inside: name -> old weights file,
            "" where there was none.

    Raises:
        ModelError: E306, an old weights file is not what the model says.
    """

    def leaves(tensor: TensorProto) -> bool:
        return is_external(tensor) or (tensor.name in homes and bool(byte_size(tensor)))

    moved = [tensor for tensor in tensors(model) if leaves(tensor)]
    if not moved:
        return Layout(model)
    folder = f"{source.name}.data/" if source is not None else ""
    old = [old_location(tensor, homes).removeprefix(folder) for tensor in moved]
    several = len({*old, *(normal(home).removeprefix(folder) for home in homes.values())} - {""}) > 1
    places = Places(f"{name}.data", several=several)
    segments = [places.segment(t, location, source) for t, location in zip(moved, old, strict=True)]
    lean = lean_copy(model, leaves)
    left = [copy for t, copy in zip(tensors(model), tensors(lean), strict=True) if leaves(t)]
    for tensor, segment in zip(left, segments, strict=True):
        refer(tensor, segment)
    return Layout(lean, tuple(places.taken.values()))


def old_location(tensor: TensorProto, homes: Mapping[str, str]) -> str:
    if is_external(tensor):
        return normal(reference_of(tensor).location)
    home = homes[tensor.name]
    return normal(home) if stays_inside(home) else ""


def normal(location: str) -> str:
    """A location with one spelling, on every system; "" stays."""
    return PureWindowsPath(location).as_posix() if location else ""


class Places:
    """Hands out places in weights files one after the other.

    Tensors that share their bytes in an old file share them in the new one.
    """

    def __init__(self, base: str, *, several: bool) -> None:
        self.base = base
        self.several = several
        self.ends: dict[str, int] = {}
        self.taken: dict[tuple[object, ...], Segment] = {}

    def segment(self, tensor: TensorProto, old: str, source: Path | None) -> Segment:
        """Where the values of a tensor go, and where they come from."""
        if not is_external(tensor):
            segment = Segment(self.place(old or file_name(tensor), len(raw_bytes(tensor))), tensor)
            return self.taken.setdefault((len(self.taken),), segment)
        if source is None:
            raise ModelError("E306", f"tensor {tensor.name!r} lies in a weights file of an unknown model")
        reference = reference_of(tensor)
        key = (reference.location, reference.offset, reference.length)
        if key not in self.taken:
            file = data_file(source, reference.location)
            place = self.place(old, reference.length)
            self.taken[key] = Segment(place, tensor, file, reference.offset)
        return self.taken[key]

    def place(self, old: str, length: int) -> Reference:
        location = f"{self.base}/{old}" if self.several else self.base
        alignment = MAPPED_ALIGNMENT if length >= MAPPED_BYTES else ALIGNMENT
        offset = -(-self.ends.get(location, 0) // alignment) * alignment
        self.ends[location] = offset + length
        return Reference(location, offset, length)


def file_name(tensor: TensorProto) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", tensor.name)


def raw_bytes(tensor: TensorProto) -> bytes:
    """The values of a tensor as ONNX stores them raw, whichever field they lie in."""
    if tensor.HasField("raw_data"):
        return bytes(tensor.raw_data)
    return bytes(numpy_helper.from_array(numpy_helper.to_array(tensor)).raw_data)


def refer(tensor: TensorProto, segment: Segment) -> None:
    """Replace the values of a tensor, or its old reference, by a new reference, in place.

    Further entries of the old reference, such as a checksum, stay where the bytes stay the same.
    """
    kept = [(e.key, e.value) for e in tensor.external_data if e.key not in ("location", "offset", "length")]
    for name in (*VALUE_FIELDS, "external_data"):
        tensor.ClearField(name)
    tensor.data_location = TensorProto.EXTERNAL
    place = segment.place
    entries = [("location", place.location), ("offset", str(place.offset)), ("length", str(place.length))]
    for key, value in entries + (kept if segment.file is not None else []):
        tensor.external_data.add(key=key, value=value)


def lean_copy(model: ModelProto, leaves: Callable[[TensorProto], bool]) -> ModelProto:
    """A copy of a model for which the values of the initializers that leave were never copied."""
    copy = ModelProto()
    if has_unknown_fields(model):
        copy.CopyFrom(model)
        return copy
    for descriptor, value in model.ListFields():
        if descriptor.name != "graph":
            assign(copy, descriptor.name, value)
    for descriptor, value in model.graph.ListFields():
        if descriptor.name != "initializer":
            assign(copy.graph, descriptor.name, value)
    for tensor in model.graph.initializer:
        if leaves(tensor):
            copy_description(tensor, copy.graph.initializer.add())
        else:
            copy.graph.initializer.add().CopyFrom(tensor)
    return copy


def copy_description(tensor: TensorProto, copy: TensorProto) -> None:
    """Copy all but the values of a tensor, in place."""
    for descriptor, value in tensor.ListFields():
        if descriptor.name not in VALUE_FIELDS:
            assign(copy, descriptor.name, value)


def write_segments(segments: Iterable[Segment], folder: Path) -> None:
    """Write the new weights files below a folder, one after the other, through to the disk."""
    by_file = sorted(segments, key=lambda segment: (segment.place.location, segment.place.offset))
    for location, group in groupby(by_file, key=lambda segment: segment.place.location):
        path = folder / location
        path.parent.mkdir(exist_ok=True, parents=True)
        with path.open("wb") as file:
            for segment in group:
                file.seek(segment.place.offset)
                file.writelines(segment.pieces())
            flush(file)


def flush(file: BinaryIO) -> None:
    """Wait until a file that was written is on the disk."""
    file.flush()
    os.fsync(file.fileno())

"""The wire format of protobuf, read field by field: a model is never twice in memory.

`ModelProto.FromString(file.read())` holds a model twice, and says no more of a damaged file than that it is
damaged. A message is the sum of its fields, so a file can be merged into a model in runs of a few MiB, and
where a field does not fit, its place and name are known.
The format: protobuf.dev/programming-guides/encoding.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from google.protobuf.message import DecodeError, Message
from onnx import ModelProto

RUN_BYTES = 4 << 20
WINDOW_BYTES = 64 << 10
LONGEST_VARINT = 10
GRAPH = ModelProto.DESCRIPTOR.fields_by_name["graph"].number
VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5
WIRE_TYPES = {1: FIXED64, 2: FIXED32, 6: FIXED64, 7: FIXED32, 9: DELIMITED, 11: DELIMITED, 12: DELIMITED}


@dataclass(frozen=True)
class Field:
    """Bytes [start, end) of a file; the value itself begins at `body`."""

    number: int
    wire_type: int
    start: int
    body: int
    end: int


class WireError(Exception):
    """The bytes are no message.

    Args:
        offset: Where in the file the field begins that cannot be read.
        reason: What is wrong with it.
        field: That field, where its beginning is readable.
        cut: It reaches beyond the end of what encloses it.
    """

    def __init__(self, offset: int, reason: str, *, field: Field | None = None, cut: bool = False) -> None:
        super().__init__(f"byte {offset}: {reason}")
        self.offset = offset
        self.reason = reason
        self.field = field
        self.cut = cut


class Window:
    """The bytes of an open file by position, held 64 KiB at a time."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.start = 0
        self.data = b""

    def at(self, position: int, count: int) -> bytes:
        """Up to `count` bytes from `position`; fewer at the end of the file."""
        begin = position - self.start
        if begin < 0 or begin + count > len(self.data):
            self.start, begin = position, 0
            self.data = self.read(position, WINDOW_BYTES)
        return self.data[begin : begin + count]

    def read(self, position: int, count: int) -> bytes:
        self.file.seek(position)
        return self.file.read(count)


def varint(window: Window, position: int, end: int) -> tuple[int, int]:
    """The number at `position`, and the position after it."""
    value = 0
    data = window.at(position, min(LONGEST_VARINT, end - position))
    for i, byte in enumerate(data):
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return value, position + i + 1
    if len(data) == LONGEST_VARINT:
        raise WireError(position, "a number without an end")
    raise WireError(position, "a number that is cut off", cut=True)


def fields(window: Window, start: int, end: int) -> Iterator[Field]:
    """The fields of the message that lies in bytes [start, end) of the file.

    Raises:
        WireError: The bytes there are no field, or the last field does not end at `end`.
    """
    position = start
    while position < end:
        tag, body = varint(window, position, end)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == VARINT:
            _, stop = varint(window, body, end)
        elif wire_type == DELIMITED:
            length, body = varint(window, body, end)
            stop = body + length
        elif wire_type in (FIXED64, FIXED32):
            stop = body + (8 if wire_type == FIXED64 else 4)
        else:
            raise WireError(position, f"wire type {wire_type}, which ONNX does not use")
        field = Field(number, wire_type, position, body, stop)
        if number == 0:
            raise WireError(position, "field number 0, which does not exist")
        if stop > end:
            raise WireError(position, "a field that reaches beyond the end", field=field, cut=True)
        yield field
        position = stop


def parse_model(file: BinaryIO, size: int) -> ModelProto:
    """The model in an open file of `size` bytes; the peak of memory is near one times the file.

    Raises:
        WireError: The file is no ModelProto.
    """
    model = ModelProto()
    window = Window(file)
    for field in fields(window, 0, size):
        require_wire_type(field)
        if field.number == GRAPH:
            merge_graph(model, window, field)
        else:
            merge(model, window, field.start, field.end)
    return model


def merge_graph(model: ModelProto, window: Window, graph: Field) -> None:
    """Add the graph in a file to a model, in place and in runs."""
    model.graph.SetInParent()
    try:
        for start, end in runs(fields(window, graph.body, graph.end)):
            merge(model.graph, window, start, end)
    except WireError as error:  # the graph itself is whole, so the file is damaged and not cut
        raise WireError(error.offset, f"in the graph, {error.reason}") from error


def require_wire_type(field: Field) -> None:
    """Protobuf would keep such a field as an unknown one, and a model would miss its graph without a word."""
    known = ModelProto.DESCRIPTOR.fields_by_number.get(field.number)
    if known is not None and WIRE_TYPES.get(known.type, VARINT) != field.wire_type:
        raise WireError(field.start, f"{known.name!r} has wire type {field.wire_type}")


def runs(found: Iterator[Field]) -> Iterator[tuple[int, int]]:
    """Consecutive fields as [start, end), a few MiB each where the fields are small."""
    start = end = -1
    for field in found:
        if start < 0:
            start = field.start
        end = field.end
        if end - start >= RUN_BYTES:
            yield start, end
            start = -1
    if start >= 0:
        yield start, end


def merge(message: Message, window: Window, start: int, end: int) -> None:
    """Add the fields in bytes [start, end) to a message, in place.

    Raises:
        WireError: They cannot be decoded.
        MemoryError: There is no room for them.
    """
    try:
        message.MergeFromString(window.read(start, end - start))
    except DecodeError as error:
        if "alloc" in str(error):  # protobuf's name for it
            raise MemoryError(str(error)) from error
        raise first_unreadable(type(message), window, start, end) from error


def first_unreadable(kind: type[Message], window: Window, start: int, end: int) -> WireError:
    for field in fields(window, start, end):
        try:
            kind().MergeFromString(window.read(field.start, field.end - field.start))
        except DecodeError:
            name = field_name(kind.DESCRIPTOR, field)
            return WireError(field.start, f"{name!r} cannot be decoded", field=field)
    return WireError(start, "bytes that cannot be decoded")


def field_name(descriptor: Any, field: Field) -> str:
    known = descriptor.fields_by_number.get(field.number)
    return known.name if known is not None else f"field {field.number}"


def innermost(file: BinaryIO, size: int, cut: Field) -> str:
    """The path of the innermost field in which a truncated file ends: `graph.initializer[12].raw_data`."""
    window = Window(file)
    descriptor = ModelProto.DESCRIPTOR
    path: list[str] = []
    field: Field | None = cut
    count = 0
    while field is not None:
        path.append(field_name(descriptor, field) + (f"[{count}]" if count else ""))
        known = descriptor.fields_by_number.get(field.number)
        if known is None or known.message_type is None or field.wire_type != DELIMITED:
            break
        descriptor = known.message_type
        before: list[int] = []
        try:
            before.extend(inner.number for inner in fields(window, field.body, size))
            break
        except WireError as error:
            field = error.field
            count = before.count(field.number) if field is not None else 0
    return ".".join(path)

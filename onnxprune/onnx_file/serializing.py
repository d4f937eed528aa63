"""A model written field by field: its bytes are never in memory as a whole."""

from collections.abc import Iterator
from typing import Any, BinaryIO

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet
from onnx import GraphProto, ModelProto

from onnxprune.onnx_file.wire import DELIMITED, GRAPH


def write_model(model: ModelProto, file: BinaryIO) -> None:
    """Write the bytes of `model.SerializeToString()` to a file, a field at a time."""
    file.writelines(model_parts(model))


def serialized_size(model: ModelProto) -> int:
    return sum(len(part) for part in model_parts(model))


def model_parts(model: ModelProto) -> Iterator[bytes]:
    """The serialized model in pieces, each at most the size of its largest node or initializer."""
    if has_unknown_fields(model):
        yield model.SerializeToString()
        return
    for descriptor, value in model.ListFields():
        if descriptor.number == GRAPH:
            yield header(GRAPH, sum(len(part) for part in graph_parts(model.graph)))
            yield from graph_parts(model.graph)
        else:
            yield alone(ModelProto(), descriptor.name, value)


def graph_parts(graph: GraphProto) -> Iterator[bytes]:
    for descriptor, value in graph.ListFields():
        if descriptor.message_type is None or isinstance(value, Message):
            yield alone(GraphProto(), descriptor.name, value)
            continue
        for item in value:
            payload = item.SerializeToString()
            yield header(descriptor.number, len(payload))
            yield payload


def has_unknown_fields(model: ModelProto) -> bool:
    """Fields from a newer ONNX than the installed one, at the two levels that are handled field by field."""
    return len(UnknownFieldSet(model)) > 0 or len(UnknownFieldSet(model.graph)) > 0


def header(number: int, length: int) -> bytes:
    return encoded(number << 3 | DELIMITED) + encoded(length)


def encoded(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def alone(empty: Message, name: str, value: Any) -> bytes:
    """The bytes of one field, by way of a message that has no other."""
    assign(empty, name, value)
    return bytes(empty.SerializeToString())


def assign(message: Any, name: str, value: Any) -> None:
    """Copy a field's value into a message, in place."""
    if isinstance(value, Message):
        getattr(message, name).CopyFrom(value)
    elif hasattr(value, "MergeFrom"):
        getattr(message, name).MergeFrom(value)
    else:
        setattr(message, name, value)

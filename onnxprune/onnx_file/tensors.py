"""Every tensor of a model, wherever it lies: subgraphs, functions, attributes, sparse initializers."""

from collections.abc import Iterator
from math import prod
from typing import Any

from google.protobuf.message import Message
from onnx import ModelProto, TensorProto, helper

from onnxprune.onnx_file.initializer import PACKED_BITS

DATA_TYPES = frozenset(TensorProto.DataType.values()) - {TensorProto.UNDEFINED}
LARGEST_BESIDE_ZERO = 1 << 24  # extents of empty tensors are bounded by nothing else
FieldValues = list[tuple[Any, Any]]

# What a tensor has beside its values. ListFields would copy those, and they may be gigabytes.
DESCRIBING_FIELDS = [f for f in TensorProto.DESCRIPTOR.fields if f.type in (f.TYPE_STRING, f.TYPE_MESSAGE)]


def walk(model: ModelProto) -> Iterator[tuple[Message, FieldValues]]:
    """Each message in the file's order with its (descriptor, value) pairs; a tensor's values are left out."""
    stack: list[Message] = [model]
    while stack:
        message = stack.pop()
        found = describing_fields(message) if isinstance(message, TensorProto) else message.ListFields()
        yield message, found
        children: list[Message] = []
        for descriptor, value in found:
            if descriptor.message_type is not None:
                children.extend([value] if isinstance(value, Message) else value)
        stack.extend(reversed(children))


def describing_fields(tensor: TensorProto) -> FieldValues:
    pairs = [(field, getattr(tensor, field.name)) for field in DESCRIBING_FIELDS]
    return [(field, value) for field, value in pairs if not isinstance(value, Message) and value]


def tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Every tensor of a model in the file's order. Linear in the number of messages."""
    return (message for message, _ in walk(model) if isinstance(message, TensorProto))


def is_external(tensor: TensorProto) -> bool:
    return bool(tensor.data_location == TensorProto.EXTERNAL)


def byte_size(tensor: TensorProto) -> int | None:
    """Bytes of the values as ONNX stores them raw; None where type or extents do not tell.

    float32 [2, 3] takes 24; int4 [3] takes 2.
    """
    bits = element_bits(tensor.data_type)
    if bits is None or any(extent < 0 for extent in tensor.dims):
        return None
    count: int = prod(tensor.dims)
    return (count * bits + 7) // 8


def element_bits(data_type: int) -> int | None:
    if data_type in PACKED_BITS:
        return int(PACKED_BITS[data_type])
    if data_type in (TensorProto.STRING, TensorProto.UNDEFINED):
        return None
    try:
        return 8 * int(helper.tensor_dtype_to_np_dtype(data_type).itemsize)
    except (KeyError, ValueError, TypeError):
        return None


def fault_of(tensor: TensorProto) -> str:
    """Why the values inside a tensor cannot be right; "" where they may be."""
    if tensor.data_type not in DATA_TYPES:
        return f"data type {tensor.data_type} is unknown"
    if any(extent < 0 for extent in tensor.dims):
        return f"shape {list(tensor.dims)} has a negative extent"
    if 0 in tensor.dims and max(tensor.dims) > LARGEST_BESIDE_ZERO:
        return f"shape {list(tensor.dims)} is empty and huge"
    wanted = byte_size(tensor)
    if is_external(tensor):
        return ""
    if tensor.HasField("raw_data"):
        found = len(tensor.raw_data)
        return f"{found} bytes, shape {list(tensor.dims)} needs {wanted}" if found != wanted else ""
    field = helper.tensor_dtype_to_field(tensor.data_type)
    found, elements = len(getattr(tensor, field)), entries_of(tensor)
    return f"{found} values, shape {list(tensor.dims)} needs {elements}" if found != elements else ""


def entries_of(tensor: TensorProto) -> int:
    """Entries that the values take in the typed field: two for a complex number, one for two int4."""
    count: int = prod(tensor.dims)
    if tensor.data_type in (TensorProto.COMPLEX64, TensorProto.COMPLEX128):
        return 2 * count
    bits = PACKED_BITS.get(tensor.data_type, 8)
    return -(-count * bits // 8) if 8 % bits == 0 else count

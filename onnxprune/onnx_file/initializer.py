"""Constant tensors of a model, read when they are needed."""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

PACKED_TYPES = {
    "INT4": 4,
    "UINT4": 4,
    "FLOAT4E2M1": 4,
    "INT2": 2,
    "UINT2": 2,
    "FLOAT6E2M3": 6,
    "FLOAT6E3M2": 6,
}
PACKED_BITS: dict[int, int] = {  # of the types that the installed onnx knows
    getattr(TensorProto, name): bits for name, bits in PACKED_TYPES.items() if hasattr(TensorProto, name)
}


@dataclass(frozen=True)
class Initializer:
    """A constant tensor: an initializer, or the output of a Constant node (`node`)."""

    name: str
    proto: TensorProto
    folder: Path
    node: NodeProto | None = None

    @cached_property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.proto.dims)

    @property
    def size(self) -> int:
        return prod(self.shape)

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(helper.tensor_dtype_to_np_dtype(self.proto.data_type))

    @cached_property
    def bits(self) -> int:
        """Bits an element takes in the file: 4 for int4, 8 for int8, ..."""
        return PACKED_BITS.get(self.proto.data_type, 8 * self.dtype.itemsize)

    @property
    def nbytes(self) -> int:
        return (self.size * self.bits + 7) // 8

    @property
    def is_weight(self) -> bool:
        """Neither a scalar nor a shape nor an index: what counts as params."""
        numbers = self.dtype.kind not in "bOUS"
        wide_integer = self.dtype.kind in "iu" and self.dtype.itemsize >= 4
        return bool(self.shape) and self.size > 0 and numbers and not wide_integer

    @property
    def is_external(self) -> bool:
        return uses_external_data(self.proto)

    def array(self) -> NDArray[Any]:
        """The values; external data is memory-mapped, nothing is cached."""
        if not self.is_external:
            return numpy_helper.to_array(self.proto)
        info = ExternalDataInfo(self.proto)
        count = info.length or self.nbytes
        raw = np.memmap(self.folder / info.location, np.uint8, "r", info.offset or 0, (count,))
        if self.bits == 8 * self.dtype.itemsize:
            return raw.view(self.dtype).reshape(self.shape)
        whole = TensorProto(data_type=self.proto.data_type, dims=self.proto.dims, raw_data=raw.tobytes())
        return numpy_helper.to_array(whole)


def constant_of(node: NodeProto) -> TensorProto | None:
    """The tensor of a Constant node; None for strings and sparse values."""
    for attribute in node.attribute:
        match attribute.name:
            case "value":
                return attribute.t if attribute.HasField("t") else None
            case "value_float":
                return numpy_helper.from_array(np.array(attribute.f, np.float32))
            case "value_int":
                return numpy_helper.from_array(np.array(attribute.i, np.int64))
            case "value_floats":
                return numpy_helper.from_array(np.array(attribute.floats, np.float32))
            case "value_ints":
                return numpy_helper.from_array(np.array(attribute.ints, np.int64))
    return None

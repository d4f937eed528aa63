"""Element types: what torch can hold, and arrays as tensors and back."""

from typing import Any

import ml_dtypes
import numpy as np
import torch
from numpy.typing import NDArray
from onnx import TensorProto

Array = NDArray[Any]

TORCH_TYPES: dict[int, torch.dtype] = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.UINT8: torch.uint8,
    TensorProto.INT8: torch.int8,
    TensorProto.UINT16: torch.uint16,
    TensorProto.INT16: torch.int16,
    TensorProto.INT32: torch.int32,
    TensorProto.INT64: torch.int64,
    TensorProto.BOOL: torch.bool,
    TensorProto.FLOAT16: torch.float16,
    TensorProto.DOUBLE: torch.float64,
    TensorProto.UINT32: torch.uint32,
    TensorProto.UINT64: torch.uint64,
    TensorProto.COMPLEX64: torch.complex64,
    TensorProto.COMPLEX128: torch.complex128,
    TensorProto.BFLOAT16: torch.bfloat16,
}
# torch has no tensors of these, or cannot compute with them: numpy arrays hold them (functions/reference.py)
NUMPY_ONLY = {
    getattr(TensorProto, name)
    for name in (
        *("STRING", "UINT16", "UINT32", "UINT64", "INT4", "UINT4", "INT2", "UINT2", "FLOAT4E2M1"),
        *("FLOAT6E2M3", "FLOAT6E3M2", "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ"),
        "FLOAT8E8M0",
    )
    if hasattr(TensorProto, name)
}
HALF = {torch.float16, torch.bfloat16}
HELD = {np.dtype(t) for t in ("b1", "i1", "i2", "i4", "i8", "u1", "f2", "f4", "f8", "c8", "c16")}


def tensor_of(array: Array) -> torch.Tensor | Array:
    """A copy as a tensor; the array itself where torch cannot compute with its type."""
    array = np.asarray(array)
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
    if array.dtype not in HELD:
        return array
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), order="C", copy=True))


def array_of(value: Any) -> Any:
    """A tensor as an array; lists and None as they are, with their items changed."""
    if isinstance(value, (list, tuple)):
        return [array_of(item) for item in value]
    if not isinstance(value, torch.Tensor):
        return value
    value = value.detach().cpu().resolve_conj()
    if value.dtype == torch.bfloat16:
        return value.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return value.numpy()

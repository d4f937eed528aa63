"""Half precision computed as float32, with master weights: what to_torch changes for `master=True`."""

from collections.abc import Iterable
from typing import Any

import torch
from onnx import TensorProto, ValueInfoProto

from onnxprune.converters.types import HALF, TORCH_TYPES

HALF_TYPES = {TensorProto.FLOAT16, TensorProto.BFLOAT16}
TYPE_ATTRIBUTES = {
    "to",
    "dtype",
    "output_dtype",
    "output_datatype",
    "precision",
    "softmax_precision",
    "stash_type",
}


def widened(name: str, value: Any) -> Any:
    """An attribute that asks for half precision, asking for float32."""
    if isinstance(value, torch.Tensor) and value.dtype in HALF:
        return value.float()
    return int(TensorProto.FLOAT) if name in TYPE_ATTRIBUTES and value in HALF_TYPES else value


def half_values(infos: Iterable[ValueInfoProto]) -> dict[str, torch.dtype]:
    """Types of the inputs or outputs that are in half precision."""
    types = {info.name: info.type.tensor_type.elem_type for info in infos}
    return {name: TORCH_TYPES[type_] for name, type_ in types.items() if type_ in HALF_TYPES}

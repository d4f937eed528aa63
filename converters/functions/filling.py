"""Tensors made of numbers, and parts of matrices."""

from typing import Any

import numpy as np
import torch
from onnx import SparseTensorProto, numpy_helper
from torch import Tensor

from onnxprune.converters.signature import Function
from onnxprune.converters.types import HALF, TORCH_TYPES, tensor_of


def constant(*, sparse_value: bytes) -> Any:
    """Numbers are known when planning and text is numpy's: only sparse tensors come here."""
    proto = SparseTensorProto.FromString(sparse_value)
    values, indices = numpy_helper.to_array(proto.values), numpy_helper.to_array(proto.indices)
    dense = np.zeros(proto.dims, values.dtype)
    if indices.ndim == 1:
        dense.reshape(-1)[indices] = values
    else:
        dense[tuple(indices.T)] = values
    return tensor_of(dense)


def constant_of_shape(input: list[int], *, value: Tensor | None = None, _device: torch.device) -> Tensor:
    if value is None:
        return torch.zeros(input, device=_device)
    return (
        value.reshape([]).to(_device).expand(input).contiguous()
    )  # products of strides of 0 round otherwise


Scalar = int | float | Tensor


def range_(
    start: Scalar,
    limit: Scalar,
    delta: Scalar,
    *,
    stash_type: int = 1,
    _elem_type: int,
    _device: torch.device,
) -> Tensor:
    """Of the inputs' type; in half precision the steps are summed in float32 (`stash_type`)."""
    tensors = [value for value in (start, limit, delta) if isinstance(value, Tensor)]
    dtype = tensors[0].dtype if tensors else TORCH_TYPES[_elem_type]
    first, last, step = (v.item() if isinstance(v, Tensor) else v for v in (start, limit, delta))
    if (last - first > 0) != (step > 0):
        return torch.zeros(0, dtype=dtype, device=_device)
    if dtype not in HALF:
        return torch.arange(first, last, step, dtype=dtype, device=_device)
    return torch.arange(first, last, step, dtype=TORCH_TYPES[stash_type], device=_device).to(dtype)


def eye_like(input: Tensor, *, dtype: int | None = None, k: int = 0) -> Tensor:
    rows, columns = (torch.arange(extent, device=input.device) for extent in input.shape)
    return (columns == rows[:, None] + k).to(input.dtype if dtype is None else TORCH_TYPES[dtype])


def trilu(input: Tensor, k: int = 0, *, upper: int = 1) -> Tensor:
    return torch.triu(input, k) if upper else torch.tril(input, k)


def reverse_sequence(
    input: Tensor, sequence_lens: Tensor, *, batch_axis: int = 1, time_axis: int = 0
) -> Tensor:
    """The first `sequence_lens[b]` steps of each sequence in reverse, the others where they are."""
    data = input.movedim((batch_axis, time_axis), (0, 1))  # (batch, time, ...)
    batch, time = (torch.arange(extent, device=input.device) for extent in data.shape[:2])
    lens = sequence_lens[:, None]
    return data[batch[:, None], torch.where(time < lens, lens - 1 - time, time)].movedim(
        (0, 1), (batch_axis, time_axis)
    )


OPERATORS: dict[str, dict[int, Function]] = {
    "Constant": {1: constant},
    "ConstantOfShape": {9: constant_of_shape},
    "EyeLike": {9: eye_like},
    "Range": {11: range_},
    "ReverseSequence": {10: reverse_sequence},
    "Trilu": {14: trilu},
}

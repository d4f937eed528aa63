"""Shapes, parts and arrangements of tensors."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from onnxprune.converters.signature import Function


def shape(data: Any, *, start: int = 0, end: int | None = None) -> list[int]:
    return list(data.shape)[start:end]


def size(data: Any) -> int:
    return int(data.numel() if isinstance(data, Tensor) else data.size)


def reshape(data: Tensor, shape: list[int], *, allowzero: int = 0) -> Tensor:
    if not allowzero:
        shape = [data.shape[i] if extent == 0 else extent for i, extent in enumerate(shape)]
    return data.reshape(shape)


def flatten(input: Tensor, *, axis: int = 1) -> Tensor:
    axis = axis + input.dim() if axis < 0 else axis
    rows = 1
    for extent in input.shape[:axis]:
        rows = rows * extent
    return input.reshape(rows, -1) if input.numel() else input.reshape(rows, 0)


def transpose(data: Tensor, *, perm: list[int] | None = None) -> Tensor:
    return data.permute(perm or list(range(data.dim()))[::-1])


def concat(*inputs: Tensor, axis: int) -> Tensor:
    return torch.cat(inputs, axis)


def slice_(
    data: Tensor,
    starts: list[int],
    ends: list[int],
    axes: list[int] | None = None,
    steps: list[int] | None = None,
) -> Tensor:
    """Axis by axis; a negative step is a flip and then a positive one, which gradients pass cheaply."""
    axes = axes if axes is not None else list(range(len(starts)))
    steps = steps if steps is not None else [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        extent = data.shape[axis]
        start, end = (at + extent if at < 0 else at for at in (start, end))
        if step < 0:
            data = data.flip(axis)
            start, end, step = extent - 1 - min(start, extent - 1), extent - 1 - max(end, -1), -step
        start, end = min(max(start, 0), extent), min(max(end, 0), extent)
        data = data[(slice(None),) * (axis % data.dim()) + (slice(start, max(start, end), step),)]
    return data


def pad(
    data: Tensor,
    pads: list[int],
    constant_value: float | None = None,
    axes: list[int] | None = None,
    *,
    mode: str = "constant",
    value: float = 0.0,
) -> Tensor:
    """Negative amounts crop."""
    rank = data.dim()
    axes = [axis % rank for axis in axes] if axes is not None else list(range(rank))
    begins, ends = [0] * rank, [0] * rank
    for position, axis in enumerate(axes):
        begins[axis], ends[axis] = pads[position], pads[position + len(axes)]
    fill = value if constant_value is None else constant_value
    amounts = [p for axis in reversed(range(rank)) for p in (begins[axis], ends[axis])]
    if mode == "constant":
        return F.pad(data, amounts, "constant", fill)
    raise NotImplementedError(mode)


def identity(input: Any) -> Any:
    return input


OPERATORS: dict[str, dict[int, Function]] = {
    "Concat": {4: concat},
    "Flatten": {1: flatten},
    "Identity": {1: identity},
    "Pad": {2: pad},
    "Reshape": {5: reshape},
    "Shape": {1: shape},
    "Size": {1: size},
    "Slice": {1: slice_},
    "Transpose": {1: transpose},
}

"""Shapes and arrangements of tensors."""

from typing import Any

import torch
from torch import Tensor

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
    rows = columns = 1
    for extent in input.shape[:axis]:
        rows = rows * extent
    for extent in input.shape[axis:]:
        columns = columns * extent
    return input.reshape(rows, columns)


def transpose(data: Tensor, *, perm: list[int] | None = None) -> Tensor:
    return data.permute(perm or list(range(data.dim()))[::-1])


def concat(*inputs: Tensor, axis: int) -> Tensor:
    return torch.cat(inputs, axis)


def split_(
    input: Tensor,
    split: list[int] | None = None,
    *,
    axis: int = 0,
    num_outputs: int | None = None,
    _outputs: int,
) -> tuple[Tensor, ...]:
    """Without extents the parts are equal, but for the last, which may be smaller."""
    if not split:
        parts, extent = num_outputs or _outputs, input.shape[axis]
        most = -(-extent // parts)
        split = [most] * (parts - 1)
        split = [*split, extent - most * (parts - 1)]
        if split[-1] < 0:
            split = [min(most, max(extent - most * part, 0)) for part in range(parts)]
    return tuple(torch.split(input, split, axis))


def squeeze(data: Tensor, axes: list[int] | None = None) -> Tensor:
    return data.squeeze() if axes is None else data.squeeze(tuple(axes))


def unsqueeze(data: Tensor, axes: list[int]) -> Tensor:
    """Axes count in the result."""
    rank = data.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        data = data.unsqueeze(axis)
    return data


def expand(input: Tensor, shape: list[int]) -> Tensor:
    """Broadcast both ways: where `shape` has 1, the input's extent stays."""
    missing = len(shape) - input.dim()
    extents = [1] * missing + list(input.shape)
    shape = [1] * -missing + list(shape)
    return input.expand([e if wanted == 1 else wanted for e, wanted in zip(extents, shape, strict=True)])


def tile(input: Tensor, repeats: list[int]) -> Tensor:
    return input.repeat(repeats) if repeats else input


def identity(input: Any) -> Any:
    return input


OPERATORS: dict[str, dict[int, Function]] = {
    "Concat": {4: concat},
    "Expand": {8: expand},
    "Flatten": {1: flatten},
    "Identity": {1: identity},
    "Reshape": {5: reshape},
    "Shape": {1: shape},
    "Size": {1: size},
    "Split": {2: split_},
    "Squeeze": {1: squeeze},
    "Tile": {6: tile},
    "Transpose": {1: transpose},
    "Unsqueeze": {1: unsqueeze},
}

"""Parts of tensors, and tensors with borders."""

import torch
from torch import Tensor
from torch.nn import functional as F

from onnxprune.converters.signature import Function


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
            start = max(min(start, extent - 1), 0)  # ONNX clamps so; Python's slice would be empty
            start, end, step = extent - 1 - start, extent - 1 - max(end, -1), -step
        data = part(data, axis, start, end, step)
    return data


def part(data: Tensor, axis: int, start: int, end: int, step: int = 1) -> Tensor:
    """data[..., start:end:step, ...]; both ends are put inside the axis."""
    extent = data.shape[axis]
    start, end = min(max(start, 0), extent), min(max(end, 0), extent)
    return data[(slice(None),) * (axis % data.dim()) + (slice(start, max(start, end), step),)]


def pad(
    data: Tensor,
    pads: list[int],
    constant_value: float | None = None,
    axes: list[int] | None = None,
    *,
    mode: str = "constant",
    value: float = 0.0,
) -> Tensor:
    """Negative amounts crop, before anything is added."""
    rank = data.dim()
    axes = [axis % rank for axis in axes] if axes is not None else list(range(rank))
    begins, ends = [0] * rank, [0] * rank
    for position, axis in enumerate(axes):
        begins[axis], ends[axis] = pads[position], pads[position + len(axes)]
    if mode == "constant":
        fill = value if constant_value is None else constant_value
        amounts = [p for axis in reversed(range(rank)) for p in (begins[axis], ends[axis])]
        return F.pad(data, amounts, "constant", fill) if amounts else data
    for axis in range(rank):
        if begins[axis] or ends[axis]:
            data = part(data, axis, -begins[axis], data.shape[axis] + ends[axis])
            data = extended(data, axis, max(begins[axis], 0), max(ends[axis], 0), mode=mode)
    return data


def extended(data: Tensor, axis: int, begin: int, end: int, *, mode: str) -> Tensor:
    """One axis made longer by what it holds."""
    extent = data.shape[axis]
    index = torch.arange(-begin, extent + end, device=data.device)
    if mode == "wrap":
        index = index.remainder(extent)
    elif mode == "reflect" and extent > 1:
        period = 2 * extent - 2
        index = index.remainder(period)
        index = torch.minimum(index, period - index)
    else:  # edge, and what reflect is on an axis of one
        index = index.clamp(0, extent - 1)
    return data.index_select(axis, index)


OPERATORS: dict[str, dict[int, Function]] = {
    "Pad": {2: pad},
    "Slice": {1: slice_},
}

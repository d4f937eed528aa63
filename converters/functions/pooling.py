"""Pooling."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from onnxprune.converters.functions.windows import Windows, windows_of
from onnxprune.converters.signature import Function
from onnxprune.converters.types import HALF

MAXIMA: dict[int, Any] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVERAGES: dict[int, Any] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
CONVOLUTIONS: dict[int, Any] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def max_pool(
    X: Tensor,
    *,
    kernel_shape: list[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: list[int] | None = None,
    pads: list[int] | None = None,
    storage_order: int = 0,
    strides: list[int] | None = None,
    _outputs: int,
) -> Any:
    """Maxima (N, C, *extents), and where they are in X as a flat tensor."""
    windows = windows_of(
        X,
        kernel_shape,
        strides=strides,
        dilations=dilations,
        pads=pads,
        auto_pad=auto_pad,
        ceil_mode=ceil_mode,
    )
    pool = MAXIMA[len(kernel_shape)]
    data = X if X.is_floating_point() else X.to(torch.float64)
    begins, ceil = windows.begins, windows.ceil
    if not windows.fits_torch:
        data, begins, ceil = windows.pad(data, -math.inf), [0] * len(begins), False
    shape = data.shape[2:]
    arguments = (data, windows.kernel, windows.strides, begins, windows.dilations, ceil)
    if _outputs == 1:
        return pool(*arguments).to(X.dtype)
    Y, indices = pool(*arguments, return_indices=True)
    shift = [a - b for a, b in zip(windows.begins, begins, strict=True)]
    return Y.to(X.dtype), flat_indices(indices, X, shape, shift=shift, columns_first=bool(storage_order))


def flat_indices(indices: Tensor, X: Tensor, padded: Any, *, shift: list[int], columns_first: bool) -> Tensor:
    """Indices into one padded plane as indices into all of X."""
    extents, coordinates = X.shape[2:], []
    for extent, before in zip(reversed(padded), reversed(shift), strict=True):
        coordinates.append(indices % extent - before)
        indices = indices // extent
    axes = list(zip(reversed(coordinates), extents, strict=True))
    flat = torch.zeros_like(indices)
    for coordinate, extent in reversed(axes) if columns_first else axes:
        flat = flat * extent + coordinate
    planes = torch.arange(X.shape[0] * X.shape[1], device=X.device).reshape(*X.shape[:2], *[1] * len(extents))
    return flat + planes * math.prod(extents)


def average_pool(
    X: Tensor,
    *,
    kernel_shape: list[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:
    windows = windows_of(
        X,
        kernel_shape,
        strides=strides,
        dilations=dilations,
        pads=pads,
        auto_pad=auto_pad,
        ceil_mode=ceil_mode,
    )
    if windows.fits_torch and max(windows.dilations) == 1:
        pool = AVERAGES[len(kernel_shape)]
        return pool(X, windows.kernel, windows.strides, windows.begins, windows.ceil, bool(count_include_pad))
    return window_sums(X, windows) / counts(X, windows, bool(count_include_pad))


def averages(X: Tensor, windows: Windows, *options: Any) -> Tensor:
    """By torch's own average pool; on a CPU it has no half precision in three dimensions."""
    rank = len(windows.kernel)
    wide = X.float() if rank == 3 and X.dtype in HALF and X.device.type == "cpu" else X
    Y: Tensor = AVERAGES[rank](wide, windows.kernel, windows.strides, *options)
    return Y.to(X.dtype)


def window_sums(X: Tensor, windows: Windows) -> Tensor:
    """Sum of each window; padding is zero."""
    rank = len(windows.kernel)
    X = windows.pad(X, 0.0)
    if max(windows.dilations) == 1:
        return averages(X, windows) * math.prod(windows.kernel)
    ones = torch.ones(1, 1, *windows.kernel, dtype=X.dtype, device=X.device)
    planes = X.reshape(-1, 1, *X.shape[2:])
    sums = CONVOLUTIONS[rank](planes, ones, None, windows.strides, 0, windows.dilations)
    return sums.reshape(*X.shape[:2], *sums.shape[2:])


def counts(X: Tensor, windows: Windows, with_padding: bool) -> Tensor:
    """How many places of each window count, (*extents)."""
    result = torch.ones((), dtype=X.dtype, device=X.device)
    for axis, extent in enumerate(X.shape[2:]):
        before, after = (windows.begins[axis], windows.ends[axis]) if with_padding else (0, 0)
        starts = torch.arange(windows.extents[axis], device=X.device) * windows.strides[axis]
        steps = torch.arange(windows.kernel[axis], device=X.device) * windows.dilations[axis]
        places = starts.unsqueeze(1) + steps - windows.begins[axis]
        inside = (places >= -before) & (places < extent + after)
        result = result.unsqueeze(-1) * inside.sum(1).to(X.dtype)
    return result


def lp_pool(
    X: Tensor,
    *,
    kernel_shape: list[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: list[int] | None = None,
    p: int = 2,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:
    windows = windows_of(
        X,
        kernel_shape,
        strides=strides,
        dilations=dilations,
        pads=pads,
        auto_pad=auto_pad,
        ceil_mode=ceil_mode,
    )
    sums = window_sums(X.abs() ** p, windows)
    nonzero = sums > 0
    return torch.where(nonzero, torch.where(nonzero, sums, 1.0) ** (1 / p), 0.0)  # no gradient at zero


def global_average_pool(X: Tensor) -> Tensor:
    return X.mean(tuple(range(2, X.dim())), keepdim=True)


def global_max_pool(X: Tensor) -> Tensor:
    return X.flatten(2).max(2).values.reshape(*X.shape[:2], *[1] * (X.dim() - 2))


def global_lp_pool(X: Tensor, *, p: int = 2) -> Tensor:
    return torch.linalg.vector_norm(X, p, tuple(range(2, X.dim())), keepdim=True)


def max_unpool(
    X: Tensor,
    I: Tensor,  # noqa: E741
    output_shape: list[int] | None = None,
    *,
    kernel_shape: list[int],
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:
    """Indices count in the shape that the attributes give; one that is stated is filled up with zeros."""
    rank = len(kernel_shape)
    strides, pads = strides or [1] * rank, pads or [0] * 2 * rank
    inferred = [
        (extent - 1) * strides[i] - pads[i] - pads[rank + i] + kernel_shape[i]
        for i, extent in enumerate(X.shape[2:])
    ]
    flat = X.new_zeros(X.shape[0] * X.shape[1] * math.prod(inferred))
    Y = flat.scatter(0, I.reshape(-1), X.reshape(-1)).reshape(*X.shape[:2], *inferred)
    if output_shape is None:
        return Y
    grown = [b - a for a, b in zip(inferred, output_shape[2:], strict=True)]
    return F.pad(Y, [p for extra in reversed(grown) for p in (0, extra)])


def max_roi_pool(X: Tensor, rois: Tensor, *, pooled_shape: list[int], spatial_scale: float = 1.0) -> Tensor:
    """X (N, C, H, W), rois (R, 5) as (image, x1, y1, x2, y2) -> (R, C, *pooled_shape)."""
    corners = (rois[:, 1:] * spatial_scale + 0.5).floor()  # (R, 4)
    Y = X[rois[:, 0].long()]
    for axis, extent in ((1, pooled_shape[1]), (0, pooled_shape[0])):
        start, end = corners[:, 1 - axis], corners[:, 3 - axis]
        Y = torch.stack([pool_bin(Y, axis, b, extent, (start, end)) for b in range(extent)], 2 + axis)
    return torch.where(torch.isneginf(Y), 0.0, Y)


def pool_bin(Y: Tensor, axis: int, number: int, bins: int, ends: tuple[Tensor, Tensor]) -> Tensor:
    """Maxima over the places of one bin of each region, -inf where it has none."""
    start, size = ends[0], (ends[1] - ends[0] + 1).clamp(min=1) / bins
    first, last = (number * size).floor() + start, ((number + 1) * size).ceil() + start
    places = torch.arange(Y.shape[2 + axis], device=Y.device)
    inside = (places >= first.unsqueeze(1)) & (places < last.unsqueeze(1))  # (R, H or W)
    inside = inside[:, None, :, None] if axis == 0 else inside[:, None, None, :]
    return torch.where(inside, Y, -math.inf).max(2 + axis).values


OPERATORS: dict[str, dict[int, Function]] = {
    "AveragePool": {1: average_pool},
    "GlobalAveragePool": {1: global_average_pool},
    "GlobalLpPool": {2: global_lp_pool},
    "GlobalMaxPool": {1: global_max_pool},
    "LpPool": {2: lp_pool},
    "MaxPool": {1: max_pool},
    "MaxRoiPool": {1: max_roi_pool},
    "MaxUnpool": {9: max_unpool},
}

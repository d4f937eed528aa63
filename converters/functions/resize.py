"""Resize and Upsample."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from onnxprune.converters.functions.resize_places import Axis, places
from onnxprune.converters.signature import Function
from onnxprune.converters.types import HALF


@dataclass(frozen=True)
class Filter:
    """How values between pixels are made.

    Attributes:
        mode: "nearest", "linear" or "cubic".
        nearest: How "nearest" rounds.
        transformation: coordinate_transformation_mode.
        cubic: The coefficient a.
        exclude_outside: Taps outside the input have no weight.
        antialias: The filter is stretched when the output is smaller.
        extrapolation: The value outside the region of tf_crop_and_resize.
    """

    mode: str
    nearest: str = "round_prefer_floor"
    transformation: str = "half_pixel"
    cubic: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False
    extrapolation: float = 0.0


def resize(
    X: Tensor,
    roi: list[float] | None = None,
    scales: list[float] | None = None,
    sizes: list[int] | None = None,
    *,
    antialias: int = 0,
    axes: list[int] | None = None,
    coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> Tensor:
    taps = Filter(
        mode,
        nearest_mode,
        coordinate_transformation_mode,
        cubic_coeff_a,
        bool(exclude_outside),
        bool(antialias),
        extrapolation_value,
    )
    chosen = [axis % X.dim() for axis in axes] if axes is not None else list(range(X.dim()))
    if sizes:
        sizes, scales = fitted(X, chosen, sizes, keep_aspect_ratio_policy)
    else:
        assert scales, "Resize has neither scales nor sizes"
        sizes = [scaled(X.shape[axis], scale) for axis, scale in zip(chosen, scales, strict=True)]
    crops = coordinate_transformation_mode == "tf_crop_and_resize"
    region = roi if crops and roi else [0.0] * len(chosen) + [1.0] * len(chosen)
    plan = [
        Axis(axis, X.shape[axis], sizes[i], scales[i], region[i], region[len(chosen) + i])
        for i, axis in enumerate(chosen)
    ]
    return resampled(X, [axis for axis in plan if not axis.stays], taps)


def resize_10(X: Tensor, scales: list[float], *, mode: str = "nearest") -> Tensor:
    """The oldest versions map places by scale alone; nearest rounds up where the output is smaller."""
    sizes = [scaled(extent, scale) for extent, scale in zip(X.shape, scales, strict=True)]
    plan = [Axis(axis, extent, sizes[axis], scales[axis], 0.0, 1.0) for axis, extent in enumerate(X.shape)]
    taps = Filter(mode if mode == "nearest" else "linear", "simple", "asymmetric")
    return resampled(X, [axis for axis in plan if not axis.stays], taps)


def scaled(extent: int, scale: float) -> int:
    """floor(extent * scale) with the product in single precision, as runtimes compute it."""
    if scale == int(scale):
        return extent * int(scale)
    product = extent * scale
    near = math.floor(product + 0.5)
    return near if abs(product - near) < 6e-8 * near else math.floor(product)


def fitted(X: Tensor, axes: Sequence[int], sizes: list[int], policy: str) -> tuple[list[int], list[float]]:
    """Sizes and scales of axes, with one scale for all where the aspect ratio is kept."""
    scales = [size / X.shape[axis] for size, axis in zip(sizes, axes, strict=True)]
    if policy == "stretch":
        return sizes, scales
    scale = min(scales) if policy == "not_larger" else max(scales)
    return [math.floor(scale * X.shape[axis] + 0.5) for axis in axes], [scale] * len(scales)


# --- ways to compute it ----------------------------------------------------------------------------------


def resampled(X: Tensor, plan: Sequence[Axis], taps: Filter) -> Tensor:
    if not plan:
        return X
    spatial = [axis.axis for axis in plan] == list(range(X.dim() - len(plan), X.dim()))
    if spatial and X.is_floating_point() and X.dim() - len(plan) in (1, 2):
        fast = by_torch(plan, taps)
        if fast:
            batched = X if X.dim() - len(plan) == 2 else X.unsqueeze(0)
            Y = F.interpolate(batched, size=[axis.size for axis in plan], **fast)
            return Y if X.dim() - len(plan) == 2 else Y.squeeze(0)
    if taps.mode == "nearest":
        for axis in plan:
            X = nearest(X, axis, taps)
        return X
    wide = X.float() if X.dtype in HALF else X if X.is_floating_point() else X.double()
    for axis in plan:
        wide = interpolated(wide, axis, taps)
    return wide.to(X.dtype) if X.is_floating_point() else saturated(wide, X.dtype)


def by_torch(plan: Sequence[Axis], taps: Filter) -> dict[str, Any]:
    """Arguments of torch's own function where it gives the same; else none."""
    if len(plan) > 3:
        return {}
    if taps.mode == "nearest":
        return {"mode": "nearest"} if all(repeats(axis, taps) for axis in plan) else {}
    mode = {("linear", 1): "linear", ("linear", 2): "bilinear", ("linear", 3): "trilinear"}
    mode[("cubic", 2)] = "bicubic"
    name = mode.get((taps.mode, len(plan)))
    odd = taps.exclude_outside or (taps.antialias and any(axis.scale < 1 for axis in plan))
    exact = all(axis.exact for axis in plan) and (name != "bicubic" or taps.cubic == -0.75)
    several = all(axis.size > 1 for axis in plan)
    if name is None or odd or not exact:
        return {}
    if taps.transformation == "align_corners":
        return {"mode": name, "align_corners": True}
    centred = taps.transformation in ("half_pixel", "half_pixel_symmetric")
    if centred or (taps.transformation == "pytorch_half_pixel" and several):
        return {"mode": name, "align_corners": False}
    return {}


def repeats(axis: Axis, taps: Filter) -> bool:
    """Whether each pixel is repeated so many times, and torch finds the same pixel in single precision."""
    if axis.scale not in (1, 2, 3, 4, 8) or not axis.exact:
        return False
    if taps.transformation in ("half_pixel", "half_pixel_symmetric"):
        return taps.nearest.startswith("round")
    if taps.transformation != "asymmetric":
        return False
    floors = taps.nearest in ("floor", "simple")
    return floors or (axis.scale <= 2 and taps.nearest == "round_prefer_floor")


def nearest(X: Tensor, axis: Axis, taps: Filter) -> Tensor:
    rounding = taps.nearest
    if rounding == "simple":
        rounding = "ceil" if axis.scale < 1 else "floor"
    at = places(axis, taps.transformation, X.device, torch.float32)
    Y = X.index_select(axis.axis, ROUNDINGS[rounding](at).long().clamp(0, axis.extent - 1))
    return extrapolated(Y, axis, at, taps)


ROUNDINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "round_prefer_floor": lambda at: (at - 0.5).ceil(),
    "round_prefer_ceil": lambda at: (at + 0.5).floor(),
    "floor": torch.floor,
    "ceil": torch.ceil,
}


def interpolated(X: Tensor, axis: Axis, taps: Filter) -> Tensor:
    """A weighted sum of neighbours along one axis."""
    at = places(axis, taps.transformation, X.device, torch.float64)
    stretch = min(axis.scale, 1.0) if taps.antialias else 1.0
    first = math.floor((-2 if taps.mode == "cubic" else -1) / stretch) + 1
    neighbours = at.floor().unsqueeze(1) + torch.arange(first, 2 - first, device=X.device)  # (size, taps)
    distances = (neighbours - at.unsqueeze(1)).abs() * stretch
    weights = cubic(distances, taps.cubic) if taps.mode == "cubic" else (1 - distances).clamp(min=0)
    if taps.exclude_outside:
        weights = weights * ((neighbours >= 0) & (neighbours < axis.extent))
    weights = (weights / weights.sum(1, keepdim=True)).to(X.dtype)
    sources = neighbours.long().clamp(0, axis.extent - 1)
    shape = [-1 if other == axis.axis else 1 for other in range(X.dim())]
    Y = X.index_select(axis.axis, sources[:, 0]) * weights[:, 0].reshape(shape)
    for tap in range(1, sources.shape[1]):
        Y = Y + X.index_select(axis.axis, sources[:, tap]) * weights[:, tap].reshape(shape)
    return extrapolated(Y, axis, at, taps)


def cubic(distance: Tensor, a: float) -> Tensor:
    """Keys' kernel of two pixels' radius."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return torch.where(distance <= 1, near, torch.where(distance < 2, far, 0.0))


def extrapolated(Y: Tensor, axis: Axis, at: Tensor, taps: Filter) -> Tensor:
    if taps.transformation != "tf_crop_and_resize":
        return Y
    outside = (at < 0) | (at > axis.extent - 1)
    shape = [-1 if other == axis.axis else 1 for other in range(Y.dim())]
    return torch.where(outside.reshape(shape), taps.extrapolation, Y).to(Y.dtype)


def saturated(values: Tensor, dtype: torch.dtype) -> Tensor:
    limits = torch.iinfo(dtype)
    return values.clamp(limits.min, limits.max).to(dtype)


OPERATORS: dict[str, dict[int, Function]] = {
    "Resize": {10: resize_10, 11: resize},
    "Upsample": {7: resize_10},
}

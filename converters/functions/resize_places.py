"""Where the places of a resized axis lie in the original one."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Axis:
    """An axis to resize.

    Attributes:
        axis: Of the tensor.
        extent, size: Before and after.
        scale: As the model states it; size is the floor of extent * scale.
        start, end: The region of it that is resized, as shares of the extent.
    """

    axis: int
    extent: int
    size: int
    scale: float
    start: float
    end: float

    @property
    def exact(self) -> bool:
        """Whether the scale leads to the size without a remainder."""
        return abs(self.extent * self.scale - self.size) < 1e-6 * self.size

    @property
    def stays(self) -> bool:
        return self.size == self.extent and abs(self.scale - 1) < 1e-9 and (self.start, self.end) == (0, 1)


def places(axis: Axis, transformation: str, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The coordinates in the original axis, (size)."""
    at = torch.arange(axis.size, device=device, dtype=dtype)
    return TRANSFORMATIONS[transformation](axis, at)


def asymmetric(axis: Axis, at: Tensor) -> Tensor:
    return at / at.new_tensor(axis.scale)


def align_corners(axis: Axis, at: Tensor) -> Tensor:
    # the conformance suite wants the fractional width here; ONNX Runtime takes the whole one
    width = axis.extent * axis.scale
    return at * (axis.extent - 1) / (width - 1) if width != 1 else at * 0


def crop_and_resize(axis: Axis, at: Tensor) -> Tensor:
    last = axis.extent - 1
    span = (axis.end - axis.start) * last
    inner = at * span / (axis.size - 1) if axis.size != 1 else at * 0 + span / 2
    return inner + axis.start * last


def half_pixel(axis: Axis, at: Tensor) -> Tensor:
    return half_pixel_for_nearest(axis, at) - 0.5


def half_pixel_for_nearest(axis: Axis, at: Tensor) -> Tensor:
    return (at + 0.5) / at.new_tensor(axis.scale)


def half_pixel_of_torch(axis: Axis, at: Tensor) -> Tensor:
    return half_pixel(axis, at) if axis.size != 1 else at * 0 - 0.5


def half_pixel_symmetric(axis: Axis, at: Tensor) -> Tensor:
    """The middle stays where it is."""
    missing = 1 - axis.size / (axis.extent * axis.scale)
    return half_pixel(axis, at) + axis.extent / 2 * missing


TRANSFORMATIONS: dict[str, Callable[[Axis, Tensor], Tensor]] = {
    "align_corners": align_corners,
    "asymmetric": asymmetric,
    "half_pixel": half_pixel,
    "half_pixel_symmetric": half_pixel_symmetric,
    "pytorch_half_pixel": half_pixel_of_torch,
    "tf_crop_and_resize": crop_and_resize,
    "tf_half_pixel_for_nn": half_pixel_for_nearest,
}

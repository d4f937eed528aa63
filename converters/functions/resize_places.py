"""Where the places of a resized axis lie in the original one."""

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
    scale = torch.tensor(axis.scale, device=device, dtype=dtype)
    width, last = axis.extent * axis.scale, axis.extent - 1
    if transformation == "asymmetric":
        return at / scale
    if transformation == "align_corners":
        # the conformance suite wants the fractional width here; ONNX Runtime takes the whole one
        return at * last / (width - 1) if width != 1 else at * 0
    if transformation == "tf_crop_and_resize":
        span = (axis.end - axis.start) * last
        inner = at * span / (axis.size - 1) if axis.size != 1 else at * 0 + span / 2
        return inner + axis.start * last
    if transformation == "pytorch_half_pixel" and axis.size == 1:
        return at * 0 - 0.5
    if transformation == "tf_half_pixel_for_nn":
        return (at + 0.5) / scale
    centred = (at + 0.5) / scale - 0.5
    if transformation == "half_pixel_symmetric":
        return centred + axis.extent / 2 * (1 - axis.size / width)
    assert transformation in ("half_pixel", "pytorch_half_pixel"), transformation
    return centred

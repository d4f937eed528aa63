"""Where the windows of convolutions and pools lie."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional as F

SAME = ("SAME_UPPER", "SAME_LOWER")


@dataclass(frozen=True)
class Windows:
    """Windows over the spatial axes; each list has one entry an axis.

    Attributes:
        kernel, strides, dilations: Of the windows.
        begins, ends: The padding that the model states.
        extents: How many windows there are.
        overhang: How far the last window reaches beyond the padded input (ceil_mode).
        ceil: Whether a last window that reaches so far counts.
    """

    kernel: list[int]
    strides: list[int]
    dilations: list[int]
    begins: list[int]
    ends: list[int]
    extents: list[int]
    overhang: list[int]
    ceil: bool

    @property
    def fits_torch(self) -> bool:
        """Whether torch's own pools take this padding."""
        return self.begins == self.ends and all(
            2 * b <= k for b, k in zip(self.begins, self.kernel, strict=True)
        )

    def pad(self, X: Tensor, value: float) -> Tensor:
        """X with every window inside."""
        ends = [end + more for end, more in zip(self.ends, self.overhang, strict=True)]
        return F.pad(X, amounts(self.begins, ends), value=value)


def windows_of(
    X: Tensor,
    kernel: list[int],
    *,
    strides: list[int] | None,
    dilations: list[int] | None,
    pads: list[int] | None,
    auto_pad: str,
    ceil_mode: int = 0,
) -> Windows:
    rank = len(kernel)
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    begins, ends = padding(X.shape[2:], kernel, strides, dilations, auto_pad=auto_pad, pads=pads)
    ceil = bool(ceil_mode) and auto_pad not in SAME
    extents, overhang = [], []
    for axis, extent in enumerate(X.shape[2:]):
        reach = (kernel[axis] - 1) * dilations[axis] + 1
        free, stride = extent + begins[axis] + ends[axis] - reach, strides[axis]
        count = (-(-free // stride) if ceil else free // stride) + 1
        if ceil and (count - 1) * stride >= extent + begins[axis]:
            count -= 1  # a window must begin before the padding at the end
        extents.append(count)
        overhang.append(max((count - 1) * stride - free, 0))
    return Windows(list(kernel), strides, dilations, begins, ends, extents, overhang, ceil)


def padding(
    extents: Sequence[Any],
    kernel: Sequence[Any],
    strides: list[int],
    dilations: list[int],
    *,
    auto_pad: str,
    pads: list[int] | None,
) -> tuple[list[int], list[int]]:
    """Padding before and after each spatial axis, as attributes and auto_pad say."""
    rank = len(extents)
    if auto_pad not in SAME:
        pads = pads if pads and auto_pad == "NOTSET" else [0] * (2 * rank)
        return list(pads[:rank]), list(pads[rank:])
    begins, ends = [], []
    for extent, k, stride, dilation in zip(extents, kernel, strides, dilations, strict=True):
        total = max((-(-extent // stride) - 1) * stride + (k - 1) * dilation + 1 - extent, 0)
        less, more = total // 2, total - total // 2
        begins.append(more if auto_pad == "SAME_LOWER" else less)
        ends.append(less if auto_pad == "SAME_LOWER" else more)
    return begins, ends


def amounts(begins: Sequence[int], ends: Sequence[int]) -> list[int]:
    """Padding in the order of torch: from the last axis on."""
    return [p for pair in zip(begins[::-1], ends[::-1], strict=True) for p in pair]

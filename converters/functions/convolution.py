"""Convolution."""

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from onnxprune.converters.signature import Function


def conv(
    X: Tensor,
    W: Tensor,
    B: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: list[int] | None = None,
    group: int = 1,
    kernel_shape: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:
    """X (N, C, *extents), W (M, C / group, *kernel), B (M)."""
    rank = X.dim() - 2
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    begins, ends = padding(X.shape[2:], W.shape[2:], strides, dilations, auto_pad=auto_pad, pads=pads)
    if begins != ends:
        X = F.pad(X, [p for pair in zip(begins[::-1], ends[::-1], strict=True) for p in pair])
        begins = [0] * rank
    return CONVOLUTIONS[rank](X, W, B, strides, begins, dilations, group)


CONVOLUTIONS: dict[int, Any] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def padding(
    extents: Any,
    kernel: Any,
    strides: list[int],
    dilations: list[int],
    *,
    auto_pad: str,
    pads: list[int] | None,
) -> tuple[list[int], list[int]]:
    """Padding before and after each spatial axis, as attributes and auto_pad say."""
    rank = len(extents)
    if auto_pad not in ("SAME_UPPER", "SAME_LOWER"):
        pads = pads if pads and auto_pad == "NOTSET" else [0] * (2 * rank)
        return list(pads[:rank]), list(pads[rank:])
    begins, ends = [], []
    for extent, k, stride, dilation in zip(extents, kernel, strides, dilations, strict=True):
        total = max((-(-extent // stride) - 1) * stride + (k - 1) * dilation + 1 - extent, 0)
        less, more = total // 2, total - total // 2
        begins.append(more if auto_pad == "SAME_LOWER" else less)
        ends.append(less if auto_pad == "SAME_LOWER" else more)
    return begins, ends


OPERATORS: dict[str, dict[int, Function]] = {"Conv": {1: conv}}

"""Convolution."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from onnxprune.converters.functions.windows import SAME, amounts, padding
from onnxprune.converters.signature import Function

CONVOLUTIONS: dict[int, Any] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED: dict[int, Any] = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


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
        X = F.pad(X, amounts(begins, ends))
        begins = [0] * rank
    if slow_in_bfloat16(X, W, strides, dilations, group):
        with torch.autocast("cpu", enabled=False):
            B = None if B is None else B.float()
            Y = CONVOLUTIONS[rank](X.float(), W.float(), B, strides, begins, dilations, group)
        return Y.bfloat16()
    return CONVOLUTIONS[rank](X, W, B, strides, begins, dilations, group)


def slow_in_bfloat16(X: Tensor, W: Tensor, strides: list[int], dilations: list[int], group: int) -> bool:
    """Whether autocast would take a depthwise convolution whose gradient has no fast bfloat16 kernel.

    With strides, dilations or kernels over 3 it takes two to ten times as long as in float32 on the CPU
    (torch 2.13); without a gradient bfloat16 is the faster.
    """
    if X.device.type != "cpu" or X.dtype == torch.float64 or not torch.is_autocast_enabled("cpu"):
        return False
    if torch.get_autocast_dtype("cpu") != torch.bfloat16:
        return False
    learns = torch.is_grad_enabled() and (X.requires_grad or W.requires_grad)
    depthwise = group > 1 and W.shape[1] == 1
    return learns and depthwise and (max(*strides, *dilations) > 1 or max(W.shape[2:]) > 3)


def conv_transpose(
    X: Tensor,
    W: Tensor,
    B: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: list[int] | None = None,
    group: int = 1,
    kernel_shape: list[int] | None = None,
    output_padding: list[int] | None = None,
    output_shape: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:
    """X (N, C, *extents), W (C, M / group, *kernel), B (M)."""
    rank = X.dim() - 2
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    more = output_padding or [0] * rank
    full = [
        stride * (extent - 1) + extra + (k - 1) * dilation + 1
        for stride, extent, extra, k, dilation in zip(
            strides, X.shape[2:], more, W.shape[2:], dilations, strict=True
        )
    ]
    if output_shape is None and auto_pad in SAME:
        output_shape = [extent * stride for extent, stride in zip(X.shape[2:], strides, strict=True)]
    if output_shape is not None:
        begins, ends = cropping(full, output_shape[-rank:], auto_pad)
    else:
        begins, ends = padding(X.shape[2:], W.shape[2:], strides, dilations, auto_pad="NOTSET", pads=pads)
    # torch adds its output padding at the end, so a crop at the end that is smaller is just that
    grown = [b - e + extra for b, e, extra in zip(begins, ends, more, strict=True)]
    fits = [max(stride, dilation) for stride, dilation in zip(strides, dilations, strict=True)]
    if all(0 <= g < most for g, most in zip(grown, fits, strict=True)) and min(begins) >= 0:
        return TRANSPOSED[rank](X, W, B, strides, begins, grown, group, dilations)
    Y = TRANSPOSED[rank](X, W, None, strides, 0, 0, group, dilations)
    Y = F.pad(Y, amounts([-b for b in begins], [extra - e for e, extra in zip(ends, more, strict=True)]))
    return Y if B is None else Y + B.reshape(-1, *[1] * rank)


def cropping(full: list[int], wanted: list[int], auto_pad: str) -> tuple[list[int], list[int]]:
    """How much of a full transposed convolution goes at each side, where the output's shape is given."""
    totals = [a - b for a, b in zip(full, wanted, strict=True)]
    rounding = 0 if auto_pad == "SAME_UPPER" else 1
    begins = [(max(total, 0) + rounding) // 2 for total in totals]
    return begins, [total - begin for total, begin in zip(totals, begins, strict=True)]


def deform_conv(
    X: Tensor,
    W: Tensor,
    offset: Tensor,
    B: Tensor | None = None,
    mask: Tensor | None = None,
    *,
    dilations: list[int] | None = None,
    group: int = 1,
    kernel_shape: list[int] | None = None,
    offset_group: int = 1,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:
    """X (N, C, H, W), W (M, C / group, kH, kW), offset (N, offset_group * kH * kW * 2, oH, oW)."""
    strides, dilations, pads = strides or [1, 1], dilations or [1, 1], pads or [0, 0, 0, 0]
    (N, C, height, width), kernel, out = X.shape, W.shape[2:], offset.shape[-2:]
    taps = kernel[0] * kernel[1]
    offset = offset.reshape(N, offset_group, taps, 2, *out)
    axes = [
        (torch.arange(kernel[i], device=X.device) * dilations[i]).reshape(-1, 1)
        + torch.arange(out[i], device=X.device) * strides[i]
        - pads[i]
        for i in (0, 1)
    ]  # (k, o) each
    rows = axes[0][:, None, :, None].expand(*kernel, *out).reshape(taps, *out) + offset[:, :, :, 0]
    columns = axes[1][None, :, None, :].expand(*kernel, *out).reshape(taps, *out) + offset[:, :, :, 1]
    grid = torch.stack((columns * 2 / max(width - 1, 1) - 1, rows * 2 / max(height - 1, 1) - 1), -1)
    sampled = F.grid_sample(
        X.reshape(N * offset_group, C // offset_group, height, width),
        grid.reshape(N * offset_group, taps * out[0], out[1], 2).to(X.dtype),
        align_corners=True,
    ).reshape(N, offset_group, C // offset_group, taps, *out)
    if mask is not None:
        sampled = sampled * mask.reshape(N, offset_group, 1, taps, *out)
    columns = sampled.reshape(N, group, C // group * taps, out[0] * out[1])
    Y = W.reshape(group, W.shape[0] // group, -1) @ columns
    Y = Y.reshape(N, W.shape[0], *out)
    return Y if B is None else Y + B.reshape(-1, 1, 1)


def col2im(
    input: Tensor,
    image_shape: list[int],
    block_shape: list[int],
    *,
    dilations: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:
    """Columns (N, C * kernel, blocks) added up into images (N, C, *image_shape)."""
    rank = len(image_shape)
    strides, dilations, pads = strides or [1] * rank, dilations or [1] * rank, pads or [0] * 2 * rank
    taps = 1
    for k in block_shape:
        taps *= k
    begins, ends = pads[:rank], pads[rank:]
    spans = [e + b + a for e, b, a in zip(image_shape, begins, ends, strict=True)]
    blocks = [
        (span - (k - 1) * dilation - 1) // stride + 1
        for span, k, dilation, stride in zip(spans, block_shape, dilations, strides, strict=True)
    ]
    kernel = torch.eye(taps, dtype=input.dtype, device=input.device).reshape(taps, 1, *block_shape)
    Y = TRANSPOSED[rank](input.reshape(-1, taps, *blocks), kernel, None, strides, 0, 0, 1, dilations)
    missing = [span - reached for span, reached in zip(spans, Y.shape[2:], strict=True)]
    Y = F.pad(Y, amounts([-b for b in begins], [m - e for m, e in zip(missing, ends, strict=True)]))
    return Y.reshape(input.shape[0], -1, *image_shape)


OPERATORS: dict[str, dict[int, Function]] = {
    "Col2Im": {18: col2im},
    "Conv": {1: conv},
    "ConvTranspose": {1: conv_transpose},
    "DeformConv": {19: deform_conv},
}

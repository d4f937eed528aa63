"""Convolution and normalisation."""

from typing import Any

import torch
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


def batch_normalization(
    X: Tensor,
    scale: Tensor,
    B: Tensor,
    input_mean: Tensor,
    input_var: Tensor,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    training_mode: int = 0,
    _training: bool,
    _outputs: int,
) -> Any:
    """In training the running statistics are updated in place; ONNX's momentum is the share that stays."""
    if training_mode:
        return batch_normalization_training(X, scale, B, input_mean, input_var, epsilon, momentum)[:_outputs]
    return F.batch_norm(X, input_mean, input_var, scale, B, _training, 1 - momentum, epsilon)


def batch_normalization_training(
    X: Tensor, scale: Tensor, B: Tensor, mean: Tensor, var: Tensor, epsilon: float, momentum: float
) -> tuple[Tensor, Tensor, Tensor]:
    axes = [axis for axis in range(X.dim()) if axis != 1]
    current_mean, current_var = X.mean(axes), X.var(axes, unbiased=False)
    Y = F.batch_norm(X, None, None, scale, B, True, 0.0, epsilon)
    keep = momentum
    return Y, mean * keep + current_mean * (1 - keep), var * keep + current_var * (1 - keep)


def global_average_pool(X: Tensor) -> Tensor:
    return X.mean(tuple(range(2, X.dim())), keepdim=True)


def gemm(
    A: Tensor,
    B: Tensor,
    C: Tensor | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Tensor:
    """A (M, K), B (K, N), C broadcast to (M, N)."""
    A, B = A.T if transA else A, B.T if transB else B
    if not A.is_floating_point():
        Y = (A @ B) * int(alpha)
        return Y if C is None else Y + C * int(beta)
    if C is None:
        return A @ B if alpha == 1 else (A @ B) * alpha
    return torch.addmm(C, A, B, beta=beta, alpha=alpha)


OPERATORS: dict[str, dict[int, Function]] = {
    "BatchNormalization": {9: batch_normalization},
    "Conv": {1: conv},
    "Gemm": {7: gemm},
    "GlobalAveragePool": {1: global_average_pool},
}

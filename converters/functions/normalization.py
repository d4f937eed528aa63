"""Normalisation."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from onnxprune.converters.functions.synchronized import synchronized_norm
from onnxprune.converters.signature import Function
from onnxprune.converters.types import HALF

# --- with the statistics of a batch ----------------------------------------------------------------------


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
    _synced: bool = False,
    _outputs: int,
) -> Any:
    """In training the running statistics are updated in place; ONNX's momentum is the share that stays."""
    if training_mode:
        return with_batch_statistics(X, scale, B, (input_mean, input_var), epsilon, momentum)[:_outputs]
    if _training and _synced:
        return synchronized_norm(X, scale, B, (input_mean, input_var), epsilon, momentum)
    return normalized(X, scale, B, (input_mean, input_var), epsilon, None if not _training else momentum)


def batch_normalization_7(
    X: Tensor,
    scale: Tensor,
    B: Tensor,
    mean: Tensor,
    var: Tensor,
    *,
    epsilon: float = 1e-5,
    is_test: int = 0,
    momentum: float = 0.9,
    spatial: int = 1,
    _training: bool,
    _synced: bool = False,
    _outputs: int,
) -> Any:
    """Several outputs ask for training; without `spatial` each place of a map has its own statistics."""
    shape = X.shape
    if not spatial:
        X, scale, B, mean, var = X.flatten(1), *(t.flatten() for t in (scale, B, mean, var))
    if _outputs > 1:
        Y, *running = with_batch_statistics(X, scale, B, (mean, var), epsilon, momentum)
        axes = [axis for axis in range(X.dim()) if axis != 1]
        saved = X.mean(axes), X.var(axes, unbiased=False)
        return (Y.reshape(shape), *running, *saved)[:_outputs]
    if _training and _synced:
        return synchronized_norm(X, scale, B, (mean, var), epsilon, momentum).reshape(shape)
    Y = normalized(X, scale, B, (mean, var), epsilon, None if not _training else momentum)
    return Y.reshape(shape)


def normalized(
    X: Tensor, scale: Tensor, B: Tensor, running: tuple[Tensor, Tensor], epsilon: float, keep: float | None
) -> Tensor:
    """By the running statistics; with `keep` by the batch's, and the running ones are updated in place."""
    mean, var = running
    wide = mean.dtype
    if mean.requires_grad or var.requires_grad:  # computed ones, to which torch's function gives no gradient
        shape = [-1, *[1] * (X.dim() - 2)]
        factor = (scale * torch.rsqrt(var + epsilon)).reshape(shape)
        return ((X.to(wide) - mean.reshape(shape)) * factor + B.reshape(shape)).to(X.dtype)
    parts = (X, scale, B) if X.dtype == scale.dtype == wide else (X.to(wide), scale.to(wide), B.to(wide))
    share = 0.0 if keep is None else 1 - keep
    Y = F.batch_norm(parts[0], mean, var, *parts[1:], keep is not None, share, epsilon)
    return Y if Y.dtype == X.dtype else Y.to(X.dtype)


def with_batch_statistics(
    X: Tensor, scale: Tensor, B: Tensor, running: tuple[Tensor, Tensor], epsilon: float, keep: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The normalised batch and the new running mean and variance."""
    mean, var = running
    axes = [axis for axis in range(X.dim()) if axis != 1]
    wide = X.to(mean.dtype)
    current_mean, current_var = wide.mean(axes), wide.var(axes, unbiased=False)
    shape = [-1, *[1] * (X.dim() - 2)]
    Y = (wide - current_mean.reshape(shape)) * torch.rsqrt(current_var + epsilon).reshape(shape)
    Y = (Y * scale.reshape(shape) + B.reshape(shape)).to(X.dtype)
    return Y, mean * keep + current_mean * (1 - keep), var * keep + current_var * (1 - keep)


# --- with the statistics of each sample ------------------------------------------------------------------


def instance_normalization(input: Tensor, scale: Tensor, B: Tensor, *, epsilon: float = 1e-5) -> Tensor:
    return torch.group_norm(input, input.shape[1], scale, B, epsilon)


def layer_normalization(
    X: Tensor,
    Scale: Tensor,
    B: Tensor | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
    _outputs: int,
) -> Any:
    """Over the axes from `axis` on; half precision is computed in float32, as torch does by itself."""
    normalized = X.shape[axis % X.dim() :]
    if _outputs == 1 and Scale.shape == normalized and (B is None or B.shape == normalized):
        return F.layer_norm(X, normalized, Scale, B, epsilon)
    axes = tuple(range(axis % X.dim(), X.dim()))
    wide = widened(X)
    mean = wide.mean(axes, keepdim=True)
    inverse = torch.rsqrt((wide - mean).square().mean(axes, keepdim=True) + epsilon)
    Y = ((wide - mean) * inverse).to(X.dtype) * Scale
    return ((Y if B is None else Y + B), mean, inverse)[:_outputs]


def rms_normalization(
    X: Tensor, scale: Tensor, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> Tensor:
    axes = tuple(range(axis % X.dim(), X.dim()))
    wide = widened(X)
    inverse = torch.rsqrt(wide.square().mean(axes, keepdim=True) + epsilon)
    return (wide * inverse).to(X.dtype) * scale


def simplified_layer_normalization(
    X: Tensor,
    scale: Tensor,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
    _outputs: int,
) -> Any:
    """RMSNormalization as ONNX Runtime writes it into the default domain."""
    axes = tuple(range(axis % X.dim(), X.dim()))
    inverse = torch.rsqrt(widened(X).square().mean(axes, keepdim=True) + epsilon)
    return (rms_normalization(X, scale, axis=axis, epsilon=epsilon), inverse)[:_outputs]


def widened(X: Tensor) -> Tensor:
    return X.float() if X.dtype in HALF else X


def group_normalization(
    X: Tensor,
    scale: Tensor,
    bias: Tensor,
    *,
    num_groups: int,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> Tensor:
    """Scale and bias (C)."""
    return torch.group_norm(X, num_groups, scale, bias, epsilon)


def group_normalization_18(
    X: Tensor, scale: Tensor, bias: Tensor, *, num_groups: int, epsilon: float = 1e-5
) -> Tensor:
    """Scale and bias (num_groups)."""
    each = X.shape[1] // num_groups
    return torch.group_norm(
        X, num_groups, scale.repeat_interleave(each), bias.repeat_interleave(each), epsilon
    )


# --- others ----------------------------------------------------------------------------------------------


def lrn(X: Tensor, *, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0) -> Tensor:
    """Over `size` neighbouring channels; with an even size there is one more behind than before."""
    squares = X.square().reshape(X.shape[0], 1, X.shape[1], math.prod(X.shape[2:]))
    squares = F.pad(squares, (0, 0, (size - 1) // 2, size // 2))
    means = F.avg_pool2d(squares, (size, 1), (1, 1)).reshape(X.shape)
    return X / (bias + alpha * means) ** beta


def lp_normalization(input: Tensor, *, axis: int = -1, p: int = 2) -> Tensor:
    norm = torch.linalg.vector_norm(input, p, axis, keepdim=True)
    return input / torch.where(norm == 0, 1.0, norm)


def mean_variance_normalization(X: Tensor, *, axes: list[int] | None = None) -> Tensor:
    axes = axes if axes is not None else [0, 2, 3]
    centred = X - X.mean(axes, keepdim=True)
    return centred / (centred.square().mean(axes, keepdim=True).sqrt() + 1e-9)


OPERATORS: dict[str, dict[int, Function]] = {
    "BatchNormalization": {6: batch_normalization_7, 14: batch_normalization},
    "GroupNormalization": {18: group_normalization_18, 21: group_normalization},
    "InstanceNormalization": {6: instance_normalization},
    "LRN": {1: lrn},
    "LayerNormalization": {1: layer_normalization},  # ONNX Runtime writes it from opset 7 on
    "LpNormalization": {1: lp_normalization},
    "MeanVarianceNormalization": {9: mean_variance_normalization},
    "RMSNormalization": {23: rms_normalization},
    "SimplifiedLayerNormalization": {1: simplified_layer_normalization},
}

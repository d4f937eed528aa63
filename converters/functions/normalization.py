"""Normalisation."""

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from onnxprune.converters.signature import Function


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


OPERATORS: dict[str, dict[int, Function]] = {"BatchNormalization": {9: batch_normalization}}

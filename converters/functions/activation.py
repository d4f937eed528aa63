"""Activations."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from onnxprune.converters.signature import Function


def relu(X: Tensor) -> Tensor:
    return torch.relu(X)


def leaky_relu(X: Tensor, *, alpha: float = 0.01) -> Tensor:
    return F.leaky_relu(X, alpha)


def p_relu(X: Tensor, slope: Tensor) -> Tensor:
    """The slope is broadcast to X (N, C, ...); one a channel has torch's fast path."""
    if not X.is_floating_point():
        return torch.where(X < 0, X * slope, X)
    channels = slope.dim() == X.dim() - 1 and slope.numel() == slope.shape[0] == X.shape[1]
    if slope.numel() == 1 or channels:
        return F.prelu(X, slope.reshape(-1))
    return torch.where(X < 0, X * slope, X)


def p_relu_by_channel(X: Tensor, slope: Tensor) -> Tensor:
    """Until opset 6: a slope of shape (C) or (1)."""
    return F.prelu(X, slope.reshape(-1))


def thresholded_relu(X: Tensor, *, alpha: float = 1.0) -> Tensor:
    return torch.where(X.gt(alpha), X, 0)


def elu(X: Tensor, *, alpha: float = 1.0) -> Tensor:
    return F.elu(X, alpha)


def selu(X: Tensor, *, alpha: float = 1.6732632423543772, gamma: float = 1.0507009873554805) -> Tensor:
    return gamma * F.elu(X, alpha)


def celu(X: Tensor, *, alpha: float = 1.0) -> Tensor:
    return F.celu(X, alpha)


def sigmoid(X: Tensor) -> Tensor:
    return torch.sigmoid(X)


def hard_sigmoid(X: Tensor, *, alpha: float = 0.2, beta: float = 0.5) -> Tensor:
    return torch.clamp(alpha * X + beta, 0, 1)


def hard_swish(X: Tensor) -> Tensor:
    return F.hardswish(X)


def swish(X: Tensor, *, alpha: float = 1.0) -> Tensor:
    return F.silu(X) if alpha == 1 else X * torch.sigmoid(alpha * X)


def swi_glu(A: Tensor, B: Tensor, *, alpha: float = 1.0) -> Tensor:
    return swish(A, alpha=alpha) * B


def mish(X: Tensor) -> Tensor:
    return F.mish(X)


def gelu(X: Tensor, *, approximate: str = "none") -> Tensor:
    return F.gelu(X, approximate=approximate)


def tanh(input: Tensor) -> Tensor:
    return torch.tanh(input)


def softplus(X: Tensor) -> Tensor:
    return F.softplus(X)


def softsign(input: Tensor) -> Tensor:
    return F.softsign(input)


def shrink(input: Tensor, *, bias: float = 0.0, lambd: float = 0.5) -> Tensor:
    shrunk = torch.where(input < -lambd, input + bias, torch.where(input > lambd, input - bias, 0))
    return shrunk.to(input.dtype)


def softmax(input: Tensor, *, axis: int = -1) -> Tensor:
    return torch.softmax(input, axis)


def log_softmax(input: Tensor, *, axis: int = -1) -> Tensor:
    return torch.log_softmax(input, axis)


def hardmax(input: Tensor, *, axis: int = -1) -> Tensor:
    """1 at the first highest value along the axis, 0 elsewhere."""
    extent = input.shape[axis]
    places = torch.arange(extent, device=input.device)
    places = places.reshape([-1] + [1] * ((input.dim() if axis >= 0 else 0) - axis - 1))
    return (places == input.argmax(axis, keepdim=True)).to(input.dtype)


def flattened(function: Callable[..., Tensor], input: Tensor, axis: int) -> Tensor:
    """Before opset 13: over all axes from `axis` on."""
    axis = axis % input.dim() if input.dim() else 0
    if axis == input.dim() - 1:
        return function(input, axis=-1)
    return function(input.flatten(axis), axis=-1).reshape(input.shape)


def softmax_flattened(input: Tensor, *, axis: int = 1) -> Tensor:
    return flattened(softmax, input, axis)


def log_softmax_flattened(input: Tensor, *, axis: int = 1) -> Tensor:
    return flattened(log_softmax, input, axis)


def hardmax_flattened(input: Tensor, *, axis: int = 1) -> Tensor:
    return flattened(hardmax, input, axis)


OPERATORS: dict[str, dict[int, Function]] = {
    "Celu": {12: celu},
    "Elu": {6: elu},
    "Gelu": {20: gelu},
    "HardSigmoid": {6: hard_sigmoid},
    "HardSwish": {14: hard_swish},
    "Hardmax": {1: hardmax_flattened, 13: hardmax},
    "LeakyRelu": {6: leaky_relu},
    "LogSoftmax": {1: log_softmax_flattened, 13: log_softmax},
    "Mish": {18: mish},
    "PRelu": {6: p_relu_by_channel, 7: p_relu},
    "Relu": {6: relu},
    "Selu": {6: selu},
    "Shrink": {9: shrink},
    "Sigmoid": {6: sigmoid},
    "Softmax": {1: softmax_flattened, 13: softmax},
    "Softplus": {1: softplus},
    "Softsign": {1: softsign},
    "SwiGLU": {28: swi_glu},
    "Swish": {24: swish},
    "Tanh": {6: tanh},
    "ThresholdedRelu": {10: thresholded_relu},
}

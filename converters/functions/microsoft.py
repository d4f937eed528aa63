"""Fused operators that ONNX Runtime's optimiser and exporters write."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from onnxprune.converters.functions.convolution import conv
from onnxprune.converters.functions.microsoft_attention import (
    attention,
    multi_head_attention,
    rotary_embedding,
)
from onnxprune.converters.functions.normalization import layer_normalization, rms_normalization
from onnxprune.converters.functions.recurrent_steps import PLAIN
from onnxprune.converters.functions.spatial import grid_sample
from onnxprune.converters.signature import Function

# --- activations -----------------------------------------------------------------------------------------


def gelu(X: Tensor) -> Tensor:
    return F.gelu(X)


def bias_gelu(A: Tensor, B: Tensor) -> Tensor:
    return F.gelu(A + B)


def fast_gelu(X: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.gelu(X if bias is None else X + bias, approximate="tanh")


def quick_gelu(X: Tensor, *, alpha: float = 1.702) -> Tensor:
    return X * torch.sigmoid(alpha * X)


def bias_split_gelu(X: Tensor, bias: Tensor) -> Tensor:
    left, right = (X + bias).chunk(2, -1)
    return left * F.gelu(right)


def bias_add(X: Tensor, bias: Tensor, skip: Tensor) -> Tensor:
    return X + bias + skip


def bias_softmax(data: Tensor, bias: Tensor, *, axis: int = 1, is_inner_broadcast: int) -> Tensor:
    """Over all axes from `axis` on together; the bias broadcasts as in the Add that it was."""
    values = data + bias
    return torch.softmax(values.flatten(axis % data.dim()), -1).reshape(values.shape)


def activated(Y: Tensor, name: str, numbers: list[float]) -> Tensor:
    """An activation that a fused operator names, with its numbers in ONNX's order."""
    if name in ("", "Identity"):
        return Y
    if name == "LeakyRelu":
        return F.leaky_relu(Y, numbers[0])
    if name == "Clip":
        return Y.clamp(*numbers[:2])
    if name == "HardSigmoid":
        alpha, beta = numbers[:2]
        return (alpha * Y + beta).clamp(0, 1)
    return PLAIN[name.lower()](Y)


# --- products --------------------------------------------------------------------------------------------


def fused_conv(
    X: Tensor,
    W: Tensor,
    B: Tensor | None = None,
    Z: Tensor | None = None,
    *,
    activation: str = "",
    activation_params: list[float] | None = None,
    auto_pad: str = "NOTSET",
    dilations: list[int] | None = None,
    group: int = 1,
    kernel_shape: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:
    """Z is added before the activation."""
    Y = conv(X, W, B, auto_pad=auto_pad, dilations=dilations, group=group, pads=pads, strides=strides)
    return activated(Y if Z is None else Y + Z, activation, activation_params or [])


def fused_gemm(
    A: Tensor,
    B: Tensor,
    C: Tensor | None = None,
    *,
    activation: str = "",
    activation_alpha: float = 0.0,
    activation_beta: float = 0.0,
    activation_gamma: float = 0.0,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Tensor:
    A, B = A.T if transA else A, B.T if transB else B
    Y = (A @ B) * alpha if C is None else torch.addmm(C, A, B, beta=beta, alpha=alpha)
    return activated(Y, activation, [activation_alpha, activation_beta, activation_gamma])


def fused_matmul(
    A: Tensor,
    B: Tensor,
    *,
    alpha: float = 1.0,
    transA: int = 0,
    transB: int = 0,
    transBatchA: int = 0,
    transBatchB: int = 0,
) -> Tensor:
    Y = turned(A, transA, transBatchA) @ turned(B, transB, transBatchB)
    return Y if alpha == 1 else Y * alpha


def turned(X: Tensor, last: int, batch: int) -> Tensor:
    """With the first axis before the last one, and then with the last two exchanged."""
    X = X.movedim(0, -2) if batch and X.dim() > 2 else X
    return X.transpose(-1, -2) if last and X.dim() > 1 else X


def gemm_fast_gelu(X: Tensor, W: Tensor, bias: Tensor | None = None) -> Tensor:
    return fast_gelu(X @ W, bias)


def inverse(X: Tensor) -> Tensor:
    return torch.linalg.inv(X)


# --- normalisation ---------------------------------------------------------------------------------------


def skip_layer_normalization(
    input: Tensor,
    skip: Tensor,
    gamma: Tensor,
    beta: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    epsilon: float = 1e-5,
    _outputs: int,
) -> Any:
    total = input + skip if bias is None else input + skip + bias
    if _outputs == 1:
        return layer_normalization(total, gamma, beta, epsilon=epsilon, _outputs=1)
    Y, mean, inverse_std = layer_normalization(total, gamma, beta, epsilon=epsilon, _outputs=3)
    return (Y, mean, inverse_std, total)[:_outputs]


def skip_simplified_layer_normalization(
    input: Tensor,
    skip: Tensor,
    gamma: Tensor,
    bias: Tensor | None = None,
    *,
    epsilon: float = 1e-5,
    _outputs: int,
) -> Any:
    total = input + skip if bias is None else input + skip + bias
    inverse_std = torch.rsqrt(total.float().square().mean(-1, keepdim=True) + epsilon)
    Y = rms_normalization(total, gamma, epsilon=epsilon)
    return (Y, torch.zeros_like(inverse_std), inverse_std, total)[:_outputs]


def embed_layer_normalization(
    input_ids: Tensor,
    segment_ids: Tensor | None,
    word_embedding: Tensor,
    position_embedding: Tensor,
    segment_embedding: Tensor | None,
    gamma: Tensor,
    beta: Tensor,
    mask: Tensor | None = None,
    position_ids: Tensor | None = None,
    *,
    epsilon: float = 1e-12,
    mask_index_type: int = 1,
    _outputs: int,
) -> Any:
    """The second output says how many places of each sample the mask leaves."""
    length = input_ids.shape[1]
    places = position_embedding[:length] if position_ids is None else position_embedding[position_ids.long()]
    total = F.embedding(input_ids.long(), word_embedding) + places
    if segment_ids is not None and segment_embedding is not None:
        total = total + F.embedding(segment_ids.long(), segment_embedding)
    Y = layer_normalization(total, gamma, beta, epsilon=epsilon, _outputs=1)
    counts = torch.zeros_like(input_ids[:, 0]) if mask is None else mask.sum(1)
    return (Y, counts.to(torch.int32), total)[:_outputs]


FUNCTIONS: dict[str, Function] = {
    "Attention": attention,
    "BiasAdd": bias_add,
    "BiasGelu": bias_gelu,
    "BiasSoftmax": bias_softmax,
    "BiasSplitGelu": bias_split_gelu,
    "EmbedLayerNormalization": embed_layer_normalization,
    "FastGelu": fast_gelu,
    "FusedConv": fused_conv,
    "FusedGemm": fused_gemm,
    "FusedMatMul": fused_matmul,
    "Gelu": gelu,
    "GemmFastGelu": gemm_fast_gelu,
    "GridSample": grid_sample,
    "Inverse": inverse,
    "MultiHeadAttention": multi_head_attention,
    "QuickGelu": quick_gelu,
    "RotaryEmbedding": rotary_embedding,
    "SkipLayerNormalization": skip_layer_normalization,
    "SkipSimplifiedLayerNormalization": skip_simplified_layer_normalization,
    "TransposeMatMul": fused_matmul,
}
OPERATORS: dict[str, dict[int, Function]] = {
    f"com.microsoft::{name}": {1: function} for name, function in FUNCTIONS.items()
}

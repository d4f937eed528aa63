"""Attention as ONNX Runtime fuses it."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from onnxprune.converters.functions.attention import attend, heads, joined, rotated, visible
from onnxprune.converters.functions.mapping import is_mapped

Parts = tuple[Tensor, Tensor, Tensor]  # Q, K and V, (N, heads, length, size) each


def attention(
    input: Tensor,
    weights: Tensor,
    bias: Tensor | None = None,
    mask_index: Tensor | None = None,
    past: Tensor | None = None,
    attention_bias: Tensor | None = None,
    *,
    mask_filter_value: float = -10000.0,
    num_heads: int,
    qkv_hidden_sizes: list[int] | None = None,
    scale: float | None = None,
    unidirectional: int = 0,
    _outputs: int,
) -> Any:
    """Input (N, length, size), weights (size, those of Q, K and V); past and present (2, N, heads, ...)."""
    projected = input @ weights if bias is None else input @ weights + bias
    sizes = qkv_hidden_sizes or [projected.shape[2] // 3] * 3
    Q, K, V = (heads(part, num_heads) for part in projected.split(sizes, 2))
    if past is not None:
        K, V = torch.cat((past[0], K), 2), torch.cat((past[1], V), 2)
    Y = attended(
        (Q, K, V), mask_index, attention_bias, scale=scale, fill=mask_filter_value, causal=unidirectional
    )
    return (Y,) if _outputs == 1 else (Y, torch.stack((K, V)))


def multi_head_attention(
    query: Tensor,
    key: Tensor | None = None,
    value: Tensor | None = None,
    bias: Tensor | None = None,
    key_padding_mask: Tensor | None = None,
    attention_bias: Tensor | None = None,
    past_key: Tensor | None = None,
    past_value: Tensor | None = None,
    *,
    mask_filter_value: float = -10000.0,
    num_heads: int,
    scale: float | None = None,
    unidirectional: int = 0,
    _outputs: int,
) -> Any:
    """Query (N, length, heads * size), or all in one (N, length, heads, 3, size); keys also by heads."""
    if query.dim() == 5:
        Q, K, V = (part.transpose(1, 2) for part in query.unbind(3))
    else:
        Q = heads(query, num_heads)
        assert key is not None, "MultiHeadAttention has no keys"
        if key.dim() == 5:
            K, V = (part.transpose(1, 2) for part in key.unbind(3))
        else:
            assert value is not None, "MultiHeadAttention has no values"
            K, V = (part if part.dim() == 4 else heads(part, num_heads) for part in (key, value))
    if bias is not None:
        sizes = [part.shape[1] * part.shape[3] for part in (Q, K, V)]
        added = (part.reshape(num_heads, 1, -1) for part in bias.split(sizes))
        cached = key is not None and key.dim() == 4  # these have their bias already
        q, k, v = added
        Q, K, V = Q + q, K if cached else K + k, V if cached else V + v
    if past_key is not None and past_value is not None:
        K, V = torch.cat((past_key, K), 2), torch.cat((past_value, V), 2)
    Y = attended(
        (Q, K, V),
        key_padding_mask,
        attention_bias,
        scale=scale,
        fill=mask_filter_value,
        causal=unidirectional,
    )
    return (Y, K, V)[:_outputs]


def attended(
    parts: Parts,
    mask: Tensor | None,
    bias: Tensor | None,
    *,
    scale: float | None,
    fill: float,
    causal: int,
) -> Tensor:
    """The result (N, length, heads * size)."""
    Q, K, V = parts
    scale = scale or 1 / math.sqrt(Q.shape[3])
    if mask is None and bias is None and not causal and not is_mapped(Q, K, V):
        return joined(F.scaled_dot_product_attention(Q, K, V, scale=scale))
    length = K.shape[2]
    if mask is not None:
        filled = torch.where(kept(mask, Q.shape[0], length), 0.0, fill).to(Q.dtype)
        bias = filled if bias is None else bias + filled
    if causal:
        allowed = visible((Q.shape[2], length), length - Q.shape[2], -1, 0, device=Q.device)
        assert allowed is not None
        bias = torch.zeros((), dtype=Q.dtype, device=Q.device) if bias is None else bias
        bias = torch.where(allowed, bias, -math.inf)
    return joined(attend(parts, bias, scale)[0])


def kept(mask: Tensor, samples: int, length: int) -> Tensor:
    """Which keys count, (N, 1, 1 or queries, keys): of lengths, of ends and starts, or of a mask."""
    if mask.dim() == 1:
        keys = torch.arange(length, device=mask.device)
        ends = mask[:samples].reshape(-1, 1, 1, 1)
        if len(mask) == samples:
            return keys < ends
        return (keys < ends) & (keys >= mask[samples : 2 * samples].reshape(-1, 1, 1, 1))
    if mask.dim() == 2:
        return mask[:, None, None, :] > 0
    return mask.unsqueeze(1) > 0


def rotary_embedding(
    input: Tensor,
    position_ids: Tensor,
    cos_cache: Tensor,
    sin_cache: Tensor,
    *,
    interleaved: int = 0,
    num_heads: int = 0,
    rotary_embedding_dim: int = 0,
) -> Tensor:
    """Input (N, heads, length, size) or (N, length, heads * size); positions (N, length) or of the first."""
    packed = input.dim() == 3
    half = cos_cache.shape[1]
    X = heads(input, num_heads or input.shape[2] // (2 * half)) if packed else input
    if position_ids.dim() == 1:
        position_ids = (position_ids + torch.arange(X.shape[2], device=X.device)).unsqueeze(0)
    cos, sin = cos_cache[position_ids].unsqueeze(1), sin_cache[position_ids].unsqueeze(1)
    size = rotary_embedding_dim or X.shape[3]
    Y = rotated(X[..., :size], cos, sin, interleaved=bool(interleaved))
    Y = Y if size == X.shape[3] else torch.cat((Y, X[..., size:]), -1)
    return joined(Y) if packed else Y

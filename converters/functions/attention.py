"""Attention and what goes with it."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from onnxprune.converters.functions.linear_attention import causal_conv_with_state, linear_attention
from onnxprune.converters.functions.mapping import is_mapped
from onnxprune.converters.signature import Function
from onnxprune.converters.types import HALF, TORCH_TYPES


def attention(
    Q: Tensor,
    K: Tensor,
    V: Tensor,
    attn_mask: Tensor | None = None,
    past_key: Tensor | None = None,
    past_value: Tensor | None = None,
    nonpad_kv_seqlen: Tensor | None = None,
    *,
    is_causal: int = 0,
    kv_num_heads: int | None = None,
    left_window_size: int = -1,
    q_num_heads: int | None = None,
    qk_matmul_output_mode: int = 0,
    right_window_size: int = -1,
    scale: float | None = None,
    softcap: float = 0.0,
    softmax_precision: int | None = None,
    _outputs: int,
) -> Any:
    """Q, K and V (N, heads, length, size), or (N, length, heads * size)."""
    packed = Q.dim() == 3
    if packed:
        assert q_num_heads, "Attention of three axes needs q_num_heads"
        assert kv_num_heads, "Attention of three axes needs kv_num_heads"
        Q, K, V = heads(Q, q_num_heads), heads(K, kv_num_heads), heads(V, kv_num_heads)
    offset: Any = past_key.shape[2] if past_key is not None else 0
    if nonpad_kv_seqlen is not None and past_key is None:
        offset = nonpad_kv_seqlen.reshape(-1, 1, 1, 1) - Q.shape[2]
    if past_key is not None and past_value is not None:
        K, V = torch.cat((past_key, K), 2), torch.cat((past_value, V), 2)
    present, length = (K, V), K.shape[2]
    if Q.shape[1] != K.shape[1]:
        K, V = (part.repeat_interleave(Q.shape[1] // part.shape[1], 1) for part in (K, V))
    scale = 1 / math.sqrt(Q.shape[3]) if scale is None else scale
    plain = attn_mask is None and nonpad_kv_seqlen is None and not (is_causal and past_key is not None)
    plain = plain and not softcap and softmax_precision is None
    plain = plain and left_window_size < 0 and right_window_size < 0
    # in half precision on a CPU the fused kernel rounds otherwise than the operators it stands for
    plain = plain and (Q.is_cuda or Q.dtype not in HALF)
    if plain and _outputs < 4 and not is_mapped(Q, K, V):
        Y = F.scaled_dot_product_attention(Q, K, V, is_causal=bool(is_causal), scale=scale)
        return (joined(Y) if packed else Y, *present)[:_outputs]
    right = 0 if is_causal else right_window_size
    allowed = visible((Q.shape[2], length), offset, left_window_size, right, device=Q.device)
    if nonpad_kv_seqlen is not None:
        within = torch.arange(length, device=Q.device) < nonpad_kv_seqlen.reshape(-1, 1, 1, 1)
        allowed = within if allowed is None else allowed & within
    bias = bias_of(padded(attn_mask, length), allowed, Q.dtype)
    Y, scores = attend((Q, K, V), bias, scale, softcap=softcap, precision=softmax_precision)
    return (joined(Y) if packed else Y, *present, scores[qk_matmul_output_mode])[:_outputs]


def heads(X: Tensor, number: int) -> Tensor:
    """(N, length, heads * size) -> (N, heads, length, size)."""
    return X.unflatten(2, (number, -1)).transpose(1, 2)


def joined(X: Tensor) -> Tensor:
    """(N, heads, length, size) -> (N, length, heads * size)."""
    return X.transpose(1, 2).flatten(2)


def visible(
    lengths: tuple[int, int], offset: Any, left: int, right: int, *, device: torch.device
) -> Tensor | None:
    """Which keys each query may see, where windows say so; queries begin at `offset` of the keys."""
    if left < 0 and right < 0:
        return None
    queries = torch.arange(lengths[0], device=device).unsqueeze(1) + offset
    distance = torch.arange(lengths[1], device=device) - queries  # (queries, keys), or one for each sample
    if left < 0:
        return distance <= right
    return distance >= -left if right < 0 else (distance >= -left) & (distance <= right)


def padded(mask: Tensor | None, length: int) -> Tensor | None:
    """A mask for all keys: it may be shorter."""
    if mask is None or mask.shape[-1] == length:
        return mask
    missing = (0, length - mask.shape[-1])
    if mask.dtype == torch.bool:
        return F.pad(mask, missing, value=False)
    return F.pad(mask, missing, value=-math.inf)


def bias_of(mask: Tensor | None, allowed: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """What is added to the scores: -inf where a key is not seen."""
    if mask is not None and mask.dtype == torch.bool:
        allowed = mask if allowed is None else allowed & mask
        mask = None
    if allowed is None:
        return mask
    added = torch.zeros((), dtype=dtype, device=allowed.device) if mask is None else mask
    return torch.where(allowed, added, -math.inf)


def attend(
    parts: tuple[Tensor, Tensor, Tensor],
    bias: Tensor | None,
    scale: float,
    *,
    softcap: float = 0.0,
    precision: int | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """The result, and the scores: as products, capped, with the bias, after softmax.

    A query that sees no key gets zeros, and no gradient passes it.
    """
    Q, K, V = parts
    root = math.sqrt(scale)
    raw = (Q * root) @ (K * root).transpose(-1, -2)
    capped = torch.tanh(raw / softcap) * softcap if softcap > 0 else raw
    biased = capped if bias is None else capped + bias
    wide = biased if precision is None else biased.to(TORCH_TYPES[precision])
    if bias is None:
        shares = torch.softmax(wide, -1).to(Q.dtype)
    else:
        blind = torch.isneginf(bias.amax(-1, keepdim=True))
        shares = torch.softmax(torch.where(blind, 0.0, wide), -1).to(Q.dtype)
        shares = torch.where(blind, 0.0, shares)
    return shares @ V, [raw, capped, biased, shares]


def rotary_embedding(
    X: Tensor,
    cos_cache: Tensor,
    sin_cache: Tensor,
    position_ids: Tensor | None = None,
    *,
    interleaved: int = 0,
    num_heads: int | None = None,
    rotary_embedding_dim: int = 0,
) -> Tensor:
    """X (N, heads, length, size) or (N, length, heads * size); caches (N, length, half) or by position."""
    packed = X.dim() == 3
    if packed:
        assert num_heads, "RotaryEmbedding of three axes needs num_heads"
        X = heads(X, num_heads)
    if position_ids is not None:
        cos_cache, sin_cache = cos_cache[position_ids], sin_cache[position_ids]
    cos, sin = cos_cache.unsqueeze(1), sin_cache.unsqueeze(1)  # (N, 1, length, half)
    size = rotary_embedding_dim or X.shape[3]
    Y = rotated(X[..., :size], cos, sin, interleaved=bool(interleaved))
    Y = Y if size == X.shape[3] else torch.cat((Y, X[..., size:]), -1)
    return joined(Y) if packed else Y


def rotated(X: Tensor, cos: Tensor, sin: Tensor, *, interleaved: bool) -> Tensor:
    """Pairs of numbers turned; a pair is two neighbours, or one of each half."""
    a, b = (X[..., 0::2], X[..., 1::2]) if interleaved else X.chunk(2, -1)
    parts = (cos * a - sin * b, sin * a + cos * b)
    return torch.stack(parts, -1).flatten(-2) if interleaved else torch.cat(parts, -1)


OPERATORS: dict[str, dict[int, Function]] = {
    "Attention": {23: attention},
    "CausalConvWithState": {1: causal_conv_with_state},
    "LinearAttention": {1: linear_attention},
    "RotaryEmbedding": {23: rotary_embedding},
}

"""Recurrent relatives of attention: a state that each token decays, corrects and reads."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from onnxprune.converters.types import HALF


def linear_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    past_state: Tensor | None = None,
    decay: Tensor | None = None,
    beta: Tensor | None = None,
    *,
    chunk_size: int = 64,
    kv_num_heads: int,
    q_num_heads: int,
    scale: float = 0.0,
    update_rule: str = "gated_delta",
) -> tuple[Tensor, Tensor]:
    """Token by token; `chunk_size` is a hint for speed that changes no result."""
    q, k, v = by_token(query, q_num_heads), by_token(key, kv_num_heads), by_token(value, kv_num_heads)
    rates = None if decay is None else by_token(decay, kv_num_heads).exp()  # (T, N, heads, size or 1)
    shares = None if beta is None else by_token(beta, beta.shape[2])  # (T, N, heads or 1, 1)
    N, size = query.shape[0], k.shape[3]
    state = q.new_zeros(N, kv_num_heads, size, v.shape[3]) if past_state is None else past_state.to(q.dtype)
    scale = scale or 1 / math.sqrt(size)
    outputs = []
    for t in range(q.shape[0]):
        state = state if rates is None else state * rates[t].unsqueeze(-1)
        written = v[t]
        if shares is not None:
            read = (k[t].unsqueeze(-2) @ state).squeeze(-2)  # (N, heads, v size)
            written = shares[t] * (written - read)
        state = state + k[t].unsqueeze(-1) * written.unsqueeze(-2)
        shared = state.repeat_interleave(q_num_heads // kv_num_heads, 1)
        outputs.append((q[t].unsqueeze(-2) @ shared).squeeze(-2) * scale)
    Y = torch.stack(outputs, 1).flatten(2).to(query.dtype)  # (N, T, heads * v size)
    return Y, state.to(query.dtype if past_state is None else past_state.dtype)


def by_token(X: Tensor, heads: int) -> Tensor:
    """(N, T, heads * size) -> (T, N, heads, size), in single precision at least."""
    wide = X.float() if X.dtype in HALF else X
    return wide.unflatten(2, (heads, -1)).transpose(0, 1)


def causal_conv_with_state(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    past_state: Tensor | None = None,
    *,
    activation: str = "none",
) -> tuple[Tensor, Tensor]:
    """Each channel by itself, looking back only: input (N, C, T), weight (C, 1, k), state (N, C, k - 1)."""
    before = weight.shape[2] - 1
    X = F.pad(input, (before, 0)) if past_state is None else torch.cat((past_state, input), 2)
    Y = F.conv1d(X, weight, bias, groups=weight.shape[0])
    Y = F.silu(Y) if activation in ("silu", "swish") else Y
    return Y, X[:, :, X.shape[2] - before :]

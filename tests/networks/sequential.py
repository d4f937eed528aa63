"""Small networks over sequences: attention in its common exports, mixers, recurrent classifiers."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.networks.convolutional import CLASSES

WIDTH, HEADS, TOKENS = 24, 4, 12
VOCABULARY = 50


def by_head(x: Tensor) -> Tensor:  # (N, T, C) -> (N, heads, T, C / heads)
    count, tokens, width = x.shape
    return x.reshape(count, tokens, HEADS, width // HEADS).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:  # (N, heads, T, d) -> (N, T, heads * d)
    return x.transpose(1, 2).flatten(2)


class SeparateAttention(nn.Module):
    """Query, key and value by three Linear layers; the product by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.leave = (nn.Linear(WIDTH, WIDTH) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = by_head(self.query(x)), by_head(self.key(x)), by_head(self.value(x))
        scores = query @ key.transpose(2, 3) / (WIDTH // HEADS) ** 0.5
        return self.leave(join_heads(scores.softmax(dim=-1) @ value))


class FusedAttention(nn.Module):
    """One Linear layer for all three, cut by `cut`; the product by torch's function."""

    def __init__(self, cut: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]) -> None:
        super().__init__()
        self.enter = nn.Linear(WIDTH, 3 * WIDTH)
        self.leave = nn.Linear(WIDTH, WIDTH)
        self.cut = cut

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.cut(self.enter(x))
        return self.leave(join_heads(functional.scaled_dot_product_attention(query, key, value)))


def cut_by_split(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    query, key, value = x.chunk(3, dim=-1)
    return by_head(query), by_head(key), by_head(value)


def cut_by_slice(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    parts = x[..., :WIDTH], x[..., WIDTH : 2 * WIDTH], x[..., 2 * WIDTH :]
    return by_head(parts[0]), by_head(parts[1]), by_head(parts[2])


def cut_by_gather(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(N, T, 3, heads, d), permuted, then one index for each part (the usual ViT code)."""
    count, tokens, _ = x.shape
    parts = x.reshape(count, tokens, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
    return parts[0], parts[1], parts[2]


class EinsumAttention(SeparateAttention):
    """Both products by Einstein sums."""

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = by_head(self.query(x)), by_head(self.key(x)), by_head(self.value(x))
        weights = (torch.einsum("nhqd,nhkd->nhqk", query, key) / (WIDTH // HEADS) ** 0.5).softmax(dim=-1)
        return self.leave(join_heads(torch.einsum("nhqk,nhkd->nhqd", weights, value)))


class TorchAttention(nn.Module):
    """nn.MultiheadAttention with itself."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x, need_weights=False)[0]


class GatedFeedForward(nn.Module):
    """down(silu(gate(x)) * up(x)), without biases (SwiGLU)."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(WIDTH, 32, bias=False)
        self.up = nn.Linear(WIDTH, 32, bias=False)
        self.down = nn.Linear(32, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(functional.silu(self.gate(x)) * self.up(x))


def feed_forward() -> nn.Module:
    return nn.Sequential(nn.Linear(WIDTH, 32), nn.GELU(), nn.Linear(32, WIDTH))


class RootMeanSquareNorm(nn.Module):
    """RMSNorm written out, as language models have it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.gain


class Block(nn.Module):
    """Normalise first, then add: attention, feed-forward."""

    def __init__(self, attention: nn.Module, feed: nn.Module, norm: type[nn.Module] = nn.LayerNorm) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm(WIDTH), norm(WIDTH)
        self.attention, self.feed = attention, feed

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.feed(self.norm2(x))


class Pool(nn.Module):
    def forward(self, x: Tensor) -> Tensor:  # (N, T, C) -> (N, C)
        return x.mean(dim=1)


def encoder(attention: Callable[[], nn.Module], feed: Callable[[], nn.Module] = feed_forward) -> nn.Module:
    """Two blocks over (N, T, C)."""
    blocks = [Block(attention(), feed()) for _ in range(2)]
    return nn.Sequential(nn.Linear(6, WIDTH), *blocks, nn.LayerNorm(WIDTH), Pool(), nn.Linear(WIDTH, CLASSES))


def encoder_layer() -> nn.Module:
    """nn.TransformerEncoderLayer, post-norm."""
    layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 32, dropout=0.0, batch_first=True)
    return nn.Sequential(nn.Linear(6, WIDTH), layer, Pool(), nn.Linear(WIDTH, CLASSES))


class Embedding(nn.Module):
    """Token and position tables, added."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, WIDTH)
        self.positions = nn.Parameter(0.3 * torch.randn(1, TOKENS, WIDTH))

    def forward(self, x: Tensor) -> Tensor:  # (N, T) int64 -> (N, T, C)
        return self.tokens(x) + self.positions


def token_encoder() -> nn.Module:
    """RMSNorm and a gated feed-forward over embedded tokens."""
    block = Block(SeparateAttention(), GatedFeedForward(), RootMeanSquareNorm)
    return nn.Sequential(Embedding(), block, RootMeanSquareNorm(WIDTH), Pool(), nn.Linear(WIDTH, CLASSES))


class LanguageModel(nn.Module):
    """Scores for the next token; the head's weights are the token table."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = Embedding()
        self.block = Block(SeparateAttention(), GatedFeedForward(), RootMeanSquareNorm)
        self.norm = RootMeanSquareNorm(WIDTH)

    def forward(self, x: Tensor) -> Tensor:  # (N, T) int64 -> (N, T, vocabulary)
        return functional.linear(self.norm(self.block(self.enter(x))), self.enter.tokens.weight)


class VisionTransformer(nn.Module):
    """Patches by a strided convolution, a class token, positions, two blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, 8, 8)
        self.first = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.positions = nn.Parameter(0.3 * torch.randn(1, 17, WIDTH))
        self.blocks = nn.Sequential(*(Block(FusedAttention(cut_by_gather), feed_forward()) for _ in range(2)))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:  # (N, 3, 32, 32) -> (N, classes)
        x = self.patches(x).flatten(2).transpose(1, 2)  # (N, 16, C)
        x = torch.cat([self.first.expand(x.shape[0], -1, -1), x], dim=1) + self.positions
        return self.head(self.norm(self.blocks(x))[:, 0])


class Mixing(nn.Module):
    """One MLP across tokens, one across channels."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.across = nn.Sequential(nn.Linear(16, 20), nn.GELU(), nn.Linear(20, 16))
        self.along = feed_forward()

    def forward(self, x: Tensor) -> Tensor:  # (N, T, C)
        x = x + self.across(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.along(self.norm2(x))


class Mixer(nn.Module):
    """MLP-Mixer over 16 patches."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, 8, 8)
        self.blocks = nn.Sequential(Mixing(), Mixing(), nn.LayerNorm(WIDTH))
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.patches(x).flatten(2).transpose(1, 2)).mean(dim=1))


class Recurrent(nn.Module):
    """A Linear layer, a recurrent one, and a classifier on the last step."""

    def __init__(self, kind: type[nn.RNNBase], *, layers: int = 1, both: bool = False) -> None:
        super().__init__()
        self.enter = nn.Linear(6, 10)
        self.recurrent = kind(10, 16, num_layers=layers, bidirectional=both, batch_first=True)
        self.fc = nn.Linear(32 if both else 16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:  # (N, T, 6) -> (N, classes)
        steps, _ = self.recurrent(functional.relu(self.enter(x)))
        return self.fc(steps[:, -1])


SEQUENTIAL: dict[str, Callable[[], nn.Module]] = {
    "encoder_separate": partial(encoder, SeparateAttention),
    "encoder_split": partial(encoder, partial(FusedAttention, cut_by_split)),
    "encoder_slice": partial(encoder, partial(FusedAttention, cut_by_slice)),
    "encoder_gather": partial(encoder, partial(FusedAttention, cut_by_gather)),
    "encoder_multihead": partial(encoder, TorchAttention),
    "encoder_einsum": partial(encoder, EinsumAttention),
    "encoder_gated": partial(encoder, SeparateAttention, GatedFeedForward),
    "encoder_layer": encoder_layer,
    "token_encoder": token_encoder,
    "language_model": LanguageModel,
    "vision_transformer": VisionTransformer,
    "mixer": Mixer,
    "lstm": partial(Recurrent, nn.LSTM),
    "lstm_stacked": partial(Recurrent, nn.LSTM, layers=2),
    "lstm_both_ways": partial(Recurrent, nn.LSTM, both=True),
    "gru": partial(Recurrent, nn.GRU),
    "gru_both_ways": partial(Recurrent, nn.GRU, both=True),
    "rnn": partial(Recurrent, nn.RNN),
}

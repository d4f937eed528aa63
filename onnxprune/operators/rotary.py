"""RotaryEmbedding: channels turn in pairs, each pair by an angle of its own.

    interleaved: pairs (0, 1), (2, 3), ...      otherwise: (0, R/2), (1, R/2 + 1), ...

A pair and its column of the cosine and sine tables live and die together; channels behind the first R
are passed through.
"""

import numpy as np

from onnxprune.operators.attention import bind_heads, joined, operand, split_heads
from onnxprune.operators.context import CannotFollow, NodeContext
from onnxprune.operators.labels import AxisLabels

SIZE = "rotary_embedding_dim"


def rotary(ctx: NodeContext) -> None:
    """ai.onnx: X, cosines, sines, positions."""
    rotate(ctx, (1, 2))


def rotary_microsoft(ctx: NodeContext) -> None:
    """com.microsoft: X, positions, cosines, sines."""
    rotate(ctx, (2, 3))


def rotate(ctx: NodeContext, tables: tuple[int, int]) -> None:
    """X is (B, H, S, D) or (B, S, H * D)."""
    width = int(ctx.node.attr(SIZE, 0)) or 2 * ctx.shape(tables[0])[-1]
    heads = int(ctx.node.attr("num_heads", 0))
    if ctx.rank(0) == 3:
        heads = heads or ctx.shape(0)[2] // (2 * ctx.shape(tables[0])[-1])
    held = operand(ctx, 0, heads)
    (found,) = split_heads(ctx, [held])
    couple_pairs(ctx, found.inner, width, tables)
    if ctx.rank(0) == 3:
        bind_heads(ctx, "num_heads", found.outer)
        ctx.put([None, None, joined(found, heads, ctx.shape(0)[2] // heads)])
    else:
        ctx.put([None, found.outer, None, found.inner])


def couple_pairs(ctx: NodeContext, inner: AxisLabels, width: int, tables: tuple[int, int]) -> None:
    angles = [ctx.take(slot, ctx.rank(slot) - 1) for slot in tables]
    if inner is None:
        for labels in angles:
            ctx.freeze(labels, "it turns channels that cannot change")
        return
    if width % 2 or width > len(inner):
        raise CannotFollow(f"{width} channels of {len(inner)} are rotated")
    rotated = inner[:width]
    pairs = rotated.reshape(-1, 2) if ctx.node.attr("interleaved", 0) else rotated.reshape(2, -1).T
    ctx.couple(pairs[:, 0], pairs[:, 1])
    for labels in angles:
        ctx.couple(np.ascontiguousarray(pairs[:, 0]), labels)
    if ctx.node.attr(SIZE, 0):
        ctx.bind_attr(SIZE, rotated)
    elif width < len(inner):
        ctx.freeze(inner, "how many channels are rotated is not written")

"""com.microsoft Attention and QAttention: the projections of query, key and value are part of the operator.

    x (B, S, E) @ weights (E, H*D + H*D + H*Dv) + bias -> attention in H heads -> (B, S, H*Dv)

The contraction over D lies inside the operator, so the masked original cuts the columns and the bias.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from onnxprune.operators.attention import (
    Heads,
    Operand,
    attend,
    bind_heads,
    joined,
    meet_mask,
    pin_scale,
    split_heads,
)
from onnxprune.operators.context import CannotFollow, NodeContext
from onnxprune.operators.labels import AxisLabels
from onnxprune.operators.quantized import per_column

SIZES = "qkv_hidden_sizes"


@dataclass(frozen=True)
class Slots:
    """Which input is what; `columns` hold one element for each column of the weights."""

    past: int
    scores: int | None = None
    columns: tuple[int, ...] = ()
    sizes: bool = True  # the sizes of query, key and value may differ


def fused(ctx: NodeContext) -> None:
    """Attention: input, weights, bias, mask, past, bias of QK."""
    attend_packed(ctx, Slots(past=4, scores=5))


def quantised(ctx: NodeContext) -> None:
    """QAttention: input, weights, bias, scales, mask, zero points, past."""
    attend_packed(ctx, Slots(past=8, columns=(4, 7), sizes=False))


def attend_packed(ctx: NodeContext, slots: Slots) -> None:
    if ctx.node.attr("do_rotary", 0):
        raise CannotFollow("it rotates pairs of channels itself")
    rows, columns = ctx.take(1, 0), ctx.take(1, 1)
    ctx.couple(ctx.take(0, 2), rows)
    ctx.contract(0, 2)
    ctx.consumes(rows)
    ctx.produces(columns)
    if ctx.has(2):
        ctx.couple(columns, ctx.take(2, 0))
    per_column(ctx, slots.columns, columns)
    parts = thirds(ctx, columns)
    heads = int(ctx.node.attr("num_heads"))
    query, key, value = split_heads(ctx, [Operand((part,), heads) for part in parts])
    attend(ctx, query, key, value)
    if ctx.has(slots.past) or len(ctx.node.outputs) > 1 or not slots.sizes:
        ctx.couple(key.inner, value.inner)  # one tensor holds both
    cut_projections(ctx)
    write_sizes(ctx, parts, heads, query, slots)
    if slots.scores is not None:
        meet_mask(ctx, slots.scores, query.outer)
    finish(ctx, slots, key, value)
    count(ctx, slots, parts[0])


def thirds(ctx: NodeContext, columns: AxisLabels) -> list[AxisLabels]:
    """The columns of query, key and value."""
    if columns is None:
        return [None, None, None]
    sizes = ctx.node.attr(SIZES) or [len(columns) // 3] * 3
    if sum(sizes) != len(columns) or len(sizes) != 3:
        raise CannotFollow(f"sizes {sizes} do not fill {len(columns)} columns")
    return [columns[a:b] for a, b in pairwise(np.cumsum([0, *sizes]))]


def cut_projections(ctx: NodeContext) -> None:
    """The contraction over D lies inside: it is cut at the columns, and at the bias added to them."""
    ctx.contract(1, 1)
    if ctx.has(2):
        ctx.contract(2, 0)


def write_sizes(ctx: NodeContext, parts: list[AxisLabels], heads: int, query: Heads, slots: Slots) -> None:
    """Head count, sizes and scale, as far as they follow from the columns by default."""
    bind_heads(ctx, "num_heads", query.outer)
    first = parts[0]
    if first is None:
        return
    pin_scale(ctx, query.inner, len(first) // heads, zero_is_default=True)
    if SIZES in ctx.node.attributes:
        for index, part in enumerate(parts):
            ctx.bind_attr(SIZES, part, index=index)
    elif slots.sizes:
        ctx.supply(SIZES, [part for part in parts if part is not None])


def finish(ctx: NodeContext, slots: Slots, key: Heads, value: Heads) -> None:
    """Outputs, and the cache (2, B, H, P, D)."""
    count, last = int(ctx.node.attr("num_heads")), ctx.out_shape()[-1]
    if ctx.has(slots.past):
        ctx.couple(key.outer, ctx.take(slots.past, 2))
        ctx.couple(key.inner, ctx.take(slots.past, 4))
    ctx.put([None, None, joined(value, count, last // count)])
    ctx.put([None, None, key.outer, None, key.inner], 1)


def count(ctx: NodeContext, slots: Slots, query: AxisLabels) -> None:
    """MACs of the projections, of every query with every key, and of every weight of theirs with a value."""
    batch, length = ctx.shape(0)[:2]
    total = length + (ctx.shape(slots.past)[3] if ctx.has(slots.past) else 0)
    weights = ctx.name(1)
    ctx.macs(batch * length, (weights, 0), (weights, 1))
    if query is None:
        sizes = ctx.node.attr(SIZES) or [ctx.shape(1)[1] // 3]
        ctx.macs(batch * length * total * sizes[0])
    else:
        ctx.macs(batch * length * total, query)
    ctx.macs(total, *ctx.all_axes(ctx.node.outputs[0]))

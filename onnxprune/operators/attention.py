"""Attention as one operator: heads, and the inner channels of query, key and value.

    q (Hq, D), k (Hkv, D), v (Hkv, Dv) -> y (Hq, Dv);  Hq = Hkv times the heads that share one key

D is contracted between q and k; Dv passes to the output. An axis that holds all heads packed, (H * D),
carries either the D indices that all heads share, or the heads (`Options.heads`); an input with an axis for
each carries both. The scale 1/sqrt(D) is a default that would change with D, so it is written.
"""

from dataclasses import dataclass

import numpy as np

from onnxprune.operators.context import CannotFollow, NodeContext
from onnxprune.operators.grids import couple_rows
from onnxprune.operators.labels import AxisLabels, Labels


@dataclass(frozen=True)
class Heads:
    """Labels of one operand: one per head, one per index that all its heads share."""

    outer: AxisLabels = None
    inner: AxisLabels = None


@dataclass(frozen=True)
class Operand:
    """An input (or part of an axis) that holds heads.

    Attributes:
        labels: All its axes if each has its own, else the one packed axis, alone in the tuple.
        heads: How many.
    """

    labels: tuple[AxisLabels, ...]
    heads: int

    @property
    def packed(self) -> AxisLabels:
        return self.labels[0] if len(self.labels) == 1 else None

    def grid(self) -> Labels | None:
        """(heads, inner) of a packed axis."""
        if self.packed is None:
            return None
        if len(self.packed) % self.heads:
            raise CannotFollow(f"{len(self.packed)} channels are no whole number of {self.heads} heads")
        return self.packed.reshape(self.heads, -1)


def operand(ctx: NodeContext, slot: int, heads: int) -> Operand:
    """(B, S, H * D) or (B, H, S, D)."""
    if ctx.rank(slot) == 3:
        return Operand((ctx.take(slot, 2),), heads)
    if ctx.rank(slot) != 4:
        raise CannotFollow(f"input {slot} holds its heads in another form")
    return Operand((None, ctx.take(slot, 1), None, ctx.take(slot, 3)), ctx.shape(slot)[1])


def split_heads(ctx: NodeContext, operands: list[Operand]) -> list[Heads]:
    """What the operands carry; one choice for all the packed ones."""
    grids = [of_operand.grid() for of_operand in operands]
    by_head = goes_by_head(ctx, [grid for grid in grids if grid is not None])
    return [carried(ctx, o, grid, by_head) for o, grid in zip(operands, grids, strict=True)]


def goes_by_head(ctx: NodeContext, grids: list[Labels]) -> bool:
    """Whether packed axes lose whole heads; otherwise an index of every head."""
    if all(grid.shape[1] == 1 for grid in grids):
        return bool(grids)
    if all(len(grid) == 1 for grid in grids):
        return False
    inner = np.concatenate([grid[0] for grid in grids])
    outer = np.concatenate([grid[:, 0] for grid in grids])
    carriers = [outer, inner] if ctx.options.heads else [inner, outer]
    return (ctx.choose(carriers) == 0) == ctx.options.heads


def carried(ctx: NodeContext, of_operand: Operand, grid: Labels | None, by_head: bool) -> Heads:
    if len(of_operand.labels) > 1:
        return Heads(of_operand.labels[1], of_operand.labels[3])
    if grid is None:
        return Heads()
    if by_head:
        return Heads(outer=couple_rows(ctx, grid))
    return Heads(inner=couple_rows(ctx, grid.T))


def attend(ctx: NodeContext, query: Heads, key: Heads, value: Heads, *, share: int = 1) -> None:
    """Couple the operands; `share` query heads read one key head."""
    ctx.couple(query.inner, key.inner)
    ctx.couple(query.outer, shared(key.outer, share))
    ctx.couple(key.outer, value.outer)


def shared(outer: AxisLabels, share: int) -> AxisLabels:
    return None if outer is None else np.repeat(outer, share)


def joined(heads: Heads, count: int, inner: int) -> AxisLabels:
    """Labels of a packed axis of `count` heads of `inner` indices."""
    if heads.inner is not None:
        return np.tile(heads.inner, count)
    return None if heads.outer is None else np.repeat(heads.outer, inner)


def pin_scale(ctx: NodeContext, inner: AxisLabels, extent: int, *, zero_is_default: bool) -> None:
    """Write the default scale before D changes."""
    written = ctx.node.attr("scale")
    if written is None or (zero_is_default and written == 0):
        ctx.pin("scale", extent**-0.5, inner)


def meet_mask(ctx: NodeContext, slot: int, heads: AxisLabels) -> None:
    """A mask or bias that broadcasts to (B, Hq, S, T)."""
    if ctx.has(slot) and ctx.rank(slot) >= 3 and ctx.shape(slot)[-3] > 1:
        ctx.couple(heads, ctx.take(slot, ctx.rank(slot) - 3))


def meet_state(ctx: NodeContext, slot: int, heads: Heads) -> None:
    """A cache (B, H, P, D)."""
    if ctx.has(slot):
        ctx.couple(heads.outer, ctx.take(slot, 1))
        ctx.couple(heads.inner, ctx.take(slot, 3))


def attention(ctx: NodeContext) -> None:
    """Attention of ai.onnx: Q, K, V, mask, past key, past value -> Y, present key, present value, QK."""
    counts = [int(ctx.node.attr(name, 1)) for name in ("q_num_heads", "kv_num_heads", "kv_num_heads")]
    operands = [operand(ctx, slot, count) for slot, count in enumerate(counts)]
    query, key, value = split_heads(ctx, operands)
    heads, kv_heads = operands[0].heads, operands[1].heads
    attend(ctx, query, key, value, share=heads // kv_heads)
    bind_heads(ctx, "q_num_heads", query.outer)
    bind_heads(ctx, "kv_num_heads", key.outer)
    ctx.contract(0, ctx.rank(0) - 1)
    pin_scale(ctx, query.inner, inner_extent(ctx, 0, heads), zero_is_default=False)
    meet_mask(ctx, 3, query.outer)
    meet_state(ctx, 4, key)
    meet_state(ctx, 5, value)
    out = Heads(shared(value.outer, heads // kv_heads), value.inner)
    if ctx.rank(0) == 3:
        ctx.put([None, None, joined(out, heads, inner_extent(ctx, 2, kv_heads))])
    else:
        ctx.put([None, out.outer, None, out.inner])
    ctx.put([None, key.outer, None, key.inner], 1)
    ctx.put([None, value.outer, None, value.inner], 2)
    ctx.put([None, query.outer, None, None], 3)
    count(ctx, past=ctx.shape(4)[2] if ctx.has(4) else 0)


def bind_heads(ctx: NodeContext, name: str, outer: AxisLabels) -> None:
    if outer is not None and name in ctx.node.attributes:
        ctx.bind_attr(name, outer)


def inner_extent(ctx: NodeContext, slot: int, heads: int) -> int:
    return ctx.shape(slot)[-1] // heads if ctx.rank(slot) == 3 else ctx.shape(slot)[3]


def count(ctx: NodeContext, *, past: int) -> None:
    """MACs: every query with every key, and every weight of theirs with a value."""
    total = ctx.shape(1)[-2] + past
    ctx.macs(total, *ctx.all_axes(ctx.name(0)))
    ctx.macs(total, *ctx.all_axes(ctx.node.outputs[0]))


def multi_head(ctx: NodeContext) -> None:
    """MultiHeadAttention of com.microsoft: Q, K, V, bias, padding mask, bias of QK, past key and value."""
    if not ctx.has(1) or not ctx.has(2) or ctx.rank(0) != 3 or ctx.rank(1) == 5:
        raise CannotFollow("query, key and value in one packed input")
    heads = int(ctx.node.attr("num_heads"))
    operands = [operand(ctx, slot, heads) for slot in range(3)]
    query, key, value = split_heads(ctx, operands)
    attend(ctx, query, key, value)
    bind_heads(ctx, "num_heads", query.outer)
    ctx.contract(0, 2)
    pin_scale(ctx, query.inner, inner_extent(ctx, 0, heads), zero_is_default=True)
    if ctx.has(3):
        meet_bias(ctx, 3, [o.packed for o in operands], [ctx.shape(s)[-1] for s in range(3)])
    meet_mask(ctx, 5, query.outer)
    meet_state(ctx, 6, key)
    meet_state(ctx, 7, value)
    ctx.put([None, None, joined(value, heads, inner_extent(ctx, 2, heads))])
    ctx.put([None, key.outer, None, key.inner], 1)
    ctx.put([None, value.outer, None, value.inner], 2)
    ctx.put([None, query.outer, None, None], 3)
    count(ctx, past=ctx.shape(6)[2] if ctx.has(6) else 0)


def meet_bias(ctx: NodeContext, slot: int, parts: list[AxisLabels], extents: list[int]) -> None:
    """One vector for query, key and value, added after the cut: so it is cut too."""
    labels = ctx.take(slot, 0)
    starts = np.cumsum([0, *extents])
    if labels is None or starts[-1] != len(labels):
        raise CannotFollow("a bias that does not fit query, key and value")
    for part, start, end in zip(parts, starts, starts[1:], strict=False):
        ctx.couple(part, labels[start:end])
    ctx.contract(slot, 0)

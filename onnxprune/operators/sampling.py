"""Operators that resample images, where every channel is sampled alike: grids, regions, columns, offsets."""

import numpy as np

from onnxprune.operators.context import NodeContext
from onnxprune.operators.contraction import convolve
from onnxprune.operators.grids import couple_inner, couple_rows
from onnxprune.operators.reduction import frozen_axes


def sample(ctx: NodeContext) -> None:
    """X (N, C, ...) and where to sample it -> (..., C, ...): GridSample, RoiAlign, MaxRoiPool."""
    ctx.put([None, ctx.take(0, 1), *[None] * (len(ctx.out_shape()) - 2)])


def col2im(ctx: NodeContext) -> None:
    """(N, C * k, L) -> (N, C, ...): the k elements of a block belong to one channel."""
    block = int(np.prod(ctx.const(2)))
    labels = ctx.take(0, 1)
    channels = None if labels is None else couple_rows(ctx, labels.reshape(-1, block))
    if channels is not None and len(channels) == 1:
        ctx.freeze(channels, "the only channel")
    ctx.put([None, channels, *[None] * (len(ctx.out_shape()) - 2)])


def deform_conv(ctx: NodeContext) -> None:
    """X, W, offset, B, mask: a convolution whose offsets are shared by groups of input channels."""
    offset_groups = int(ctx.node.attr("offset_group", 1))
    if offset_groups > 1:
        couple_inner(ctx, ctx.take(0, 1), offset_groups)
    convolve(ctx, data=0, weight=1, bias=3)


def causal_conv(ctx: NodeContext) -> None:
    """CausalConvWithState: X (N, C, L), W (C, 1, k), B (C), state (N, C, k-1) -> Y, state."""
    channels = ctx.take(0, 1)
    for slot, axis in ((1, 0), (2, 0), (3, 1)):
        if ctx.has(slot):
            ctx.couple(channels, ctx.take(slot, axis))
    ctx.produces(ctx.labels(1)[0])
    for index in (0, 1):
        ctx.put([None, channels, None], index)
    ctx.macs(1, *ctx.all_axes(ctx.node.outputs[0]), (ctx.name(1), 2))


def fourier(ctx: NodeContext) -> None:
    """DFT: the signal axis and the pair of parts stay; other axes pass."""
    rank = ctx.rank(0)
    if ctx.node.opset >= 20:
        axis = int(ctx.const(2).item()) if ctx.has(2) else -2
    else:
        axis = int(ctx.node.attr("axis", 1))
    frozen_axes(ctx, [axis % rank, rank - 1])

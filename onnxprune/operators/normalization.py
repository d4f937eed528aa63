"""Normalisations: per channel (exact) and over channels (inexact: the mean runs over what is left)."""

from onnxprune.operators.context import NodeContext
from onnxprune.operators.contraction import meet_broadcast
from onnxprune.operators.grids import couple_inner

OVER_CHANNELS = "its statistics run over the channels that are left"


def per_channel(ctx: NodeContext) -> None:
    """X (N, C, ...) with parameters (C): BatchNormalization, InstanceNormalization."""
    channels = ctx.take(0, 1)
    for slot in range(1, len(ctx.node.inputs)):
        if ctx.has(slot):
            ctx.couple(channels, ctx.take(slot, 0))
    ctx.put([None, channels, *[None] * (ctx.rank(0) - 2)])
    for index in range(1, len(ctx.node.outputs)):
        ctx.put([channels], index)


def instance_norm(ctx: NodeContext) -> None:
    """Per channel over the spatial axes, which may carry channels in a decomposed GroupNorm."""
    spatial = [ctx.take(0, axis) for axis in range(2, ctx.rank(0))]
    per_channel(ctx)
    channels = ctx.labels(0)[1]
    for labels in spatial:
        ctx.inexact(labels, OVER_CHANNELS)
    ctx.put([None, channels, *spatial])


def layer_norm(ctx: NodeContext) -> None:
    """Mean and variance over the axes from `axis` on; scale and bias have those axes."""
    trailing(ctx, ctx.axis("axis", -1, rank=ctx.rank(0)))


def trailing(ctx: NodeContext, first: int) -> None:
    """Statistics over all axes from `first` on; the other inputs broadcast to the data."""
    labels = ctx.take_all(0)
    for axis in range(first, len(labels)):
        ctx.inexact(labels[axis], OVER_CHANNELS)
    for slot in range(1, len(ctx.node.inputs)):
        if ctx.has(slot):
            meet_broadcast(ctx, slot, labels, ctx.shape(0))
    ctx.put(labels)
    for index in range(1, len(ctx.node.outputs)):  # mean and deviation
        ctx.put([*labels[:first], *[None] * (len(labels) - first)], index)


def group_norm(ctx: NodeContext) -> None:
    """C channels in `num_groups` groups, whose number stays; scale and bias per channel or per group."""
    groups = int(ctx.node.attr("num_groups"))
    channels = ctx.take(0, 1)
    if ctx.shape(0)[1] == groups:
        if channels is not None:
            ctx.bind_attr("num_groups", channels)
    else:
        couple_inner(ctx, channels, groups)
        ctx.inexact(channels, OVER_CHANNELS)
    for slot in (1, 2):
        if ctx.has(slot) and ctx.shape(slot)[0] == ctx.shape(0)[1]:
            ctx.couple(channels, ctx.take(slot, 0))
    ctx.put([None, channels, *[None] * (ctx.rank(0) - 2)])


def mean_variance(ctx: NodeContext) -> None:
    axes = {a % ctx.rank(0) for a in ctx.node.attr("axes", [0, 2, 3])}
    labels = ctx.take_all(0)
    for axis in axes:
        ctx.inexact(labels[axis], OVER_CHANNELS)
    ctx.put(labels)


def lp_norm(ctx: NodeContext) -> None:
    """X / ||x||: what is not there adds nothing to the norm, so a removed channel is exact."""
    axis = ctx.axis("axis", -1, rank=ctx.rank(0))
    ctx.contract(0, axis)
    ctx.put(ctx.take_all(0))

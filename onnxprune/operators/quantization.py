"""QuantizeLinear, DequantizeLinear and their parameters: per tensor, per axis, or in blocks along an axis."""

from math import prod

import numpy as np

from onnxprune.operators.context import NodeContext
from onnxprune.operators.labels import AxisLabels
from onnxprune.operators.normalization import OVER_CHANNELS


def quantize(ctx: NodeContext) -> None:
    """X, scale, zero point -> values of x's shape; both directions alike."""
    labels = ctx.take_all(0)
    for slot in (1, 2):
        if ctx.has(slot) and prod(ctx.shape(slot)) > 1:
            meet_parameters(ctx, slot, labels)
    ctx.put(labels)


def meet_parameters(ctx: NodeContext, slot: int, labels: list[AxisLabels]) -> None:
    """Couple scales or zero points with the data that they belong to."""
    block = int(ctx.node.attr("block_size", 0))
    axis = ctx.axis("axis", 1, rank=len(labels))
    if not block:
        ctx.couple(labels[axis], ctx.take(slot, 0))
        return
    for other, of_parameter in enumerate(ctx.take_all(slot)):
        if other != axis:
            ctx.couple(labels[other], of_parameter)
        elif ctx.shape(slot)[axis] > 1:
            couple_blocks(ctx, labels[axis], of_parameter, block)


def couple_blocks(ctx: NodeContext, labels: AxisLabels, scales: AxisLabels, block: int) -> None:
    """One scale a block: the indices of a block live and die together, so that the blocks stay aligned."""
    if labels is None or scales is None:
        ctx.couple(labels, scales)
    else:
        ctx.couple(labels, np.repeat(scales, block)[: len(labels)])


def dynamic_quantize(ctx: NodeContext) -> None:
    """X -> y of its shape, and a scale and zero point that follow from the range of all that is left."""
    labels = ctx.take_all(0)
    for of_axis in labels:
        ctx.inexact(of_axis, OVER_CHANNELS)
    ctx.put(labels)

"""Operators that treat every element alike, with broadcasting between their inputs."""

from onnxprune.operators.context import CannotFollow, NodeContext
from onnxprune.operators.labels import AxisLabels


def unary(ctx: NodeContext) -> None:
    """One input, an output of its shape; further inputs (bounds, ratios) are scalars."""
    ctx.put(ctx.take_all(0))


def dropout(ctx: NodeContext) -> None:
    """Data, ratio, training mode -> output, mask; it does nothing unless it trains."""
    if ctx.has(2) and ctx.const(2).any():
        raise CannotFollow("it may draw random numbers")
    for index in range(len(ctx.node.outputs)):
        ctx.put(ctx.take_all(0), index)


def cast_like(ctx: NodeContext) -> None:
    """The second input gives its type only; its channels are of no concern here."""
    if ctx.initializer(1) is None:
        ctx.take_all(1)
    ctx.put(ctx.take_all(0))


def broadcast(ctx: NodeContext) -> None:
    """Any number of inputs, broadcast against each other from the right."""
    slots = [slot for slot in range(len(ctx.node.inputs)) if ctx.has(slot)]
    ctx.put(broadcast_labels(ctx, slots))


def broadcast_labels(ctx: NodeContext, slots: list[int]) -> list[AxisLabels]:
    """The labels that inputs of these slots have in common after broadcasting; all are taken."""
    taken = [(ctx.take_all(slot), ctx.shape(slot)) for slot in slots]
    rank = max(len(shape) for _, shape in taken)
    result: list[AxisLabels] = []
    for axis in range(-rank, 0):
        present = [(labels[axis], shape[axis]) for labels, shape in taken if -axis <= len(shape)]
        full = [labels for labels, extent in present if extent > 1]
        for other in full[1:]:
            ctx.couple(full[0], other)
        result.append(full[0] if full and all(labels is not None for labels in full) else None)
    return result

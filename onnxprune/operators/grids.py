"""Couplings that keep a flat axis a full grid: equal columns of all rows together, or whole rows."""

import numpy as np

from onnxprune.operators.context import NodeContext
from onnxprune.operators.labels import AxisLabels, Labels


def couple_inner(ctx: NodeContext, labels: AxisLabels, group: int) -> None:
    """Equal inner indices of all groups together, so that every mask leaves equal groups."""
    if labels is None:
        return
    grid = labels.reshape(group, -1)
    ctx.couple(np.tile(grid[0], group - 1), grid[1:].reshape(-1))
    if grid.shape[1] == 1:
        ctx.freeze(labels, "each group has only one channel")


def couple_rows(ctx: NodeContext, grid: Labels) -> Labels:
    """Everything in a row of the grid together; the first column stands for it."""
    rest = grid[:, 1:]
    ctx.couple(np.repeat(grid[:, 0], rest.shape[1]), rest.reshape(-1))
    return np.ascontiguousarray(grid[:, 0])

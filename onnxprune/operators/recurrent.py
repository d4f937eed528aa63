"""LSTM, GRU and RNN: input channels, and the hidden channels that all gates and both directions share.

The weights hold one row of H channels for each gate (LSTM: i o f c), so a channel is one index of every gate:

    W (D, 4*H, I)   R (D, 4*H, H)   B (D, 8*H)   P (D, 3*H)   initial_h (D, N, H)

D is the direction: one axis for both, so a channel goes in both. The state runs back into R, where it is
contracted: the masked original ignores a removed channel by a zero column of R.
"""

from dataclasses import dataclass

import numpy as np

from onnxprune.operators.context import CannotFollow, NodeContext
from onnxprune.operators.labels import AxisLabels


@dataclass(frozen=True)
class Cell:
    """Where a recurrent operator keeps what.

    Attributes:
        gates: Rows of H channels in W and R.
        rows: The axis of W and R that holds them; the other one is contracted.
        peepholes: Input slot of P, or None.
        parameters: Slots of scales and zero points of W and R, one element a row where they have two axes.
    """

    gates: int
    rows: int = 1
    peepholes: int | None = None
    parameters: tuple[int, ...] = ()


def lstm(ctx: NodeContext) -> None:
    recur(ctx, Cell(gates=4, peepholes=7))


def gru(ctx: NodeContext) -> None:
    """With linear_before_reset either way: the reset gate scales channels, R contracts them."""
    recur(ctx, Cell(gates=3))


def rnn(ctx: NodeContext) -> None:
    recur(ctx, Cell(gates=1))


def dynamic_quantize_lstm(ctx: NodeContext) -> None:
    """As LSTM, with W and R transposed and quantised, and the data quantised by its range."""
    recur(ctx, Cell(gates=4, rows=2, peepholes=7, parameters=(8, 9, 10, 11)))
    for labels in (ctx.labels(0)[2], ctx.labels(2)[1]):
        ctx.inexact(labels, "it is quantised by the range of what is left")


def recur(ctx: NodeContext, cell: Cell) -> None:
    """X, W, R, B, sequence_lens, initial_h, ... -> Y, Y_h, ..."""
    columns = 3 - cell.rows
    inputs, weights = ctx.take(0, 2), ctx.take(1, columns)
    ctx.couple(inputs, weights)
    ctx.contract(0, 2)
    ctx.consumes(weights)
    hidden = couple_hidden(ctx, cell, ctx.take(2, columns))
    ctx.contract(2, columns)
    ctx.consumes(hidden)
    if hidden is not None and "hidden_size" in ctx.node.attributes:
        ctx.bind_attr("hidden_size", hidden)
    put_states(ctx, hidden)
    steps = int(np.prod(ctx.shape(0)[:2]))
    for slot in (1, 2):
        ctx.macs(steps, *ctx.all_axes(ctx.name(slot)))


def couple_hidden(ctx: NodeContext, cell: Cell, hidden: AxisLabels) -> AxisLabels:
    """Channel j of the state with row j of every gate, wherever gates have rows."""
    rows = [(1, cell.rows), (2, cell.rows), (3, 1)]
    if cell.peepholes is not None:
        rows.append((cell.peepholes, 1))
    rows += [(slot, 1) for slot in cell.parameters if ctx.has(slot) and ctx.rank(slot) == 2]
    for slot, axis in rows:
        if ctx.has(slot):
            labels = ctx.take(slot, axis)
            ctx.couple(tiled(ctx, hidden, ctx.shape(slot)[axis]), labels)
    ctx.produces(ctx.labels(1)[cell.rows])
    for slot in (5, 6):
        if ctx.has(slot):
            ctx.couple(hidden, ctx.take(slot, 2))
    return hidden


def tiled(ctx: NodeContext, hidden: AxisLabels, extent: int) -> AxisLabels:
    if hidden is None:
        return None
    if extent % len(hidden):
        raise CannotFollow(f"{extent} rows are no whole number of gates of {len(hidden)} channels")
    return np.tile(hidden, extent // len(hidden))


def put_states(ctx: NodeContext, hidden: AxisLabels) -> None:
    """Y (S, D, N, H) or, with layout 1, (N, S, D, H); the last states (D, N, H) or (N, D, H)."""
    for index, rank in enumerate((4, 3, 3)):
        ctx.put([*[None] * (rank - 1), hidden], index)

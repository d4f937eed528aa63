"""Samples through a session, in the batch size that the model takes."""

from collections.abc import Callable

import numpy as np

from onnxprune.data.samples import Array, Batch
from onnxprune.errors import DataError
from onnxprune.measurement.session import Session

Progress = Callable[[int, int | None], None]  # rows done, rows in all where known


def run_batch(session: Session, batch: Batch) -> dict[str, Array]:
    """All outputs by name, one row a sample, whatever batch size the model takes.

    A model with a fixed batch size gets the rows in pieces of that size. A last piece that is too
    short is filled with copies of its last row, and what they give is cut off.

    Raises:
        DataError: E503, an output of a model with a fixed batch size has not one row a sample.
        ModelError: E309, the model does not run on the samples.
    """
    fixed = session.static_batch
    if fixed is None or len(batch) == fixed:
        return session.run(batch.inputs)
    starts = range(0, len(batch), fixed)
    pieces = [_run_filled(session, batch.rows(slice(start, start + fixed)), fixed) for start in starts]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in session.output_names}


def _run_filled(session: Session, piece: Batch, fixed: int) -> dict[str, Array]:
    rows = np.minimum(np.arange(fixed), len(piece) - 1)
    values = session.run(piece.rows(rows).inputs)
    for name, value in values.items():
        if not has_rows(value, fixed):
            what = f"shape {list(value.shape)}" if isinstance(value, np.ndarray) else "no tensor"
            raise DataError(
                "E503",
                f"{session.name}, output {name}: {what}, want one row for each of {fixed}",
                hint=f"give samples in files of {fixed}, and --batch {fixed}",
            )
    return {name: value[: len(piece)] for name, value in values.items()}


def has_rows(value: Array, count: int) -> bool:
    """Whether an output is a tensor, no sequence, with one row for each of `count` samples."""
    return isinstance(value, np.ndarray) and value.shape[:1] == (count,)

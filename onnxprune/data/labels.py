"""Labels that can be classes: one whole number a row, whatever type a file keeps numbers in."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[Any]
EXACT = 2.0**53  # above, floats are whole because they are coarse


def class_labels(labels: Labels | None, rows: int) -> NDArray[np.int64] | None:
    """(rows,) classes; None where the labels are no classes.

    Args:
        labels: Of any shape and type; tables and many arrays hold classes as floats.
        rows: How many rows they are of.
    """
    if (
        labels is None
        or labels.size != rows
        or labels.dtype.kind not in "iubf"
        or not_whole(labels) is not None
    ):
        return None
    return labels.reshape(rows).astype(np.int64)


def not_whole(labels: Labels) -> float | None:
    """The first label that is no whole number; None where all are."""
    if labels.dtype.kind != "f":
        return None
    broken = labels[(labels != np.floor(labels)) | (np.abs(labels) > EXACT)]
    return float(broken[0]) if broken.size else None

"""Weights piece by piece, in double precision.

Integers that a node dequantises count as the numbers that they stand for.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxprune.calibration.dequantised import Floats, dequantised, quantisation
from onnxprune.onnx_file import Graph, Initializer

BLOCK = 1 << 18  # elements that are turned into double precision at once: what a processor's cache holds


def blocks(
    graph: Graph, weight: Initializer, *, axis: int, pieces: list[NDArray[np.int64]]
) -> Iterator[Floats]:
    """The values at these indices of an axis, which comes first; other axes stay in order."""
    stored = np.moveaxis(weight.array(), axis, 0)
    parameters = [None if p is None else np.moveaxis(p, axis, 0) for p in quantisation(graph, weight)]
    for indices in pieces:
        offset, factor = (None if p is None else picked(p, indices) for p in parameters)
        values = dequantised(picked(stored, indices), (offset, factor))
        if not np.isfinite(values.sum()):
            values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
        yield values


def picked(array: NDArray[Any], indices: NDArray[np.int64]) -> NDArray[Any]:
    """Rows of an array, without a copy where they lie together; an only row stands for all."""
    if len(array) == 1:
        return array
    first, last = int(indices[0]), int(indices[-1])
    together = last - first + 1 == len(indices) and bool((np.diff(indices) == 1).all())
    return array[first : last + 1] if together else array[indices]

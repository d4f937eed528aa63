"""Batches of calibration inputs, cut to the rows of one run."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from numpy.typing import NDArray

from onnxprune.onnx_file import Graph

Feed = Mapping[str, NDArray[Any]]  # one array by input name, the batch axis first


def portions(graph: Graph, feeds: Iterable[Feed], rows: int) -> Iterator[Feed]:
    """The same inputs in runs of at most `rows` rows, or of the batch that the model is fixed to.

    Rows that do not fill a fixed batch are left out; inputs that have no common batch axis run as they are.
    """
    fixed = fixed_batch(graph)
    for feed in feeds:
        lengths = {len(array) if array.ndim else -1 for array in feed.values()}
        total = max(lengths, default=0)
        if len(lengths) != 1 or total < 0:
            yield feed
            continue
        size = fixed or rows
        for start in range(0, total - size + 1 if fixed else total, size):
            yield {name: array[start : start + size] for name, array in feed.items()}


def fixed_batch(graph: Graph) -> int | None:
    """The first extent of the inputs where the model fixes it."""
    extents = (value.dims[0] for value in graph.inputs if value.dims)
    return next((n for n in extents if isinstance(n, int)), None)

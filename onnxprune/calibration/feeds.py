"""Batches of calibration inputs, cut to the rows of one run."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxprune.data import Samples
from onnxprune.onnx_file import Graph

Feed = Mapping[str, NDArray[Any]]  # one array by input name, the batch axis first


def portions(graph: Graph, feeds: Iterable[Feed], rows: int) -> Iterator[Feed]:
    """The same inputs in runs of at most `rows` rows, or of the batch that the model is fixed to.

    Last rows that do not fill a fixed batch are left out; inputs without a common batch axis run as they are.
    """
    fixed = fixed_batch(graph)
    size, held = fixed or rows, dict[str, NDArray[Any]]()
    for feed in feeds:
        lengths = {len(array) if array.ndim else -1 for array in feed.values()}
        total = max(lengths, default=0)
        if len(lengths) != 1 or total < 0:
            yield feed
            continue
        whole = joined(held, feed)
        total = max(len(array) for array in whole.values())
        end = total - total % size if fixed else total
        for start in range(0, end, size):
            yield cut(whole, start, start + size)
        held = cut(whole, end, total)


def joined(first: Feed, second: Feed) -> Feed:
    """The rows of both; of the second alone where the first has none, or of another shape."""
    if any(name not in first or first[name].shape[1:] != array.shape[1:] for name, array in second.items()):
        return second
    if not any(map(len, first.values())):
        return second
    return {name: np.concatenate([first[name], array]) for name, array in second.items()}


def cut(feed: Feed, start: int, stop: int) -> dict[str, NDArray[Any]]:
    return {name: array[start:stop] for name, array in feed.items()}


def few_feeds(graph: Graph, samples: Samples, count: int) -> list[Feed]:
    """`count` single rows, or batches as the model fixes them; fewer where there are no more."""
    rows = fixed_batch(graph) or 1
    feeds = (batch.inputs for batch in samples.batches(rows))
    return list(islice(portions(graph, feeds, rows), count))


def fixed_batch(graph: Graph) -> int | None:
    """The first extent of the inputs where the model fixes it."""
    extents = (value.dims[0] for value in graph.inputs if value.dims)
    return next((n for n in extents if isinstance(n, int)), None)

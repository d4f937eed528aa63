"""Inputs for verification where no samples are given: random, but such that the model can take them."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxprune.onnx_file import Graph, ValueInfo
from onnxprune.verification.types import Feeds

Shapes = Mapping[str, tuple[int, ...]]

BATCHES = (1, 3)
FLAGS = 2  # integers of no known use are drawn below it: token masks, segment numbers
PASSING = ("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose", "Slice", "Clip")
TABLES = {  # (domain, operator) -> (slot of the indices, slot of the table)
    ("", "Gather"): ((1, 0),),
    ("com.microsoft", "EmbedLayerNormalization"): ((0, 2), (1, 4)),
}


def batch_shapes(graph: Graph) -> list[Shapes]:
    """The assumed input shapes, and those with a free batch of 3 where the batch is free.

    The batch is what the first free leading axis is called; an axis of the same name in another place, or a
    leading one without a name, has its extent.
    """
    inputs = {value.name: value for value in graph.inputs if value.name in graph.assumed}
    leading = [v.dims[0] for v in inputs.values() if v.dims and not isinstance(v.dims[0], int)]
    if not leading:
        return [dict(graph.assumed)]
    symbol = next((name for name in leading if name is not None), None)
    return [
        {name: with_batch(value, graph.assumed[name], symbol, batch) for name, value in inputs.items()}
        for batch in BATCHES
    ]


def with_batch(value: ValueInfo, shape: Sequence[int], symbol: object, batch: int) -> tuple[int, ...]:
    dims = value.dims if value.dims is not None and len(value.dims) == len(shape) else (*shape,)
    free = [axis == 0 if dim is None else dim == symbol for axis, dim in enumerate(dims)]
    return tuple(batch if is_free else extent for is_free, extent in zip(free, shape, strict=True))


def index_bounds(graph: Graph) -> dict[str, int]:
    """For each input that chooses rows of tables: how many rows the shortest of them has."""
    bounds: dict[str, int] = {}
    for value in graph.inputs:
        rows = [n for n in rows_behind(graph, value.name) if n > 0]
        if rows:
            bounds[value.name] = min(rows)
    return bounds


def rows_behind(graph: Graph, name: str) -> Iterator[int]:
    """Rows of the tables that a value reaches as indices, through operators that keep its numbers."""
    queue, seen = deque([name]), {name}
    while queue:
        for edge in graph.consumers.get(queue.popleft(), []):
            node = graph.nodes[edge.node]
            for indices, table in TABLES.get((node.domain, node.op_type), ()):
                shape = graph.shapes.get(node.inputs[table], ())
                axis = int(node.attr("axis", 0))
                if edge.slot == indices and shape:
                    yield shape[axis]
            if node.op_type in PASSING and edge.slot == 0 and node.outputs[0] not in seen:
                seen.add(node.outputs[0])
                queue.append(node.outputs[0])


def random_feeds(
    graph: Graph, shapes: Shapes, rng: np.random.Generator, *, limit: int | None = None
) -> Feeds:
    """One feed: floats normal, integers inside the tables that they index, booleans either way.

    Args:
        graph: The original.
        shapes: Of every input.
        rng: Source of randomness.
        limit: Bound for all integers, where the tables do not tell.
    """
    bounds = index_bounds(graph)
    return {
        value.name: random_array(
            value, shapes[value.name], rng, min(bounds.get(value.name, FLAGS), limit or 1 << 31)
        )
        for value in graph.inputs
    }


def random_array(
    value: ValueInfo, shape: tuple[int, ...], rng: np.random.Generator, bound: int
) -> NDArray[Any]:
    dtype = value.dtype or np.dtype(np.float32)
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype == np.uint8:  # pixels
        return rng.integers(0, 256, shape, np.uint8)
    if dtype.kind in "iu":
        return rng.integers(0, bound, shape).astype(dtype)
    if dtype.kind in "OUS":
        return np.full(shape, "", object)
    return rng.standard_normal(prod(shape)).reshape(shape).astype(dtype)

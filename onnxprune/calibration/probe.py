"""Looking at values inside a model: a temporary copy gives them as outputs, batch by batch."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from onnxprune.calibration.cuts import value_of
from onnxprune.calibration.feeds import Feed, fixed_batch, portions
from onnxprune.errors import DataError, ModelError
from onnxprune.groups import Groups
from onnxprune.onnx_file import Edge, Graph
from onnxprune.operators.findings import Cut
from onnxprune.operators.slots import QUANTISED
from onnxprune.verification.sessions import CannotRun, Session, runnable

Array = NDArray[Any]
Floats = NDArray[np.float64]
Place = tuple[str, int]  # (value, axis)
READ = "onnxprune_read_"
MEMORY = 128 << 20  # bytes of probed values in one run


@dataclass(frozen=True)
class Totals:
    """Something added up over calibration inputs, for each index of an axis, and over how many."""

    sums: Floats  # (extent,)
    count: int

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(self.sums + other.sums, self.count + other.count)


Reduction = Callable[[Array, int], Totals]  # (a value, its channel axis) -> totals of one batch


def collect(
    groups: Groups, cuts: Sequence[Cut], feeds: Iterable[Feed], reduction: Reduction
) -> dict[Place, Totals]:
    """Totals of what contractions read, over all calibration inputs.

    Args:
        groups: Of the model that runs.
        cuts: Which inputs to look at; an input that several nodes read is reduced once.
        feeds: Batches; they are cut so that the values of one run stay small.
        reduction: Applied to each value of each run.

    Raises:
        ModelError: E309, the model does not run.
        DataError: E503, the inputs do not fit the model; E504, there are none.
    """
    graph = groups.graph
    places = list(dict.fromkeys((value_of(graph, cut), cut.axis) for cut in cuts))
    edges = {value_of(graph, cut): cut.edge for cut in cuts}
    totals: dict[Place, Totals] = {}
    if not places:
        return totals
    session = open_session(graph, edges)
    for feed in portions(graph, feeds, rows_per_run(graph, edges)):
        values = dict(zip(edges, run(session, feed), strict=True))
        for name, axis in places:
            new = reduction(values[name], axis)
            totals[name, axis] = totals[name, axis] + new if (name, axis) in totals else new
    if not totals:
        fixed = fixed_batch(graph)
        rows = f" that fill the model's batch of {fixed}" if fixed else ""
        raise DataError("E504", f"there are no calibration inputs{rows}")
    return totals


def open_session(graph: Graph, edges: Mapping[str, Edge]) -> Session:
    """A session on a copy of the model that gives these values as floats, and nothing else."""
    source = runnable(graph.model, graph.path.parent)
    del source.model.graph.output[:]
    for number, (name, edge) in enumerate(edges.items()):
        source.model.graph.node.append(reader(source.model, graph, name, edge, f"{READ}{number}"))
        source.model.graph.output.append(ValueInfoProto(name=f"{READ}{number}"))
    try:
        return Session(source, optimised=True)
    except CannotRun as error:
        raise ModelError("E309", f"{graph.path.name} does not run", cause=str(error)) from error


def run(session: Session, feed: Feed) -> list[Array]:
    try:
        return session.run(feed)
    except CannotRun as error:
        raise DataError("E503", "the model does not take the calibration inputs", cause=str(error)) from error


def reader(model: ModelProto, graph: Graph, name: str, edge: Edge, output: str) -> NodeProto:
    """A node that turns a value into floats; integers into the numbers that they stand for.

    A scale that the reading operator does not have is added to the model, in place.
    """
    node = graph.nodes[edge.node]
    slots = QUANTISED.get((node.domain, node.op_type), {}).get(edge.slot)
    if slots is None:
        return helper.make_node("Cast", [name], [output], output, to=TensorProto.FLOAT)
    scale = node.inputs[slots.scale] if slots.scale >= 0 else f"{output}_one"
    if slots.scale < 0:
        model.graph.initializer.append(numpy_helper.from_array(np.array(1, np.float32), scale))
    zero_point = node.inputs[slots.zero_point] if 0 <= slots.zero_point < len(node.inputs) else ""
    return helper.make_node("DequantizeLinear", [name, scale, zero_point], [output], output)


def rows_per_run(graph: Graph, names: Iterable[str]) -> int:
    """How many rows keep the probed values of one run small."""
    elements = sum(prod(graph.shapes.get(name, ())) for name in names)
    batch = max((shape[0] for shape in graph.assumed.values() if shape), default=1)
    return max(1, MEMORY * batch // max(1, 4 * elements))

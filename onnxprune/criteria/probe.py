"""Looking at values inside a model: a temporary copy gives them as outputs, batch by batch.

The values of interest are the inputs of contractions, where the law cuts: what a Conv or a MatMul reads of a
removed channel is exactly what is missing afterwards.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from onnxprune.criteria.options import Feed
from onnxprune.errors import DataError
from onnxprune.groups import Groups
from onnxprune.onnx_file import Graph
from onnxprune.operators.context import Cut
from onnxprune.operators.slots import QUANTISED

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


def prunable_cuts(groups: Groups) -> list[Cut]:
    """Inputs of contractions through which prunable channels run, computed from data."""
    free = np.array([group.frozen is None for group in groups] + [False])
    data = computed_from_data(groups.graph)
    return [
        cut
        for cut in groups.findings.cuts
        if value_of(groups.graph, cut) in data and free[groups.components.group[cut.labels]].any()
    ]


def value_of(graph: Graph, cut: Cut) -> str:
    return graph.nodes[cut.edge.node].inputs[cut.edge.slot]


def computed_from_data(graph: Graph) -> set[str]:
    """Values that depend on the inputs of the graph."""
    found = {value.name for value in graph.inputs}
    for node in graph.nodes:
        if found.intersection(node.inputs):
            found.update(filter(None, node.outputs))
    return found


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
        DataError: E504, where there are no inputs.
    """
    graph = groups.graph
    places = {(value_of(graph, cut), cut.axis): cut for cut in cuts}
    session = open_session(graph, {name: cut for (name, _), cut in places.items()})
    names = [READ + str(number) for number in range(len({name for name, _ in places}))]
    by_name = dict(zip(dict.fromkeys(name for name, _ in places), names, strict=True))
    totals: dict[Place, Totals] = {}
    for feed in portions(graph, feeds, rows_per_run(graph, by_name)):
        values = dict(zip(by_name, session.run(names, dict(feed)), strict=True))
        for place in places:
            name, axis = place
            new = reduction(values[name], axis)
            totals[place] = totals[place] + new if place in totals else new
    if places and not totals:
        raise DataError("E504", "there are no calibration inputs")
    return totals


def open_session(graph: Graph, cuts: Mapping[str, Cut]) -> ort.InferenceSession:
    """A session on a copy of the model that gives these values as float outputs."""
    model = ModelProto()
    model.CopyFrom(graph.model)
    for number, (name, cut) in enumerate(cuts.items()):
        model.graph.node.extend(reader(model, graph, name, cut, f"{READ}{number}"))
        model.graph.output.append(ValueInfoProto(name=f"{READ}{number}"))
    options = ort.SessionOptions()
    options.log_severity_level = 3
    folder = str(graph.path.parent.resolve())
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", folder)
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def reader(model: ModelProto, graph: Graph, name: str, cut: Cut, output: str) -> Iterator[NodeProto]:
    """Nodes that turn a value into floats; integers into the numbers that they stand for."""
    node = graph.nodes[cut.edge.node]
    slots = QUANTISED.get((node.domain, node.op_type), {}).get(cut.edge.slot)
    if slots is None:
        yield helper.make_node("Cast", [name], [output], output, to=TensorProto.FLOAT)
        return
    scale = node.inputs[slots.scale] if slots.scale >= 0 else f"{output}_one"
    if slots.scale < 0:
        model.graph.initializer.append(numpy_helper.from_array(np.array(1, np.float32), scale))
    zero_point = node.inputs[slots.zero_point] if 0 <= slots.zero_point < len(node.inputs) else ""
    yield helper.make_node("DequantizeLinear", [name, scale, zero_point], [output], output)


def rows_per_run(graph: Graph, names: Iterable[str]) -> int:
    """How many rows keep the probed values of one run small."""
    shapes = [graph.shapes.get(name, ()) for name in names]
    batch = max(
        1, *(graph.assumed[value.name][0] for value in graph.inputs if graph.assumed.get(value.name)), 1
    )
    return max(1, MEMORY * batch // max(1, 4 * sum(map(prod, shapes))))


def portions(graph: Graph, feeds: Iterable[Feed], rows: int) -> Iterator[Feed]:
    """The same inputs in runs of at most `rows` rows, or of the batch that the model is fixed to.

    Rows that do not fill a fixed batch are left out; inputs that have no common batch axis run as they are.
    """
    extents = {value.dims[0] for value in graph.inputs if value.dims}
    fixed = next((n for n in extents if isinstance(n, int)), None)
    for feed in feeds:
        lengths = {len(array) if array.ndim else -1 for array in feed.values()}
        total = max(lengths, default=0)
        if len(lengths) != 1 or total < 0:
            yield feed
            continue
        size = fixed or rows
        for start in range(0, total - size + 1 if fixed else total, size):
            yield {name: array[start : start + size] for name, array in feed.items()}

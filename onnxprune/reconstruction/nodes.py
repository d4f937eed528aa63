"""Which nodes to repair, and what is known of each before anything runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from onnxprune.calibration.forms import FORMS, Form, NoForm, form_of
from onnxprune.calibration.stored import Stored, readable, stored
from onnxprune.groups import Groups
from onnxprune.onnx_file import Graph, Node
from onnxprune.reconstruction.options import ReconstructOptions
from onnxprune.reconstruction.tails import Place, Tail, tail_of

Bits = NDArray[np.bool_]
Floats = NDArray[np.float64]
NORMALISATION = "BatchNormalization"


@dataclass(frozen=True)
class Task:
    """One node to repair.

    Attributes:
        node: In the pruned graph.
        original: Its index in the original.
        lost: Channels of its input went; else only what it reads has changed.
    """

    node: Node
    original: int
    lost: bool


@dataclass(frozen=True)
class Consumer:
    """A contraction that can be refitted.

    Attributes:
        form: As a product.
        weight: Where its weight is stored; None where that is shared or cannot be written.
        bias: (M,) what it adds to each output channel now.
        place: Where a shift of its output can be stored; None where nowhere.
        tail: What follows.
        why: Why the weight is left alone, where it is.
    """

    form: Form
    weight: Stored | None
    matrix: Floats
    bias: Floats
    place: Place | None
    tail: Tail
    why: str = ""


def tasks_of(
    groups: Groups, masks: Mapping[str, Bits], pruned: Graph, options: ReconstructOptions
) -> list[Task]:
    """Nodes that lost input channels, and those that read what has changed thereby, in topological order."""
    keep = groups.keep_labels(dict(masks))
    original = groups.graph
    lost = {cut.edge.node for cut in groups.findings.cuts if not keep[cut.labels].all()}
    index_of = {first_output(node): node.index for node in original.nodes}
    changed: set[str] = set()
    found = []
    for node in pruned.nodes:
        number = index_of[first_output(node)]
        reads_changed = bool(changed.intersection(node.inputs))
        if number in lost or reads_changed:
            changed.update(filter(None, node.outputs))
            if number in lost or (options.downstream and is_repairable(node, options)):
                found.append(Task(node, number, number in lost))
    return [task for task in found if is_repairable(task.node, options) or task.lost]


def is_repairable(node: Node, options: ReconstructOptions) -> bool:
    normalises = not node.domain and node.op_type == NORMALISATION
    return (node.domain, node.op_type) in FORMS or (options.light and normalises)


def first_output(node: Node) -> str:
    return next(output for output in node.outputs if output)


def consumer_of(graph: Graph, node: Node) -> Consumer:
    """What is known of a contraction.

    Raises:
        NoForm: It cannot be repaired; the message says why.
    """
    held = {slot: readable(graph, name) for slot, name in enumerate(node.inputs)}
    shapes = {s: graph.shapes[n] for s, n in enumerate(node.inputs) if n in graph.shapes}
    form = form_of(node, shapes, {slot for slot, weight in held.items() if weight is not None})
    weight = held[form.weight]
    assert weight is not None
    if node.outputs[0] not in graph.shapes:
        raise NoForm("the shape of its output is not known")
    matrix = form.matrix(weight.read()).astype(np.float64)
    channels = matrix.shape[0] * matrix.shape[2]
    tail = tail_of(graph, node.outputs[0], channels, form.axis)
    bias, place = bias_of(graph, node, form, held, channels)
    shared = stored(graph, node.inputs[form.weight]) is None
    why = "its weight is shared with another node" if shared else ""
    nearest = place or next(iter(tail.places), None)
    return Consumer(form, None if shared else weight, matrix, bias, nearest, tail, why)


def bias_of(
    graph: Graph, node: Node, form: Form, held: Mapping[int, Stored | None], channels: int
) -> tuple[Floats, Place | None]:
    """What the operator itself adds, and whether that can be changed.

    Raises:
        NoForm: What it adds is computed, or no constant a channel.
    """
    if form.bias is None or form.bias >= len(node.inputs) or not node.inputs[form.bias]:
        return np.zeros(channels), None
    bias = held[form.bias]
    if bias is None or bias.read().size not in (1, channels) or form.bias_scale == 0:
        raise NoForm("what it adds is no constant for each channel")
    values = bias.read()
    if values.size == channels != values.shape[-1]:
        raise NoForm("what it adds runs along another axis")
    own = np.broadcast_to(form.bias_scale * values.astype(np.float64).reshape(-1), (channels,)).copy()
    single = stored(graph, node.inputs[form.bias]) is not None and values.size == channels
    return own, Place(bias, np.full(channels, 1 / form.bias_scale)) if single else None


def widest_row(graph: Graph, tasks: list[Task]) -> int:
    """Bytes of the columns of one row of inputs at the node where they are most; an estimate."""
    widest = 1
    batch = max((shape[0] for shape in graph.assumed.values() if shape), default=1)
    for task in tasks:
        names = [n for n in task.node.inputs if len(graph.shapes.get(n, ())) > 1 and n in graph.initializers]
        out = prod(graph.shapes.get(first_output(task.node), ()))
        for name in names:
            weight = graph.shapes[name]
            group = int(task.node.attr("group", 1))
            outputs = max(1, weight[0] if task.node.op_type == "Conv" else weight[-1])
            columns = prod(weight) * group // outputs
            widest = max(widest, 8 * out * columns // (outputs * max(1, batch)))
    return widest

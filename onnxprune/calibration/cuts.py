"""Where contractions read prunable channels.

These are the values of interest: the law cuts there, and what a Conv or a MatMul reads of a removed channel
is exactly what is missing afterwards.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from onnxprune.groups import Groups
from onnxprune.onnx_file import Edge, Graph
from onnxprune.operators.findings import Cut


def prunable_cuts(groups: Groups) -> list[Cut]:
    """Inputs of contractions through which prunable channels run, on the side that is computed from data."""
    free = np.array([group.frozen is None for group in groups] + [False])
    data = computed_from_data(groups.graph)
    found = []
    for cut in groups.findings.cuts:
        if free[groups.components.group[cut.labels]].any():
            side = data_side(groups, cut, data)
            if side is not None:
                found.append(side)
    return found


def data_side(groups: Groups, cut: Cut, data: set[str]) -> Cut | None:
    """The cut itself, or the input that meets it where a weight comes first, as in MatMul(w, x)."""
    if value_of(groups.graph, cut) in data:
        return cut
    ids = channel_ids(groups)
    beside = operands(groups, cut, lambda name: name in data)
    return next((other for other in beside if np.array_equal(ids[other.labels], ids[cut.labels])), None)


def operands(groups: Groups, cut: Cut, wanted: Callable[[str], bool]) -> list[Cut]:
    """Labelled axes of the other inputs beside a cut; those first that the node sums over.

    Axes of one-dimensional inputs (biases) are left out.
    """
    node = groups.graph.nodes[cut.edge.node]
    consumed = {id(f.labels) for f in groups.findings.store.consumed if f.reason == node.name}
    axes = [
        Cut(Edge(node.index, slot), axis, labels)
        for slot, name in enumerate(node.inputs)
        if slot != cut.edge.slot and name and wanted(name) and len(groups.axis_labels(name)) > 1
        for axis, labels in enumerate(groups.axis_labels(name))
        if labels is not None
    ]
    return sorted(axes, key=lambda other: id(other.labels) not in consumed)


def value_of(graph: Graph, cut: Cut) -> str:
    """Name of the value that is cut."""
    return graph.nodes[cut.edge.node].inputs[cut.edge.slot]


def computed_from_data(graph: Graph) -> set[str]:
    """Values that depend on the inputs of the graph."""
    found = {value.name for value in graph.inputs}
    for node in graph.nodes:
        if found.intersection(node.inputs):
            found.update(filter(None, node.outputs))
    return found


def channel_ids(groups: Groups) -> NDArray[np.int64]:
    """(labels,) one number for each channel; -1 for labels in no group."""
    group, channel = groups.components.group, groups.components.channel
    widest = max((g.channels for g in groups), default=1)
    ids: NDArray[np.int64] = np.where(group < 0, -1, group * widest + channel)
    return ids

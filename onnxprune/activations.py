"""How much memory the activations take: a liveness estimate over the nodes in file order."""

from collections.abc import Mapping
from math import prod

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from onnxprune.groups import Groups
from onnxprune.groups.literals import kept_shape


def peak_activation_bytes(groups: Groups, masks: Mapping[str, NDArray[np.bool_]]) -> int:
    """Largest sum of live values at any node: made already, and still read later.

    Graph inputs live from the start, graph outputs to the end; weights are not counted. An estimate: a
    runtime may compute in place (less) or keep workspaces (more).
    """
    graph = groups.graph
    shape = kept_shape(graph, groups.findings, groups.keep_labels(dict(masks)))
    last_use = {name: node.index for node in graph.nodes for name in node.inputs}
    last_use.update({output.name: len(graph.nodes) for output in graph.outputs})

    def size(name: str) -> int:
        kind = graph.types.get(name)
        width = helper.tensor_dtype_to_np_dtype(kind).itemsize if kind else 4
        return prod(shape(name)) * width if name in graph.shapes else 0

    alive = {value.name: size(value.name) for value in graph.inputs}
    peak = now = sum(alive.values())
    for node in graph.nodes:
        made = {name: size(name) for name in node.outputs if name}
        alive.update(made)
        now += sum(made.values())
        peak = max(peak, now)
        for name in {*node.inputs, *made}:
            if name in alive and last_use.get(name, -1) <= node.index:
                now -= alive.pop(name)
    return peak

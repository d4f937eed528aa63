"""The pruned model through the same lens as the original, without running a model that may be broken."""

from dataclasses import replace
from pathlib import Path

import onnx.inliner
from onnx import ModelProto

from onnxprune.onnx_file import Graph, read_model
from onnxprune.onnx_file.graph import view
from onnxprune.onnx_file.shapes import complete, infer_shapes, propagate


def see(pruned: ModelProto | Path, original: Graph) -> Graph:
    """The graph of a pruned model, with the shapes that follow under the original's input shapes.

    A model in memory refers to external data in the folder of the original.

    Raises:
        ModelError: The file cannot be read, or its nodes do not hang together (E309).
    """
    if isinstance(pruned, Path):
        model, path = read_model(pruned), pruned
        if model.functions:
            model = onnx.inliner.inline_local_functions(model)
    else:
        model, path = pruned, original.path
    graph = view(model, path)
    names = {value.name for value in graph.inputs}
    propagate(graph, {name: shape for name, shape in original.assumed.items() if name in names})
    return graph


def see_further(graph: Graph) -> Graph:
    """The same graph with the shapes that only a run can tell; for models whose known extents fit."""
    if complete(graph):
        return graph
    further = replace(graph)
    infer_shapes(further, graph.assumed)
    return further

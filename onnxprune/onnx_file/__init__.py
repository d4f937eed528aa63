"""Reading ONNX files, seeing them as graphs, writing them."""

from collections.abc import Mapping
from pathlib import Path

import onnx
import onnx.inliner

from onnxprune.errors import ModelError
from onnxprune.onnx_file.external import external_locations
from onnxprune.onnx_file.graph import Edge, Graph, Node, ValueInfo, view
from onnxprune.onnx_file.initializer import Initializer
from onnxprune.onnx_file.reading import read_model
from onnxprune.onnx_file.saving import Saved, check_output, save_model
from onnxprune.onnx_file.shapes import infer_shapes

__all__ = [
    "Edge",
    "Graph",
    "Initializer",
    "Node",
    "Saved",
    "ValueInfo",
    "check_output",
    "external_locations",
    "load_graph",
    "read_model",
    "save_model",
]


def load_graph(path: Path | str, *, shapes: Mapping[str, tuple[int, ...]] | None = None) -> Graph:
    """Read a model and see it as a graph with concrete shapes.

    Args:
        path: The .onnx file; its external data lies beside it and is read on demand.
        shapes: Extents to assume for inputs with free dimensions, by input name.

    Raises:
        ModelError: The file cannot be read (E301 to E309).
        UsageError: E205, a shape that fits no input.
    """
    path = Path(path)
    model = read_model(path)
    warnings = []
    if model.functions:
        model = inlined(model, path)
        warnings.append("local functions were inlined; the written model has their bodies instead")
    graph = view(model, path)
    graph.warnings += warnings
    infer_shapes(graph, shapes or {})
    return graph


def inlined(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    try:
        return onnx.inliner.inline_local_functions(model)
    except (RuntimeError, ValueError) as error:
        message = f"{path.name}: its local functions do not fit the nodes that call them"
        raise ModelError("E309", message, cause=str(error).splitlines()[0]) from error

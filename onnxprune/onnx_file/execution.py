"""Shapes that only a run can tell."""

from collections.abc import Sequence

import numpy as np
import onnxruntime as ort
from onnx import ModelProto, ValueInfoProto

from onnxprune.onnx_file.graph import Graph


class CannotRun(Exception):
    """ONNX Runtime makes no session of this model."""


def shapes_by_running(graph: Graph, names: Sequence[str]) -> dict[str, tuple[int, ...]] | None:
    """Shapes of the named values in one run on zeros; None where the assumed input shapes do not fit.

    Raises:
        CannotRun: Under any input shapes (an operator that ONNX Runtime does not know, say).
    """
    model = ModelProto()
    model.CopyFrom(graph.model)
    present = {output.name for output in model.graph.output}
    model.graph.output.extend(ValueInfoProto(name=name) for name in names if name not in present)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    folder = str(graph.path.parent.resolve())
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", folder)
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has no common base class for what it raises
        raise CannotRun(str(error)) from error
    feeds = {i.name: np.zeros(graph.assumed[i.name], i.dtype or np.float32) for i in graph.inputs}
    try:
        values = session.run(list(names), feeds)
    except Exception:
        return None
    return {name: value.shape for name, value in zip(names, values, strict=True) if isinstance(value, np.ndarray)}

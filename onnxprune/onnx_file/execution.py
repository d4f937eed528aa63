"""Shapes that only a run can tell."""

import warnings
from collections.abc import Sequence

import numpy as np
import onnxruntime as ort
from onnx import ModelProto, ValueInfoProto

from onnxprune.onnx_file.graph import Graph


def shapes_by_running(graph: Graph, names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Shapes of the named values in one run on zeros under the assumed input shapes; {} if it fails."""
    model = ModelProto()
    model.CopyFrom(graph.model)
    present = {output.name for output in model.graph.output}
    model.graph.output.extend(ValueInfoProto(name=name) for name in names if name not in present)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    feeds = {i.name: np.zeros(graph.assumed[i.name], i.dtype or np.float32) for i in graph.inputs}
    folder = str(graph.path.parent.resolve())
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", folder)
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        values = session.run(list(names), feeds)
    except Exception as error:  # ONNX Runtime has no common base class for what it raises
        warnings.warn(f"no shapes from a run: {str(error)[:200]}", RuntimeWarning, stacklevel=2)
        return {}
    return {
        name: value.shape for name, value in zip(names, values, strict=True) if isinstance(value, np.ndarray)
    }

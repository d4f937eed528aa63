"""Shapes and types that only a run can tell."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from onnxprune.onnx_file.graph import Graph


class CannotRun(Exception):
    """ONNX Runtime makes no session of this model."""


@dataclass(frozen=True)
class Seen:
    """What a value was in a run; `type` is a TensorProto.DataType."""

    shape: tuple[int, ...]
    type: int


def see_by_running(graph: Graph, names: Sequence[str]) -> dict[str, Seen] | None:
    """Shapes and types of the named values in one run on zeros; None where the input shapes do not fit.

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
    except Exception:  # noqa: BLE001 - ONNX Runtime has no common base class for what it raises
        return None
    return {n: seen(v) for n, v in zip(names, values, strict=True) if isinstance(v, np.ndarray)}


def seen(value: NDArray[Any]) -> Seen:
    kind = TensorProto.STRING if value.dtype == object else helper.np_dtype_to_tensor_dtype(value.dtype)
    return Seen(value.shape, kind)

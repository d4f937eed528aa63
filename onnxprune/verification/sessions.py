"""Models in ONNX Runtime, whatever their size: large weights are handed over apart from the graph.

A model is never serialised with its weights: protobuf ends at 2 GiB, and the bytes would be a copy.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, numpy_helper

from onnxprune.onnx_file.layout import lean_copy
from onnxprune.onnx_file.tensors import byte_size, is_external
from onnxprune.verification.types import Feeds

APART_BYTES = 1 << 20
APART_TYPES = {
    *(TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.INT8, TensorProto.UINT8),
    *(TensorProto.INT16, TensorProto.UINT16, TensorProto.INT32, TensorProto.INT64),
}
PROVIDERS = ["CPUExecutionProvider"]
Arrays = list[NDArray[Any]]


class CannotRun(Exception):
    """ONNX Runtime makes no session of a model, or its run fails; the message is ONNX Runtime's."""


@dataclass(frozen=True)
class Runnable:
    """A model and its large weights; external data lies in `folder`."""

    model: ModelProto
    folder: Path
    weights: Mapping[str, Any] = field(default_factory=dict)  # OrtValue by initializer name
    extensions: tuple[Path, ...] = ()


def runnable(model: ModelProto, folder: Path, extensions: tuple[Path, ...] = ()) -> Runnable:
    """A copy of the model whose large weights are references; the model is not changed."""
    weights = {t.name: ort.OrtValue.ortvalue_from_numpy(numpy_helper.to_array(t)) for t in large(model)}
    lean = lean_copy(model, lambda tensor: tensor.name in weights and not is_external(tensor))
    for tensor in lean.graph.initializer:
        if tensor.name in weights:
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value="in_memory")
    return Runnable(lean, folder, weights, extensions)


def large(model: ModelProto) -> list[TensorProto]:
    """Initializers with many values inside the model."""
    return [
        tensor
        for tensor in model.graph.initializer
        if tensor.data_type in APART_TYPES
        and not is_external(tensor)
        and (byte_size(tensor) or 0) >= APART_BYTES
    ]


class Session:
    """One model in ONNX Runtime on the CPU, with all of its optimisations or with none."""

    def __init__(self, source: Runnable, *, optimised: bool) -> None:
        """Open the model.

        Raises:
            CannotRun: ONNX Runtime refuses it.
        """
        levels = ort.GraphOptimizationLevel
        options = ort.SessionOptions()
        options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimised else levels.ORT_DISABLE_ALL
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        folder = str(source.folder.resolve())
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", folder)
        self.weights = source.weights  # must live as long as the session
        try:
            for library in source.extensions:
                options.register_custom_ops_library(str(library))
            if source.weights:
                options.add_external_initializers(list(source.weights), list(source.weights.values()))
            self.session = ort.InferenceSession(source.model.SerializeToString(), options, PROVIDERS)
        except Exception as error:  # ONNX Runtime has no common base class for what it raises
            raise CannotRun(first_line(error)) from error
        self.names = [output.name for output in self.session.get_outputs()]

    def run(self, feeds: Feeds) -> Arrays:
        """The outputs in order; those that are no tensors are left out, parts of sequences come one by one.

        Raises:
            CannotRun: The run fails.
        """
        try:
            found = self.session.run(self.names, dict(feeds))
        except Exception as error:
            raise CannotRun(first_line(error)) from error
        flat = [part for value in found for part in (value if isinstance(value, list) else [value])]
        return [value for value in flat if isinstance(value, np.ndarray)]


def first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def run_all(source: Runnable, feeds: list[Feeds], *, optimised: bool) -> list[Arrays]:
    """The outputs for every feed; the session is closed afterwards.

    Raises:
        CannotRun: ONNX Runtime refuses the model, or a run fails.
    """
    session = Session(source, optimised=optimised)
    return [session.run(feed) for feed in feeds]

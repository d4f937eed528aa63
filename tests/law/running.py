"""Models as functions of arrays, and how far their results are apart."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import ModelProto

PLAIN = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
FULL = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
Array = NDArray[np.generic]
Arrays = dict[str, Array]


def runner(proto: ModelProto, folder: Path, level: ort.GraphOptimizationLevel) -> Callable[[Arrays], Arrays]:
    """The model as a function of named arrays."""
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(feeds: Arrays) -> Arrays:
        return dict(zip(names, session.run(names, feeds), strict=True))

    return run


def assert_close(found: Array, expected: Array, what: str, tolerance: float) -> None:
    assert found.shape == expected.shape, f"{what}: shape {found.shape}, expected {expected.shape}"
    far = distance(found, expected)
    assert far <= tolerance, f"{what}: differs by {far:.2e} of the largest value, allowed {tolerance:.2e}"


def close(found: Array, expected: Array, tolerance: float) -> bool:
    return found.shape == expected.shape and distance(found, expected) <= tolerance


def distance(found: Array, expected: Array) -> float:
    """Largest difference, relative to the largest value; infinite where only one is finite."""
    a, b = found.astype(np.float64), expected.astype(np.float64)
    if not np.array_equal(np.isfinite(a), np.isfinite(b)):
        return float("inf")
    a, b = np.nan_to_num(a), np.nan_to_num(b)
    return float(np.abs(a - b).max(initial=0) / max(np.abs(b).max(initial=0), 1e-3))

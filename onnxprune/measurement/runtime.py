"""The installed ONNX Runtime: which distribution, whether it is one alone, and how it is imported."""

import contextlib
import importlib
import importlib.metadata
import io
from collections.abc import Mapping
from functools import cache
from typing import Any

from onnxprune.errors import RuntimeProblem

# Distributions that write into the one folder onnxruntime/.
DISTRIBUTIONS = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-directml",
    "onnxruntime-openvino",
    "onnxruntime-qnn",
    "onnxruntime-rocm",
    "onnxruntime-silicon",
    "onnxruntime-training",
    "ort-nightly",
    "ort-nightly-gpu",
)
INSTALL = "pip install onnxruntime-gpu (with an NVIDIA GPU on x86-64 Linux or Windows), else onnxruntime"


def installed_distributions() -> dict[str, str]:
    """Version of each installed distribution that is an ONNX Runtime; one is as it should be."""
    found = {}
    for name in DISTRIBUTIONS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def check_distributions(found: Mapping[str, str]) -> None:
    """Nothing, where at most one distribution is installed.

    Raises:
        RuntimeProblem: E602, several write into one folder: which files are whose is chance.
    """
    if len(found) > 1:
        versions = " and ".join(f"{name} {version}" for name, version in found.items())
        raise RuntimeProblem(
            "E602",
            f"{versions} share one directory",
            hint=f"uninstall both, install one: pip uninstall {' '.join(found)}; {INSTALL}",
        )


@cache
def load_runtime() -> Any:
    """The module onnxruntime, with the libraries of CUDA that lie in Python packages loaded first.

    Raises:
        RuntimeProblem: E602, two distributions in one directory; E603, none, or one that does not load.
    """
    found = installed_distributions()
    check_distributions(found)
    try:
        runtime = importlib.import_module("onnxruntime")
    except ImportError as error:
        what = f"{next(iter(found))} does not load" if found else "onnxruntime is not installed"
        raise RuntimeProblem("E603", what, cause=str(error), hint=INSTALL) from error
    if "CUDAExecutionProvider" in runtime.get_available_providers():
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it did not find
            runtime.preload_dlls()
    return runtime

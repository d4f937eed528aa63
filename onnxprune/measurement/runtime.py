"""The installed ONNX Runtime: which distribution, whether it is one alone, and how it is imported."""

import contextlib
import importlib
import importlib.metadata
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path
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


@dataclass(frozen=True)
class Installed:
    """A distribution that holds the module onnxruntime, and the directory that it was installed into."""

    name: str
    version: str
    directory: Path

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def installed_distributions() -> list[Installed]:
    """Each installed distribution that is an ONNX Runtime; one is as it should be."""
    found = []
    for name in DISTRIBUTIONS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            distribution = importlib.metadata.distribution(name)
            directory = Path(str(distribution.locate_file(""))).resolve()
            found.append(Installed(name, distribution.version, directory))
    return found


def check_distributions(found: Sequence[Installed]) -> None:
    """Nothing, where no directory holds two distributions.

    Raises:
        RuntimeProblem: E602, two write into one directory: which files are whose is chance.
    """
    for one, other in combinations(found, 2):
        if one.directory == other.directory:
            raise RuntimeProblem(
                "E602",
                f"{one} and {other} share one directory",
                cause=str(one.directory / "onnxruntime"),
                hint=f"uninstall both, install one: pip uninstall {one.name} {other.name}; {INSTALL}",
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
        what = f"{found[0]} does not load" if found else "onnxruntime is not installed"
        raise RuntimeProblem("E603", what, cause=str(error), hint=INSTALL) from error
    if "CUDAExecutionProvider" in runtime.get_available_providers():
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it did not find
            runtime.preload_dlls()
    return runtime

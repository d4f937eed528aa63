"""What a run ran with, for its record."""

import platform
from importlib.metadata import PackageNotFoundError, version

from onnxprune.version import VERSION

PACKAGES = ("numpy", "scipy", "onnx", "onnxruntime", "onnxruntime-gpu", "torch", "torch-geometric")


def versions() -> dict[str, str]:
    """Of onnxprune, Python and the packages that decide figures; those that are not there are left out."""
    found = {"onnxprune": VERSION, "python": platform.python_version(), "system": platform.platform()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found

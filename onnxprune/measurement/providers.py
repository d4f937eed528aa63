"""Execution providers: which to ask for, which really runs, and why another does not."""

import ctypes
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from onnxprune.errors import UsageError

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
ON_GPU = (CUDA, TENSORRT)

# What `--provider` names -> what is asked of ONNX Runtime, best first.
REQUESTS: dict[str, tuple[str, ...]] = {
    "cpu": (CPU,),
    "cuda": (CUDA, CPU),
    "tensorrt": (TENSORRT, CUDA, CPU),
}
ENOUGH = 0.95  # share of the MACs below which a request counts as badly met
LIBRARIES = {CUDA: "onnxruntime_providers_cuda", TENSORRT: "onnxruntime_providers_tensorrt"}


@dataclass(frozen=True)
class Shares:
    """How a model's work is spread over providers.

    Args:
        of: Provider -> its share of the whole, 0 to 1.
        weighted_by: What was counted: MACs, or nodes where no MACs are known.
    """

    of: Mapping[str, float]
    weighted_by: Literal["macs", "nodes"]

    @property
    def main(self) -> str:
        """The provider with the largest share."""
        return max(self.of, key=lambda provider: self.of[provider])


def requested_providers(name: str, available: Sequence[str]) -> tuple[str, ...]:
    """Providers to ask for, best first and the CPU last.

        requested_providers("auto", ["CUDAExecutionProvider", "CPUExecutionProvider"]) -> (CUDA, CPU)

    `auto` takes CUDA where it is available, and never TensorRT, which builds engines for minutes.

    Raises:
        UsageError: E201, no provider has that name.
    """
    if name == "auto":
        return REQUESTS["cuda"] if CUDA in available else REQUESTS["cpu"]
    if name in REQUESTS:
        return REQUESTS[name]
    if name.endswith("ExecutionProvider"):
        return (name,) if name == CPU else (name, CPU)
    raise UsageError(
        "E201",
        f"--provider {name}: must be one of auto, {', '.join(REQUESTS)}",
        hint="or a full name, such as XnnpackExecutionProvider; of a search it is --device",
    )


def spread(assignment: Sequence[tuple[str, str]], macs: Mapping[str, int] | None) -> Shares | None:
    """The shares of an assignment; None where nothing is assigned.

        spread([("conv", CUDA), ("relu", CPU)], {"conv": 900}) -> CUDA 1.0, CPU 0.0, by MACs

    Args:
        assignment: Node name and provider of each node.
        macs: MACs of each node that has any, by node name.
    """
    providers = [provider for _, provider in assignment]
    weights: Counter[str] = Counter(dict.fromkeys(providers, 0))
    for node, provider in assignment:
        weights[provider] += (macs or {}).get(node, 0)
    if weights.total():
        return Shares(_normalised(weights), "macs")
    return Shares(_normalised(Counter(providers)), "nodes") if providers else None


def _normalised(weights: Counter[str]) -> dict[str, float]:
    return {provider: weight / weights.total() for provider, weight in weights.items()}


def assignment_of(handle: Any) -> list[tuple[str, str]]:
    """Node name and provider of each node of an InferenceSession; [] where it cannot tell."""
    if not hasattr(handle, "get_provider_graph_assignment_info"):
        return []
    subgraphs = handle.get_provider_graph_assignment_info()
    return [(node.name, subgraph.ep_name) for subgraph in subgraphs for node in subgraph.get_nodes()]


def why_not_active(provider: str, runtime: Any) -> str:
    """What keeps a provider from running, as far as can be seen beforehand; "" where nothing is known."""
    if provider not in runtime.get_available_providers():
        return f"the installed ONNX Runtime {runtime.__version__} is built without it"
    if platform.system() == "Windows":  # there Python looks for libraries in other places than ONNX Runtime
        return ""
    return library_problem(Path(runtime.__file__).parent / "capi" / _library(provider))


@cache
def library_problem(path: Path) -> str:
    """What the system says when a provider's library is loaded; "" where it loads or does not exist.

    ONNX Runtime only logs that, and the session silently runs on the CPU.
    """
    if not path.is_file():
        return ""
    try:
        ctypes.CDLL(str(path))
    except OSError as error:
        # Unknown symbols are those of ONNX Runtime itself: then every other library was found.
        return "" if "undefined symbol" in str(error) else str(error)
    return ""


def _library(provider: str) -> str:
    return f"lib{LIBRARIES.get(provider, provider)}.so"

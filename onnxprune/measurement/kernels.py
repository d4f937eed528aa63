"""What ONNX Runtime makes of a model: how many convolutions get the blocked kernel, and time by node.

The count tells without a clock whether channel counts suit the processor: a convolution whose channels
are no multiple of four loses the kernel that works on blocks of channels (NCHWc).
"""

import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx

from onnxprune.data.samples import Array
from onnxprune.measurement.session import SessionSettings, make_session

BLOCKED_DOMAIN = "com.microsoft.nchwc"
CONVS = frozenset({"Conv", "FusedConv"})
PROFILE_RUNS = 20


@dataclass(frozen=True)
class ConvKernels:
    """Convolutions of the optimised graph, and those of them on the blocked kernel."""

    blocked: int
    all: int


@dataclass(frozen=True)
class NodeLatency:
    """Time of a node of the optimised graph; its name may be that of what was fused into it.

    Args:
        name: Of the node.
        op_type: Its operator.
        provider: That ran it.
        mean_ms: Of one run.
        share: Of the time of all nodes, 0 to 1.
    """

    name: str
    op_type: str
    provider: str
    mean_ms: float
    share: float


def conv_kernels(model: Path | bytes, settings: SessionSettings) -> ConvKernels:
    """Convolutions of the graph that ONNX Runtime makes of `model` under these settings."""
    with tempfile.TemporaryDirectory(prefix="onnxprune-") as folder:
        path = Path(folder) / "optimized.onnx"
        make_session(model, replace(settings, optimized_path=path))
        optimized = onnx.load(path, load_external_data=False)
    nodes = [node for node in _all_nodes(optimized.graph) if node.op_type in CONVS]
    return ConvKernels(sum(node.domain == BLOCKED_DOMAIN for node in nodes), len(nodes))


def node_latencies(
    model: Path | bytes, feeds: Mapping[str, Array], settings: SessionSettings
) -> tuple[NodeLatency, ...]:
    """Time of each node, longest first, by ONNX Runtime's profiler.

    The profiler itself costs time: shares and ratios count, the sum exceeds the latency.
    """
    with tempfile.TemporaryDirectory(prefix="onnxprune-") as folder:
        session = make_session(model, replace(settings, profile_prefix=Path(folder) / "profile"))
        for _ in range(PROFILE_RUNS + 1):
            session.run(feeds)
        events = json.loads(Path(session.handle.end_profiling()).read_text())
    return node_table(events)


def node_table(events: list[dict[str, Any]]) -> tuple[NodeLatency, ...]:
    """The table from the events of a profile; the first run of each node is warm-up."""
    runs: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            arguments = event["args"]
            name = event["name"].removesuffix("_kernel_time")
            runs[name, arguments["op_name"], arguments["provider"]].append(event["dur"] / 1e3)
    means = {key: sum(times[1:]) / (len(times) - 1) for key, times in runs.items() if len(times) > 1}
    total = sum(means.values()) or 1.0
    rows = [NodeLatency(*key, mean_ms=mean, share=mean / total) for key, mean in means.items()]
    return tuple(sorted(rows, key=lambda row: -row.mean_ms))


def _all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The nodes of a graph and of all graphs in it."""
    graphs = [graph]
    while graphs:
        for node in graphs.pop().node:
            yield node
            for attribute in node.attribute:
                graphs += [attribute.g] if attribute.HasField("g") else attribute.graphs

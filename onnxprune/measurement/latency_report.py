"""What a latency measurement tells. Units are in the names; ratios below 1 are faster."""

from dataclasses import dataclass
from typing import Literal

from onnxprune.measurement.host import HostFacts
from onnxprune.measurement.kernels import ConvKernels, NodeLatency
from onnxprune.measurement.statistics import Band, Percentiles, Verdict


@dataclass(frozen=True)
class ModelLatency:
    """Observed latency of one model.

    Args:
        name: Of the contender.
        provider: That really runs the largest share of it.
        provider_share: That share, 0 to 1; None where ONNX Runtime cannot tell.
        wall: By the clock.
        cpu: Processor time; None where it is no latency (several threads, a GPU, a coarse clock).
        end_to_end: By the clock with copies to and from the GPU; None on the CPU.
        convs: Convolutions on the blocked kernel; None on a GPU.
        nodes: Time of each node, where asked for.
        wall_ms: Each run, in order.
        cpu_ms: Each run, in order; () where `cpu` is None.
    """

    name: str
    provider: str
    provider_share: float | None
    wall: Percentiles
    cpu: Percentiles | None
    end_to_end: Percentiles | None
    convs: ConvKernels | None
    nodes: tuple[NodeLatency, ...]
    wall_ms: tuple[float, ...]
    cpu_ms: tuple[float, ...]


@dataclass(frozen=True)
class Comparison:
    """A model beside the first.

    Args:
        name: Of the contender.
        wall_ratio: Of the medians by the clock.
        cpu_ratio: Of the medians of processor time, where that is a latency.
        verdict: What the times support, given the noise.
    """

    name: str
    wall_ratio: float
    cpu_ratio: float | None
    verdict: Verdict


@dataclass(frozen=True)
class LatencyReport:
    """Latency of all contenders, in their order.

    Args:
        models: One each.
        comparisons: One for each but the first.
        control: Ratio of the first to itself (A/A), by the clock that verdicts are drawn from.
        drawn_from: That clock.
        requested: The provider asked for.
        threads: Of one operator.
        batch: Rows of one run.
        runs: Of each model.
        host: The machine.
        warnings: What limits the meaning of the figures.
    """

    models: tuple[ModelLatency, ...]
    comparisons: tuple[Comparison, ...]
    control: Band
    drawn_from: Literal["cpu", "wall"]
    requested: str
    threads: int
    batch: int
    runs: int
    host: HostFacts
    warnings: tuple[str, ...]

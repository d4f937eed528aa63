"""Who measures: pieces of a model, and whole models beside the original; ONNX Runtime, or a stand-in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol as Interface

import numpy as np
from onnx import ModelProto, TensorProto, helper

from onnxprune.cost import CostModel
from onnxprune.data.samples import Array
from onnxprune.groups import Groups
from onnxprune.latency.extract import Piece
from onnxprune.latency.table import Setting
from onnxprune.masks import Masks
from onnxprune.measurement import BenchOptions, Contender, LatencyReport, Protocol, SessionSettings, bench
from onnxprune.measurement.host import host_facts
from onnxprune.measurement.lanes import make_lane
from onnxprune.measurement.providers import CPU
from onnxprune.measurement.runtime import load_runtime
from onnxprune.measurement.statistics import Band
from onnxprune.measurement.timing import CPU_CLOCK_IS_FINE, time_interleaved
from onnxprune.pruning import prune
from onnxprune.verification.feeds import random_feeds

NS = 1e6  # in a millisecond
SHORT = Protocol(warmup_ms=2.0, warmup_runs=3, duration_s=0.02, min_runs=12)  # of a piece


@dataclass(frozen=True)
class Beside:
    """A whole model beside the original, interleaved.

    Attributes:
        latency_ms, original_ms: Medians.
        ratio: Of the two.
        control: Ratios of the original to itself in the same time: the noise.
        provider: That really ran the model.
        clock: "cpu", processor time, or "wall".
        runs: Of each.
        warnings: What limits the meaning of the figures.
    """

    latency_ms: float
    original_ms: float
    ratio: float
    control: Band
    provider: str
    clock: str
    runs: int
    warnings: tuple[str, ...] = ()


class Stopwatch(Interface):
    """What tells times."""

    def setting(self) -> Setting:
        """Where it measures; times of another setting do not hold here."""

    def piece_ns(self, piece: Piece) -> float:
        """Nanoseconds of one run, without what it takes to call the runtime.

        Raises:
            OnnxPruneError: The piece does not run by itself.
        """

    def beside(self, models: Sequence[Masks]) -> list[Beside]:
        """The original pruned with each of these masks, beside the original, all in one interleaved run."""


@dataclass(frozen=True)
class WatchOptions:
    """How latency is measured.

    Attributes:
        provider: auto, cpu, cuda, tensorrt, or a full provider name.
        require: Fail where another provider runs the model instead.
        threads: Of one operator; with one, processor time is the latency.
        seconds: Of counted runs of a whole model and the original, at least.
        folder: Of the times measured before; None for the user's cache.
    """

    provider: str = "cpu"
    require: bool = False
    threads: int = 1
    seconds: float = 2.0
    folder: Path | None = None

    @property
    def session(self) -> SessionSettings:
        provider = self.provider.removesuffix("-int8")  # of `align`: how the model will run there
        return SessionSettings(provider=provider, require=self.require, threads=self.threads)


class RuntimeWatch:
    """Measures in ONNX Runtime.

    Args:
        groups: Of the original.
        options: Provider, threads, time.
    """

    def __init__(self, groups: Groups, options: WatchOptions) -> None:
        self.groups = groups
        self.options = options
        self._settings = options.session
        self._cost = CostModel(groups)
        rng = np.random.default_rng(0)
        self._feeds = random_feeds(groups.graph, groups.graph.assumed, rng)

    def setting(self) -> Setting:
        provider = make_lane(self._original, self._settings).session.provider
        runtime = str(load_runtime().__version__)
        clock = "cpu" if self._by_cpu(provider) else "wall"
        return Setting(provider, self._settings.threads, clock, runtime, host_facts().processor)

    def piece_ns(self, piece: Piece) -> float:
        return max(1.0, self._median_ns(piece.name, piece.content, piece.feeds) - self._calling_ns)

    @cached_property
    def _calling_ns(self) -> float:
        """What it takes to call the runtime."""
        value = np.zeros(1, np.float32)
        return self._median_ns("nothing", nothing().SerializeToString(), {"x": value})

    def _median_ns(self, name: str, content: bytes, feeds: Mapping[str, Array]) -> float:
        lane = make_lane(Contender(name, content, feeds), self._settings)
        (times,) = time_interleaved([lane.run], SHORT)
        cpu = times.cpu_ms if self._by_cpu(lane.session.provider) else None
        return float(np.median(times.wall_ms if cpu is None else cpu)) * NS

    def _by_cpu(self, provider: str) -> bool:
        return CPU_CLOCK_IS_FINE and self._settings.threads == 1 and provider == CPU

    def beside(self, models: Sequence[Masks]) -> list[Beside]:
        contenders = [self._pruned(masks, f"pruned {number}") for number, masks in enumerate(models, 1)]
        settings = replace(self._settings, external_folder=self.groups.graph.path.parent)
        seconds = self.options.seconds * (1 + len(models)) / 2
        options = BenchOptions(settings, Protocol(duration_s=seconds))
        report = bench([self._original, *contenders], options)
        return [beside_of(report, index) for index in range(1, len(report.models))]

    @property
    def _original(self) -> Contender:
        return Contender("original", self.groups.graph.path, self._feeds, self._cost.macs_by_node({}))

    def _pruned(self, masks: Masks, name: str) -> Contender:
        content = prune(self.groups, masks).SerializeToString()
        return Contender(name, content, self._feeds, self._cost.macs_by_node(masks))


def nothing() -> ModelProto:
    """A model that copies one number."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "nothing", [x], [y])
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])


def beside_of(report: LatencyReport, index: int) -> Beside:
    """One of the models of a report beside the first."""
    first, model = report.models[0], report.models[index]
    found = report.comparisons[index - 1]
    cpu = report.drawn_from == "cpu" and model.cpu is not None and first.cpu is not None
    own, whole = (model.cpu, first.cpu) if cpu else (model.wall, first.wall)
    assert own is not None
    assert whole is not None
    return Beside(
        latency_ms=own.p50_ms,
        original_ms=whole.p50_ms,
        ratio=found.wall_ratio if found.cpu_ratio is None else found.cpu_ratio,
        control=report.control,
        provider=model.provider,
        clock=report.drawn_from,
        runs=report.runs,
        warnings=report.warnings,
    )

"""Honest latency of one or more models, the first being the baseline.

    report = bench([Contender("original", path, feeds), Contender("pruned", pruned, feeds)])
    report.comparisons[0].cpu_ratio, report.comparisons[0].verdict  ->  0.75, "faster"

Models run interleaved, beside a second copy of the first: how much that differs from itself is the
noise, and within it nothing is claimed. Where one thread works, the conclusion is drawn from processor
time, which a busy machine hardly disturbs; else from the clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import onnx

from onnxprune.data.samples import Batch
from onnxprune.measurement.host import HostFacts, host_facts
from onnxprune.measurement.kernels import conv_kernels, node_latencies
from onnxprune.measurement.lanes import Contender, Lane, make_lane
from onnxprune.measurement.latency_report import Comparison, LatencyReport, ModelLatency
from onnxprune.measurement.providers import CPU
from onnxprune.measurement.session import SessionSettings
from onnxprune.measurement.statistics import Band, Percentiles, control_band, percentiles, ratio, verdict
from onnxprune.measurement.timing import CPU_CLOCK_IS_FINE, Elapsed, Protocol, Timed, time_interleaved

NOISY_CV = 0.1
HALF = frozenset({onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16})


@dataclass(frozen=True)
class BenchOptions:
    """What is asked for.

    Args:
        settings: Provider and threads.
        protocol: How long and how often.
        per_node: Also the time of each node.
    """

    settings: SessionSettings = field(default_factory=SessionSettings)
    protocol: Protocol = field(default_factory=Protocol)
    per_node: bool = False


def bench(
    contenders: Sequence[Contender],
    options: BenchOptions | None = None,
    *,
    progress: Elapsed | None = None,
) -> LatencyReport:
    """The latency of each contender, and what can be claimed of it beside the first.

    Args:
        contenders: At least one; the first is the baseline.
        options: Provider, threads, duration.
        progress: Called between runs with seconds done and seconds in all; what it does in threads of
            its own would count as processor time of a model.

    Raises:
        ModelError: E309, a model does not run on its inputs.
        RuntimeProblem: E601, a required provider does not run.
    """
    options = options or BenchOptions()
    host = host_facts()  # before our own runs raise the load
    lanes = [make_lane(contender, options.settings) for contender in contenders]
    again = make_lane(contenders[0], options.settings)
    runs = [lane.run for lane in (*lanes, again)]
    *timed, control = time_interleaved(runs, options.protocol, progress=progress)
    ends = _end_to_end(lanes, options.protocol)
    by_cpu = CPU_CLOCK_IS_FINE and options.settings.threads == 1
    by_cpu = by_cpu and all(lane.session.provider == CPU for lane in lanes)
    clocked = [times if by_cpu else Timed(times.wall_ms, None) for times in timed]
    band = _control(control, clocked[0])
    models = [
        _model_latency(lane, times, end, options)
        for lane, times, end in zip(lanes, clocked, ends, strict=True)
    ]
    return LatencyReport(
        models=tuple(models),
        comparisons=tuple(
            _compare(model.name, times, clocked[0], band)
            for model, times in zip(models[1:], clocked[1:], strict=True)
        ),
        control=band,
        drawn_from="cpu" if by_cpu else "wall",
        requested=options.settings.provider,
        threads=options.settings.threads,
        batch=len(Batch(contenders[0].feeds)),
        runs=len(timed[0].wall_ms),
        host=host,
        warnings=_warnings(lanes, models, host, band),
    )


def _end_to_end(lanes: Sequence[Lane], protocol: Protocol) -> list[Percentiles | None]:
    """Latency with copies to and from the GPU; None for each where nothing runs on one."""
    runs = [lane.end_to_end for lane in lanes if lane.end_to_end is not None]
    if len(runs) < len(lanes):
        return [None] * len(lanes)
    return [percentiles(times.wall_ms) for times in time_interleaved(runs, protocol)]


def _control(again: Timed, first: Timed) -> Band:
    if first.cpu_ms is not None and again.cpu_ms is not None:
        return control_band(again.cpu_ms, first.cpu_ms)
    return control_band(again.wall_ms, first.wall_ms)


def _model_latency(
    lane: Lane, times: Timed, end_to_end: Percentiles | None, options: BenchOptions
) -> ModelLatency:
    session, model = lane.session, lane.contender.model
    on_cpu = session.provider == CPU
    return ModelLatency(
        name=lane.contender.name,
        provider=session.provider,
        provider_share=session.shares.of[session.provider] if session.shares else None,
        wall=percentiles(times.wall_ms),
        cpu=None if times.cpu_ms is None else percentiles(times.cpu_ms),
        end_to_end=end_to_end,
        convs=conv_kernels(model, options.settings) if on_cpu else None,
        nodes=node_latencies(model, lane.contender.feeds, options.settings) if options.per_node else (),
        wall_ms=tuple(times.wall_ms.tolist()),
        cpu_ms=() if times.cpu_ms is None else tuple(times.cpu_ms.tolist()),
    )


def _compare(name: str, times: Timed, first: Timed, band: Band) -> Comparison:
    wall = ratio(times.wall_ms, first.wall_ms)
    if times.cpu_ms is None or first.cpu_ms is None:
        return Comparison(name, wall, None, verdict(wall, band))
    cpu = ratio(times.cpu_ms, first.cpu_ms)
    return Comparison(name, wall, cpu, verdict(cpu, band))


def _warnings(
    lanes: Sequence[Lane], models: Sequence[ModelLatency], host: HostFacts, band: Band
) -> tuple[str, ...]:
    found = [warning for lane in lanes for warning in lane.session.warnings]
    found += host.warnings
    worst = max(model.wall.cv for model in models)
    if worst > NOISY_CV:
        basis = "CPU time" if models[0].cpu else "the clock"
        found.append(
            f"W604: wall-clock CV {worst:.0%}: the machine is shared; conclusions are drawn from {basis} "
            f"(A/A control {band.low:.2f}-{band.high:.2f})"
        )
    halves = [lane.contender.name for lane in lanes if lane.session.provider == CPU and _holds_half(lane)]
    found += [f"W407: {name}: float16 latency on the CPU is not representative" for name in halves]
    return tuple(dict.fromkeys(found))


def _holds_half(lane: Lane) -> bool:
    model = lane.contender.model
    if isinstance(model, Path):
        graph = onnx.load(model, load_external_data=False).graph
    else:
        graph = onnx.load_from_string(model).graph
    return any(tensor.data_type in HALF for tensor in graph.initializer)

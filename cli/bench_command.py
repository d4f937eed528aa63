"""`onnxprune bench`: honest latency, interleaved."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from onnxprune.cli.console import Output
from onnxprune.cli.data_options import DataSource, data_options
from onnxprune.cli.help import Command
from onnxprune.cli.options import (
    FILE,
    Function,
    output_options,
    provider_option,
    require_option,
    shape_option,
)
from onnxprune.cli.timing import load_subjects, make_contenders, print_latency, tell_subjects
from onnxprune.data.options import parse_shapes
from onnxprune.measurement.latency import BenchOptions, bench
from onnxprune.measurement.latency_report import LatencyReport
from onnxprune.measurement.session import SessionSettings
from onnxprune.measurement.timing import Protocol

TIMING = (
    provider_option,
    require_option,
    click.option(
        "--threads",
        default=1,
        show_default=True,
        type=click.IntRange(1),
        metavar="N",
        help="Of one operator; with one, processor time is the latency.",
    ),
    click.option(
        "--batch",
        type=click.IntRange(1),
        metavar="N",
        help="Rows of one run; else as many as the model fixes, or 1.",
    ),
    click.option(
        "--warmup",
        default=200.0,
        show_default=True,
        type=click.FloatRange(0),
        metavar="MS",
        help="Milliseconds of each model before anything counts.",
    ),
    click.option(
        "--duration",
        default=3.0,
        show_default=True,
        type=click.FloatRange(0),
        metavar="S",
        help="Seconds of counted runs in all, at least; and at least 30 runs of each.",
    ),
    shape_option,
)


def timing_options(function: Function) -> Function:
    """Adds the options of everything that measures latency."""
    for option in reversed(TIMING):
        function = option(function)
    return function


def bench_options(values: dict[str, Any], *, per_node: bool = False) -> BenchOptions:
    """Takes its options out of `values`, in place."""
    return BenchOptions(
        settings=SessionSettings(
            provider=values.pop("provider"),
            require=values.pop("require_provider"),
            threads=values.pop("threads"),
        ),
        protocol=Protocol(warmup_ms=values.pop("warmup"), duration_s=values.pop("duration")),
        per_node=per_node,
    )


@click.command("bench", cls=Command)
@click.argument("models", nargs=-1, required=True, type=FILE)
@output_options("bench")
@timing_options
@click.option("--per-node", is_flag=True, help="Also the time of each node.")
@data_options
def command(
    output: Output,
    models: tuple[Path, ...],
    data: DataSource,
    per_node: bool,
    batch: int | None,
    shapes: tuple[str, ...],
    **values: Any,
) -> None:
    """Latency of MODELS side by side, the first being the baseline.

    Runs are interleaved with a second copy of the baseline: how much that differs from itself is the noise,
    and within it nothing is claimed. The provider that really ran is named.
    """
    options = bench_options(values, per_node=per_node)
    subjects = load_subjects(models, parse_shapes(shapes))
    tell_subjects(output, subjects)
    report = bench(make_contenders(subjects, data, batch), options)
    print_latency(output, report, subjects)
    if per_node:
        print_nodes(output, report)
    output.finish(asdict(report) | {"costs": {s.name: asdict(s.cost) for s in subjects}})


def print_nodes(output: Output, report: LatencyReport) -> None:
    for model in report.models:
        output.line(f"{model.name}: time of each node")
        rows = [
            [n.name, n.op_type, n.provider, f"{n.mean_ms:.4f}", f"{100 * n.share:.1f} %"] for n in model.nodes
        ]
        output.table(["node", "operator", "provider", "mean ms", "share"], rows)

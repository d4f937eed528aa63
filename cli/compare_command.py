"""`onnxprune compare`: two models side by side, and a gate for CI."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from onnxprune.activations import peak_activation_bytes
from onnxprune.cli.bench_command import bench_options, timing_options
from onnxprune.cli.console import Output
from onnxprune.cli.data_options import DataSource, data_options
from onnxprune.cli.format import si
from onnxprune.cli.gates import Figures, parse_gate, require_all, require_known
from onnxprune.cli.help import Command
from onnxprune.cli.options import FILE, output_options
from onnxprune.cli.timing import Subject, load_subjects, make_contenders, tell_subjects
from onnxprune.data.options import parse_shapes
from onnxprune.groups import find_groups
from onnxprune.measurement.accuracy import MeasureOptions, measure
from onnxprune.measurement.latency import bench
from onnxprune.measurement.latency_report import LatencyReport
from onnxprune.measurement.session import SessionSettings, make_session
from onnxprune.onnx_file.sizes import size

COST = ("macs", "params", "file_bytes", "peak_activation_bytes")
LATENCY = ("latency_p50", "latency_p90", "wall_p50")
ACCURACY = ("top1", "top5", "agreement")


@click.command("compare", cls=Command)
@click.argument("a", type=FILE)
@click.argument("b", type=FILE)
@output_options("compare")
@click.option(
    "--gate",
    "gates",
    multiple=True,
    metavar="FIGURE<=BOUND",
    help="A bound on B; with x as a multiple of A; repeatable.",
)
@click.option("--markdown", is_flag=True, help="The table as markdown.")
@click.option("--no-latency", is_flag=True, help="Measure no latency.")
@timing_options
@data_options
def command(
    output: Output,
    a: Path,
    b: Path,
    data: DataSource,
    gates: tuple[str, ...],
    markdown: bool,
    no_latency: bool,
    batch: int | None,
    shapes: tuple[str, ...],
    **values: Any,
) -> None:
    """Cost, latency and, with --data, accuracy of A (before) and B (after).

    \b
        onnxprune compare a.onnx b.onnx --data val.npz --gate "latency_p50<=0.8x" --gate "top1>=90%"

    A gate that does not hold gives exit code 9. Latency is the p50 by the clock that noise disturbs least.
    Figures: macs, params, file_bytes, peak_activation_bytes, latency_p50, latency_p90, wall_p50, and with
    --data top1, top5, agreement.
    """
    parsed = [parse_gate(text) for text in gates]
    require_known(parsed, COST + LATENCY * (not no_latency) + ACCURACY * (data.spec is not None))
    subjects = load_subjects([a, b], parse_shapes(shapes))
    tell_subjects(output, subjects)
    figures = cost_figures(subjects)
    options = bench_options(values)
    report = None if no_latency else bench(make_contenders(subjects, data, batch), options)
    if report is not None:
        figures |= latency_figures(report)
        for warning in report.warnings:
            output.warn(warning)
    if data.spec is not None:
        figures |= accuracy_figures(output, subjects, data, options.settings)
    require_known(parsed, figures)
    print_figures(output, subjects, figures, markdown=markdown)
    if report is not None:
        output.line(f"latency: {report.comparisons[0].verdict}, on {report.models[1].provider}")
    for gate in parsed:
        output.line(gate.told(figures))
    output.finish(
        {
            "a": a,
            "b": b,
            "figures": {name: {"a": x, "b": y} for name, (x, y) in figures.items()},
            "latency": None if report is None else asdict(report),
            "gates": {gate.text: gate.holds(figures) for gate in parsed},
        }
    )
    require_all(parsed, figures)


def cost_figures(subjects: list[Subject]) -> Figures:
    a, b = subjects
    peaks = [float(peak_activation_bytes(find_groups(s.graph), {})) for s in subjects]
    return {
        "macs": (a.cost.macs, b.cost.macs),
        "params": (a.cost.params, b.cost.params),
        "file_bytes": (a.file_bytes, b.file_bytes),
        "peak_activation_bytes": (peaks[0], peaks[1]),
    }


def latency_figures(report: LatencyReport) -> Figures:
    a, b = report.models
    first, second = (a.cpu or a.wall), (b.cpu or b.wall)
    return {
        "latency_p50": (first.p50_ms, second.p50_ms),
        "latency_p90": (first.p90_ms, second.p90_ms),
        "wall_p50": (a.wall.p50_ms, b.wall.p50_ms),
    }


def accuracy_figures(
    output: Output, subjects: list[Subject], data: DataSource, settings: SessionSettings
) -> Figures:
    a, b = (make_session(s.path, settings, macs=s.macs_by_node) for s in subjects)
    samples = data.open(subjects[0].graph.inputs)
    assert samples is not None
    own = ("top1", "top5") if samples.labelled else ()
    before = measure(a, samples, options=MeasureOptions(own)).metrics if own else {}
    after = measure(b, samples, options=MeasureOptions((*own, "agreement")), reference=a)
    for warning in after.warnings:
        output.warn(warning)
    return {name: (before.get(name, 1.0), value) for name, value in after.metrics.items()}


def print_figures(output: Output, subjects: list[Subject], figures: Figures, *, markdown: bool) -> None:
    rows = []
    for name, (before, after) in figures.items():
        ratio = f"{after / before:.3f}x" if before else "-"
        rows.append([name, shown(name, before), shown(name, after), ratio])
    headings = ["figure", subjects[0].name, subjects[1].name, "ratio"]
    if not markdown:
        output.table(headings, rows)
        return
    output.line(f"| {' | '.join(headings)} |")
    output.line(f"|{'---|' * len(headings)}")
    for row in rows:
        output.line(f"| {' | '.join(row)} |")


def shown(name: str, value: float) -> str:
    if name.endswith("bytes"):
        return size(value)
    if name in ("macs", "params"):
        return si(value)
    return f"{value:.3f} ms" if name.endswith(("p50", "p90")) else f"{100 * value:.2f} %"

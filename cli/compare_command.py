"""`onnxprune compare`: two models side by side, and a gate for CI."""

import operator
import re
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from onnxprune.activations import peak_activation_bytes
from onnxprune.cli.bench_command import bench_options, timing_options
from onnxprune.cli.console import Output, output_options, parse_shapes
from onnxprune.cli.data_options import DataSource, data_options
from onnxprune.cli.format import si, size
from onnxprune.cli.timing import Subject, load_subjects, make_contenders
from onnxprune.errors import GateError, UsageError
from onnxprune.groups import find_groups
from onnxprune.measurement.accuracy import MeasureOptions, measure
from onnxprune.measurement.latency import bench
from onnxprune.measurement.latency_report import LatencyReport
from onnxprune.measurement.session import SessionSettings, make_session

GATE = re.compile(r"\s*([a-z0-9_]+)\s*(<=|>=|<|>)\s*([0-9.]+)\s*(x?)\s*")
HOLDS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}
Figures = dict[str, tuple[float, float]]  # of A and of B


@click.command("compare")
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option(
    "--gate",
    "gates",
    multiple=True,
    metavar="latency_p50<=0.8x",
    help="A bound on B, with x: as a multiple of A; repeatable.",
)
@click.option("--markdown", is_flag=True, help="The table as markdown.")
@click.option("--no-latency", is_flag=True, help="Measure no latency.")
@timing_options
@data_options
@output_options("compare")
def command(
    output: Output,
    a: Path,
    b: Path,
    data: DataSource,
    gates: tuple[str, ...],
    markdown: bool,
    no_latency: bool,
    batch: int,
    shapes: tuple[str, ...],
    **values: Any,
) -> None:
    """Cost, latency and, with --data, accuracy of A (before) and B (after).

    \b
        onnxprune compare a.onnx b.onnx --data val.npz --gate "latency_p50<=0.8x" --gate "top1>=0.9"

    A gate that does not hold gives exit code 9. Latency is the p50 by the clock that noise disturbs least.
    """
    parsed = [parse_gate(text) for text in gates]
    subjects = load_subjects([a, b], parse_shapes(shapes))
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
    verdict = report.comparisons[0].verdict if report else None
    if verdict:
        output.line(f"latency: {verdict}, on {report.models[1].provider if report else ''}")
    failed = [text for text, gate in zip(gates, parsed, strict=True) if not holds(gate, figures)]
    output.finish(
        {
            "a": str(a),
            "b": str(b),
            "figures": {name: {"a": x, "b": y} for name, (x, y) in figures.items()},
            "latency": None if report is None else asdict(report),
            "gates": {text: text not in failed for text in gates},
        }
    )
    for text in gates:
        output.line(
            f"gate {text}: {measured(parse_gate(text), figures)} {'FAILED' if text in failed else 'ok'}"
        )
    if failed:
        told = "; ".join(f"{text}: measured {measured(parse_gate(text), figures)}" for text in failed)
        raise GateError("E901", f"gate {told}")


Gate = tuple[str, str, float, bool]


def parse_gate(text: str) -> Gate:
    """(figure, relation, bound, relative to A).

    Raises:
        UsageError: E202.
    """
    match = GATE.fullmatch(text)
    if match is None:
        raise UsageError(
            "E202", f"--gate {text!r}: want FIGURE<=NUMBER or FIGURE<=NUMBERx", hint="latency_p50<=0.8x"
        )
    name, relation, bound, relative = match.groups()
    return name, relation, float(bound), bool(relative)


def require_known(gates: list[Gate], figures: Figures) -> None:
    for name, *_ in gates:
        if name not in figures:
            near = get_close_matches(name, figures, n=1)
            told = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(figures)}"
            hint = f"{told}; accuracy figures need --data" if name not in figures else told
            raise UsageError("E202", f"--gate names no figure: {name!r}", hint=hint)


def value_of(gate: Gate, figures: Figures) -> float:
    name, _, _, relative = gate
    before, after = figures[name]
    return (after / before if before else float("inf")) if relative else after


def holds(gate: Gate, figures: Figures) -> bool:
    return bool(HOLDS[gate[1]](value_of(gate, figures), gate[2]))


def measured(gate: Gate, figures: Figures) -> str:
    return f"{value_of(gate, figures):.4g}{'x' if gate[3] else ''}"


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

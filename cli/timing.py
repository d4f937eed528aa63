"""What `bench`, `compare` and `demo` share: models made ready to be timed, and how times are printed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxprune.cli.console import Output
from onnxprune.cli.data_options import DataSource
from onnxprune.cli.format import si
from onnxprune.cli.inspect_tables import tell_graph
from onnxprune.cost import Cost, CostModel
from onnxprune.data import DataOptions, open_data
from onnxprune.errors import DataError
from onnxprune.groups import find_groups
from onnxprune.measurement.lanes import Contender
from onnxprune.measurement.latency_report import LatencyReport, ModelLatency
from onnxprune.onnx_file import Graph, load_graph
from onnxprune.onnx_file.sizes import size

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Subject:
    """A model under measurement."""

    name: str
    path: Path
    graph: Graph
    cost: Cost
    macs_by_node: dict[str, int]

    @property
    def file_bytes(self) -> int:
        outside = sum(i.nbytes for i in self.graph.initializers.values() if i.is_external)
        return self.path.stat().st_size + outside


def load_subjects(paths: Sequence[Path], shapes: Shapes) -> list[Subject]:
    """Models with their cost; shapes are given to those that have an input of that name."""
    subjects = []
    for path in paths:
        graph = load_graph(path, shapes=shapes)
        cost = CostModel(find_groups(graph))
        subjects.append(Subject(path.name, path, graph, cost.count({}), cost.macs_by_node({})))
    return subjects


def tell_subjects(output: Output, subjects: Sequence[Subject]) -> None:
    for subject in subjects:
        tell_graph(output, subject.graph)


def make_contenders(subjects: Sequence[Subject], data: DataSource, batch: int | None) -> list[Contender]:
    """Each model with one batch of inputs: from the data, or invented ones.

    Args:
        subjects: The models.
        data: Samples; without any, invented ones.
        batch: Rows of one run; None: what the models fix, else 1.

    Raises:
        DataError: E503, a model does not take this batch size.
    """
    rows = batch or next(filter(None, (fixed_batch(s.graph) for s in subjects)), 1)
    return [Contender(s.name, s.path, feeds_for(s.graph, data, rows), s.macs_by_node) for s in subjects]


def fixed_batch(graph: Graph) -> int | None:
    """The only number of rows that a model takes, where all its inputs fix the same one."""
    first = {value.dims[0] if value.dims else None for value in graph.inputs if value.dims != ()}
    rows = first.pop() if len(first) == 1 else None
    return rows if isinstance(rows, int) else None


def feeds_for(graph: Graph, data: DataSource, batch: int) -> Mapping[str, Any]:
    fixed = fixed_batch(graph)
    if fixed not in (None, batch):
        raise DataError(
            "E503",
            f"{graph.path.name} takes a batch of {fixed} only, not {batch}",
            hint=f"use --batch {fixed}",
        )
    samples = data.open(graph.inputs)
    if samples is None:
        options = DataOptions(count=batch, shapes=graph.assumed)
        samples = open_data("random", inputs=graph.inputs, options=options)
    first = next(iter(samples.batches(batch)), None)
    if first is None:
        raise DataError("E504", f"{samples.source} has no samples")
    return first.inputs


def print_latency(output: Output, report: LatencyReport, subjects: Sequence[Subject]) -> None:
    """The table of a latency report, with the conclusion and what limits it."""
    first = report.models[0]
    share = "" if first.provider_share is None else f" · {100 * first.provider_share:.0f} % of MACs on it"
    output.line(
        f"provider {first.provider} (requested {report.requested}){share} · threads {report.threads} · "
        f"batch {report.batch} · interleaved, {report.runs} runs each"
    )
    headings = ["", "cpu p50 ms", "wall p50 ms", "p90", "p99", "blocked convs", "size", "MACs"]
    rows = [latency_row(model, s) for model, s in zip(report.models, subjects, strict=True)]
    output.table(headings, rows)
    for comparison in report.comparisons:
        ratio = comparison.wall_ratio if comparison.cpu_ratio is None else comparison.cpu_ratio
        output.line(
            f"{comparison.name}: {ratio:.2f}x the time of {first.name} by the {report.drawn_from} clock: "
            f"{comparison.verdict} (A/A control {report.control.low:.2f} to {report.control.high:.2f})"
        )
    for warning in report.warnings:
        output.warn(warning)


def latency_row(model: ModelLatency, subject: Subject) -> list[str]:
    convs = "-" if model.convs is None else f"{model.convs.blocked}/{model.convs.all}"
    return [
        model.name,
        "-" if model.cpu is None else f"{model.cpu.p50_ms:.3f}",
        f"{model.wall.p50_ms:.3f}",
        f"{model.wall.p90_ms:.3f}",
        f"{model.wall.p99_ms:.3f}",
        convs,
        size(subject.file_bytes),
        si(subject.cost.macs),
    ]

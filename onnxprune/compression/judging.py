"""The boxes that judge: which model is the result, what it scores on the test part, how fast it is."""

from dataclasses import asdict
from typing import Any

import numpy as np

from onnxprune.compression.boxes import with_weights
from onnxprune.compression.candidates import Bench, best_of, make_bench, present
from onnxprune.compression.work import Work
from onnxprune.cost import CostModel
from onnxprune.data import Samples
from onnxprune.errors import DataError
from onnxprune.groups import find_groups
from onnxprune.measurement import BenchOptions, Contender, Measurement, Protocol, SessionSettings, bench
from onnxprune.measurement.choice import choose_metric
from onnxprune.onnx_file import Graph, load_graph, save_model
from onnxprune.onnx_file.external import external_locations
from onnxprune.runs.folder import read_json, write_json

FINAL = "final.onnx"


def settings_of(work: Work) -> SessionSettings:
    return SessionSettings(provider=work.options.measure.provider, threads=work.options.measure.threads)


def bench_of(work: Work, samples: Samples) -> Bench:
    metric = choose_metric(work.options.measure.metric, work.graph, work.parts.search)
    return make_bench(work.graph, samples, metric, settings_of(work))


def baseline_box(work: Work) -> tuple[str, ...]:
    """baseline.json: the original on the search part, and the metric that everything is judged by."""
    judge = bench_of(work, work.parts.search)
    measured = judge.measure_original()
    tell(work, measured)
    if judge.metric.unused:
        work.listener.warn(judge.metric.unused)
    document = {
        "metric": judge.metric.name,
        "labelled": judge.metric.labelled,
        "lower_is_better": judge.metric.sign < 0,
        "search": figures(measured),
        "rows": {"fit": work.parts.fit.count, "search": measured.samples, "test": work.parts.test.count},
        "provider": measured.provider,
        "file_bytes": file_bytes(work.graph),
    }
    write_json(work.at("baseline.json"), document)
    return ("baseline.json",)


def choose_box(work: Work) -> tuple[str, ...]:
    """choice.json, final.onnx and verify.json: the candidate with the best figure on the search part."""
    judge = bench_of(work, work.parts.search)
    found = {name: judge.measure(path) for name, path in present(work.at("")).items()}
    scores = {name: measured.metrics[judge.metric.name] for name, measured in found.items()}
    best = best_of(scores, judge.metric)
    graph = load_graph(work.at(f"{best}.onnx"))
    external = external_locations(graph.model)
    save_model(graph.model, work.at(FINAL), source=graph.path, force=True, external=external)
    document = {
        "metric": judge.metric.name,
        "final": best,
        "search": {name: figures(measured) for name, measured in found.items()},
    }
    write_json(work.at("choice.json"), document)
    write_json(work.at("verify.json"), verifications(work))
    return ("choice.json", "verify.json", *with_weights(work, FINAL))


def verifications(work: Work) -> dict[str, Any]:
    """What was proven of each model before it was written."""
    sources = {"pruned": "prune.json", "reconstructed": "reconstruct.json", "student": "distill.json"}
    return {
        name: read_json(work.at(source))["verification"]
        for name, source in sources.items()
        if name in present(work.at(""))
    }


def measure_box(work: Work) -> tuple[str, ...]:
    """measurement.json: every model on the test part, which nothing read before."""
    judge = bench_of(work, work.parts.test)
    original = judge.measure_original()
    tell(work, original)
    models = {"original": model_document(work, work.graph, original)}
    for name, path in present(work.at("")).items():
        models[name] = model_document(work, load_graph(path, shapes=work.pruning.shapes), judge.measure(path))
    document = {
        "metric": judge.metric.name,
        "samples": original.samples,
        "provider": original.provider,
        "targets": read_json(work.at("prune.json"))["targets"],
        "models": models,
    }
    write_json(work.at("measurement.json"), document)
    return ("measurement.json",)


def model_document(work: Work, graph: Graph, measured: Measurement) -> dict[str, Any]:
    own = graph.path == work.graph.path
    cost = CostModel(work.groups).count({} if own else work.masks())
    return {"cost": vars(cost), "file_bytes": file_bytes(graph), "test": figures(measured)}


def latency_box(work: Work) -> tuple[str, ...]:
    """latency.json: the original and the result, interleaved with a second copy of the original.

    The candidates have the same shapes and so the same latency; one of them is timed.
    """
    protocol = Protocol(duration_s=work.options.measure.seconds)
    paths = {"original": work.graph.path, "final": work.at(FINAL)}
    rows = next((dims for dims in batch_extents(work.graph) if dims), 1)
    first = next(iter(work.parts.search.batches(rows)), None)
    if first is None:
        raise DataError("E504", f"{work.parts.search.source}: no samples to time")
    filled = first.rows(np.arange(rows) % len(first))  # what a row holds does not change the time
    graphs = {name: load_graph(path, shapes=work.pruning.shapes) for name, path in paths.items()}
    macs = {name: CostModel(find_groups(graph)).macs_by_node({}) for name, graph in graphs.items()}
    contenders = [Contender(name, path, filled.inputs, macs[name]) for name, path in paths.items()]
    report = bench(contenders, BenchOptions(settings_of(work), protocol))
    for warning in report.warnings:
        work.listener.warn(warning)
    write_json(work.at("latency.json"), asdict(report))
    return ("latency.json",)


def batch_extents(graph: Graph) -> list[int | None]:
    """The number of rows that each input fixes."""
    firsts = [value.dims[0] if value.dims else None for value in graph.inputs]
    return [first if isinstance(first, int) else None for first in firsts]


def file_bytes(graph: Graph) -> int:
    outside = sum(i.nbytes for i in graph.initializers.values() if i.is_external)
    return graph.path.stat().st_size + outside


def figures(measured: Measurement) -> dict[str, float]:
    return dict(measured.metrics)


def tell(work: Work, measured: Measurement) -> None:
    for warning in measured.warnings:
        work.listener.warn(warning)

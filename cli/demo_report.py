"""The last table of `onnxprune demo`, and what it means."""

from dataclasses import asdict
from typing import Any

from onnxprune.cli.console import Output
from onnxprune.cli.demo_steps import Accuracy, Tried
from onnxprune.cli.format import si, size
from onnxprune.measurement.latency_report import Comparison, LatencyReport, ModelLatency
from onnxprune.pipeline import Pruned


def print_report(
    output: Output, files: tuple[Pruned, Pruned], report: LatencyReport, accuracy: Accuracy
) -> None:
    """One table, the honest one."""
    aligned = files[0]
    before, after = aligned.before, aligned.after
    sizes = aligned.groups.graph.path.stat().st_size, aligned.path.stat().st_size
    first, second, third = report.models
    rows = [
        ["MACs", si(before.macs), si(after.macs), f"{after.macs / before.macs:.2f}x"],
        ["params", si(before.params), si(after.params), f"{after.params / before.params:.2f}x"],
        ["file", size(sizes[0]), size(sizes[1]), f"{sizes[1] / sizes[0]:.2f}x"],
        ["CPU latency", ms(first), ms(second), told(report.comparisons[0])],
        ["CPU latency with --align 1", ms(first), ms(third), told(report.comparisons[1])],
        ["CPU latency of the original again (A/A)", ms(first), "", band(report)],
        ["top-1, test images", share(accuracy.before), share(accuracy.after), points(accuracy)],
        ["same answer as the original", "", share(accuracy.agreement), ""],
    ]
    output.table(["", "original", "pruned", ""], rows)
    output.line(
        "Accuracy is not restored yet: nothing was trained after pruning, and recovery is a later part of\n"
        "onnxprune. The gain in cost and latency is final; the loss of accuracy is where recovery starts."
    )


def ms(model: ModelLatency) -> str:
    return f"{(model.cpu or model.wall).p50_ms:.3f} ms"


def told(comparison: Comparison) -> str:
    return f"{ratio(comparison):.2f}x, {comparison.verdict}"


def ratio(comparison: Comparison) -> float:
    return comparison.wall_ratio if comparison.cpu_ratio is None else comparison.cpu_ratio


def band(report: LatencyReport) -> str:
    return f"{report.control.low:.2f}x to {report.control.high:.2f}x"


def share(part: float) -> str:
    return f"{100 * part:.2f} %"


def points(accuracy: Accuracy) -> str:
    return f"{100 * (accuracy.after - accuracy.before):+.2f} points"


def document(
    chosen: Tried, files: tuple[Pruned, Pruned], report: LatencyReport, accuracy: Accuracy
) -> dict[str, Any]:
    aligned, unaligned = files
    return {
        "criterion": chosen.criterion,
        "target": chosen.target,
        "search_top1": chosen.top1,
        "before": asdict(aligned.before),
        "after": asdict(aligned.after),
        "after_unaligned": asdict(unaligned.after),
        "verification": aligned.report.to_json(),
        "latency_ratio": ratio(report.comparisons[0]),
        "latency_ratio_unaligned": ratio(report.comparisons[1]),
        "latency": asdict(report),
        "accuracy": asdict(accuracy),
    }

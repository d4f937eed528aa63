"""What `onnxprune demo` says at its end."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from onnxprune.cli.compress_report import figure, print_summary
from onnxprune.cli.console import Output
from onnxprune.measurement.latency_report import LatencyReport


def print_end(output: Output, summary: dict[str, Any]) -> None:
    """The table, and what the figures mean."""
    output.line("4. What did it cost? Once, on the 2,000 test images.", "bold")
    print_summary(output, summary)
    rows, metric = summary["rows"], summary["metric"]
    final = next(model for model in summary["models"] if model["final"])
    pruned = next(model for model in summary["models"] if model["name"] == "pruned")
    output.line(
        f"\nPruning alone leaves {figure(metric, pruned['test'][metric])}; what came back to "
        f"{figure(metric, final['test'][metric])} was learned from {rows['fit']:,} images without labels,\n"
        f"in minutes. With all training images and hours more comes back: docs/benchmarks.md."
    )


def document(summary: dict[str, Any], report: LatencyReport, kept: Path | None) -> dict[str, Any]:
    """The same for a program."""
    aligned, unaligned = report.comparisons
    return {
        **summary,
        "alignment": {
            "latency_ratio": aligned.wall_ratio if aligned.cpu_ratio is None else aligned.cpu_ratio,
            "latency_ratio_unaligned": (
                unaligned.wall_ratio if unaligned.cpu_ratio is None else unaligned.cpu_ratio
            ),
            "report": asdict(report),
        },
        "kept_in": kept,
    }

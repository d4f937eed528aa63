"""What `onnxprune compress` tells of a finished run."""

from typing import Any

from onnxprune.cli.console import Output
from onnxprune.cli.format import percent, si, size

FRACTIONS = ("top1", "top5", "agreement")
NAMES = {"student": "distilled"}


def print_summary(output: Output, summary: dict[str, Any]) -> None:
    """One table, the verdict on each target, and where the result lies."""
    models = summary["models"]
    whole = models[0]
    metrics = list(whole["test"])
    headings = ["", *(f"{name} (test)" for name in metrics), "MACs", "params", "file", "latency"]
    rows = [
        [
            NAMES.get(model["name"], model["name"]) + (" *" if model["final"] else ""),
            *(figure(name, model["test"][name]) for name in metrics),
            si(model["macs"]),
            si(model["params"]),
            size(model["file_bytes"]),
            f"{model['latency_ms']:.3f} ms",
        ]
        for model in models
    ]
    output.table(headings, rows)
    for target in summary["targets"]:
        state = "met" if target["met"] else "MISSED"
        output.line(f"target {target['target']}: {state}, {percent(target['share'], 1)} left")
    latency = summary["latency"]
    band = latency["control"]
    output.line(
        f"latency: {latency['ratio']:.2f}x the original's by the {latency['clock']} clock: "
        f"{latency['verdict']} (A/A control {band['low']:.2f} to {band['high']:.2f}), "
        f"on {latency['provider']}"
    )
    final = summary["final"]
    output.line(f"* best on the search part, and so the result: {final['from']}.onnx, also written as")
    output.line(f"  {final['path']}")


def figure(metric: str, value: float) -> str:
    return f"{100 * value:.2f} %" if metric in FRACTIONS else f"{value:.4g}"

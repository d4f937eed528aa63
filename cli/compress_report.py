"""What `onnxprune compress` tells of a finished run."""

from typing import Any

from onnxprune.cli.console import Output
from onnxprune.cli.format import percent, si
from onnxprune.onnx_file.sizes import size

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
    for stage in summary["stages"]:
        output.line(staged(stage, whole["macs"], summary["metric"]))
    if summary["search"] is not None:
        output.line(
            searched(summary["search"], "the last stage's channels" if summary["stages"] else "channels")
        )
    for target in summary["targets"]:
        state = "met" if target["met"] else "MISSED"
        told = target.get("measured") or f"{percent(target['share'], 1)} left"
        output.line(f"target {target['target']}: {state}, {told}")
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


def staged(stage: dict[str, Any], macs: int, metric: str) -> str:
    """What a stage came to, in one line."""
    taught = f", taught by {stage['teacher']}" if stage["teacher"] else ""
    return (
        f"stage {stage['stage']}: {percent(stage['cost']['macs'], macs)} of the MACs, "
        f"{NAMES.get(stage['final'], stage['final'])}{taught}: "
        f"{metric} {figure(metric, stage['search'])} on the search part"
    )


def searched(search: dict[str, Any], what: str) -> str:
    """Who chose the channels, in one line; beside the figures of the best those of what it was cut from."""
    metric, best, whole = search["metric"], search["best"], search["original"]
    figures = ", ".join(
        f"{figure(metric, best[split])} of {figure(metric, whole[split])} on the {split} split"
        for split in ("reward", "selection")
        if None not in (best[split], whole[split])
    )
    return f"{what} chosen by {search['agent']}, the best of {search['evaluations']} evaluations: {figures}"


def figure(metric: str, value: float) -> str:
    return f"{100 * value:.2f} %" if metric in FRACTIONS else f"{value:.4g}"

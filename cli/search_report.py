"""What `onnxprune search` tells while it runs, and of a finished run."""

from typing import Any

from onnxprune.cli.console import Output
from onnxprune.cli.format import percent, si
from onnxprune.onnx_file.sizes import size
from onnxprune.search import Progress

FRACTIONS = ("top1", "top5", "agreement")
QUANTITIES = {"macs": "MACs", "params": "params", "bytes": "bytes", "latency_ns": "latency"}


def progress_text(progress: Progress) -> str:
    """What stands behind the bar: times, the best so far, the last reward."""
    parts = [f"· {clock(progress.elapsed_s)}<{clock(progress.eta_s)}"]
    if progress.best is not None:
        shares = (f"{QUANTITIES[name]} {100 * share:.1f} %" for name, share in progress.shares.items())
        parts.append(f"best {progress.best}: {' · '.join(shares)}")
        metric = progress.metric
        parts.append(f"{metric} {difference(metric, progress.difference or 0.0)}")
    if progress.reward is not None:
        parts.append(f"reward {progress.reward:+.2f}")
    return " · ".join(parts)


def clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def difference(metric: str, value: float) -> str:
    return f"{100 * value:+.1f}" if metric in FRACTIONS else f"{value:+.3g}"


def figure(metric: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{100 * value:.2f} %" if metric in FRACTIONS else f"{value:.4g}"


def print_summary(output: Output, summary: dict[str, Any]) -> None:
    """One table, the verdict on each target, and what makes the pruned model."""
    metric, best, history = summary["metric"], summary["best"], summary["history"]
    rows = [
        [
            name,
            figure(metric, model["reward"]),
            figure(metric, model["selection"]),
            si(model["cost"]["macs"]),
            si(model["cost"]["params"]),
            size(model["cost"]["bytes"]),
        ]
        for name, model in (("original", summary["original"]), ("best", best))
    ]
    splits = (f"{metric} (search, {summary['splits']['reward']})", f"{metric} (selection)")
    output.table(["", *splits, "MACs", "params", "weights"], rows)
    for target in summary["targets"]:
        state = "met" if target["met"] else "MISSED"
        told = target.get("measured") or f"{percent(target['share'], 1)} left"
        output.line(f"target {target['target']}: {state}, {told}")
    came = best["note"] if best["episode"] is None else f"episode {best['episode']}, {best['note']}"
    output.line(
        f"best of {history['evaluations']} evaluations ({history['distinct']} different masks): {came}"
    )
    output.line("repaired lightly, not trained; the model is made by")
    output.line(f"  {summary['apply']}")

"""What `onnxprune prune` tells of its result."""

from pathlib import Path
from typing import Any

from onnxprune.cli.console import Output
from onnxprune.cli.format import percent, si
from onnxprune.cli.reports import print_report
from onnxprune.latency import Confirmed
from onnxprune.masks import masks_to_json
from onnxprune.onnx_file.sizes import size
from onnxprune.pipeline import Pruned, PruneOptions


def print_result(output: Output, model: Path, result: Pruned, confirmed: Confirmed | None) -> None:
    before, after = result.before, result.after
    sizes = model.stat().st_size, result.path.stat().st_size
    rows = [
        ["MACs", si(before.macs), si(after.macs), percent(after.macs, before.macs)],
        ["params", si(before.params), si(after.params), percent(after.params, before.params)],
        ["weights", size(before.bytes), size(after.bytes), percent(after.bytes, before.bytes)],
        ["file", size(sizes[0]), size(sizes[1]), percent(sizes[1], sizes[0])],
    ]
    if confirmed is not None:
        beside = confirmed.beside
        times = f"{beside.original_ms:.4g} ms", f"{beside.latency_ms:.4g} ms"
        rows.append(["latency", *times, percent(beside.ratio, 1)])
    output.table(["", "original", "pruned", "kept"], rows)
    if confirmed is not None:
        output.line(f"latency {'met' if confirmed.met else 'MISSED'}: {confirmed}")
        for warning in confirmed.beside.warnings:
            output.warn(warning)
    print_report(output, result.report)
    for check in result.report.skipped:
        output.warn(f"W801: not proven: {check.name}: {check.detail}")
    for warning in result.warnings:
        output.warn(warning)
    for group in result.groups.prunable:
        kept = int(result.masks[group.name].sum())
        output.detail(f" {group.name}  {kept} of {group.channels} channels kept at {group.anchor}")
    output.line(f"wrote {result.path}")
    output.note("Accuracy is what pruning left of it: `onnxprune measure` tells how much.")


def document(
    model: Path, options: PruneOptions, result: Pruned, confirmed: Confirmed | None
) -> dict[str, Any]:
    return {
        "model": model,
        "pruned": result.path,
        "target": str(options.target),
        "criterion": options.criterion,
        "allocation": options.allocation,
        "constraints": str(options.constraints),
        "before": vars(result.before),
        "after": vars(result.after),
        "latency": None if confirmed is None else confirmed.to_json(),
        "verification": result.report.to_json(),
        "masks": masks_to_json(result.masks, result.groups, align=str(options.constraints.align)),
    }

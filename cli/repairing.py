"""What `prune --reconstruct` and `reconstruct` share: samples, a bar, and what is told of the repair."""

from collections.abc import Sequence
from typing import Any

from onnx import ModelProto

from onnxprune.cli.console import Output
from onnxprune.cli.data_options import DataSource
from onnxprune.data import Samples, choose
from onnxprune.errors import DataError
from onnxprune.groups import Groups
from onnxprune.masks import Masks
from onnxprune.reconstruction import ReconstructOptions, Repair, reconstruct

ROWS = 1024  # of calibration, where --samples does not say
BATCH = 64


def require_data(data: DataSource, asks: str) -> None:
    """Raises: DataError: E504, no samples were given; before any work."""
    if data.spec is None:
        hint = "--data calibration.npz (no labels needed)"
        raise DataError("E504", f"{asks} needs calibration inputs", hint=hint)


def calibration(data: DataSource, groups: Groups, *, seed: int) -> Samples:
    """Samples of the fit part, as many as were asked for.

    Raises:
        DataError: E501 to E504.
    """
    require_data(data, "reconstruct")
    samples = data.open(groups.graph.inputs, part="fit")
    assert samples is not None
    return samples if data.count is not None else choose(samples, ROWS, seed=seed)


def repair(
    output: Output, groups: Groups, masks: Masks, *, data: DataSource, options: ReconstructOptions
) -> tuple[ModelProto, list[Repair]]:
    """The repaired model, and what was done at each node; a bar shows how far it is."""
    samples = calibration(data, groups, seed=options.seed)
    rows = "all" if samples.count is None else samples.count
    output.note(f"Repairing on {rows} samples, the {data.part or 'fit'} part of {data.spec}; labels unused.")
    if samples.synthetic:
        output.warn("W505: repaired on invented inputs; what it wins back on real ones is not known")
    repairs: list[Repair] = []
    with output.progress("repairing", None) as step:

        def told(one: Repair) -> None:
            repairs.append(one)
            step(one.number, one.total)

        feeds = (batch.inputs for batch in samples.batches(BATCH))
        model = reconstruct(groups, masks, feeds, options=options, told=told)
    tell(output, repairs)
    return model, repairs


def tell(output: Output, repairs: Sequence[Repair]) -> None:
    """The table of repairs; nodes that were left alone as warnings."""
    rows = [
        [one.node, one.op_type, f"{one.before:.4f}", f"{one.after:.4f}"]
        for one in repairs
        if one.before is not None and one.after is not None
    ]
    if rows:
        output.table(["repaired", "", "error before", "after"], rows)
    for one in repairs:
        if one.note.startswith(("left alone", "mean alone")):
            output.warn(f"W802: {one.node} ({one.op_type}): {one.note}")
        elif one.note:
            output.detail(f" {one.node}: {one.note}")


def repairs_document(method: str | None, repairs: Sequence[Repair] | None) -> dict[str, Any]:
    """The part of a JSON document; empty where nothing was repaired."""
    if repairs is None:
        return {}
    nodes = [
        {"node": r.node, "op_type": r.op_type, "before": r.before, "after": r.after, "note": r.note}
        for r in repairs
    ]
    return {"reconstruct": {"method": method, "nodes": nodes}}

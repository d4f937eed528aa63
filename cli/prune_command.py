"""`onnxprune prune`: a criterion or masks, a target, a verified file."""

from itertools import islice
from pathlib import Path
from typing import Any

import click

from onnxprune.allocation import ALLOCATIONS
from onnxprune.cli.console import Output, output_options, parse_shapes
from onnxprune.cli.data_options import DataSource, data_options
from onnxprune.cli.format import percent, si, size
from onnxprune.cli.reports import print_report
from onnxprune.cost import Cost
from onnxprune.criteria import CRITERIA
from onnxprune.data import Samples
from onnxprune.errors import DataError, UsageError
from onnxprune.groups import Groups
from onnxprune.masks import Masks, load_masks, masks_to_json
from onnxprune.masks import save_masks as write_masks_file
from onnxprune.onnx_file.saving import check_output
from onnxprune.pipeline import Pruned, PruneOptions, choose_masks, load_groups, write_pruned
from onnxprune.target import Constraints, parse_min_keep, parse_target, resolve_align

CALIBRATION_BATCH = 50
PROOF_SAMPLES = 8


@click.command("prune")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="The pruned model.")
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="macs=50%",
    help="macs, params, bytes; % or absolute; repeatable.",
)
@click.option("--criterion", default=PruneOptions.criterion, show_default=True, help=", ".join(CRITERIA))
@click.option("--allocation", default=PruneOptions.allocation, show_default=True, help=", ".join(ALLOCATIONS))
@click.option(
    "--masks", "masks_file", type=click.Path(path_type=Path), help="Masks to apply instead of a criterion."
)
@click.option("--save-masks", type=click.Path(path_type=Path), help="Write the masks, as .json or .npz.")
@click.option("--align", default="auto", show_default=True, help="auto, or a number of channels.")
@click.option(
    "--provider", default="cpu", show_default=True, help="Where the model will run, for --align auto."
)
@click.option(
    "--min-keep", default="10%", show_default=True, help="Least share (or number) of channels kept."
)
@click.option("--skip", multiple=True, metavar="REGEX", help="Leave what matches alone.")
@click.option("--only", multiple=True, metavar="REGEX", help="Prune only what matches.")
@click.option("--heads", is_flag=True, help="Whole attention heads instead of equal indices of all heads.")
@click.option("--shape", "shapes", multiple=True, metavar="NAME:1,3,224,224", help="Extents of a free input.")
@click.option("--seed", default=0, show_default=True)
@click.option("--force", is_flag=True, help="Replace an existing output.")
@click.option("--no-provenance", is_flag=True, help="Write nothing of onnxprune into the model's metadata.")
@data_options
@output_options("prune")
def command(
    output: Output,
    model: Path,
    out: Path,
    data: DataSource,
    masks_file: Path | None,
    save_masks: Path | None,
    force: bool,
    **values: Any,
) -> None:
    """Remove the least important channels of MODEL down to every target, verify, then write.

    \b
        onnxprune prune model.onnx -o small.onnx --target macs=50%
        onnxprune prune model.onnx -o small.onnx --target macs=50% --criterion wanda --data calibration.npz

    The target is met, not approached; channel counts are aligned to what kernels like.
    """
    check_output(out, force)
    options = prune_options(values)
    if masks_file is None and not options.target.bounds:
        raise UsageError("E202", "nothing to reach: no --target and no --masks", hint="--target macs=50%")
    groups = load_groups(model, options)
    for warning in groups.graph.warnings:
        output.warn(warning)
    samples = data.open(groups.graph.inputs, part="fit" if needs_data(options) else None)
    masks = read_or_choose(output, groups, options, masks_file=masks_file, samples=samples)
    result = write_pruned(
        groups, masks, out, samples=proof(samples), provenance=options.provenance, force=force
    )
    if save_masks is not None:
        write_masks_file(save_masks, masks, groups, align=str(options.constraints.align))
    print_result(output, model, result)
    output.finish(document(model, options, result))


def prune_options(values: dict[str, Any]) -> PruneOptions:
    return PruneOptions(
        target=parse_target(values["targets"]),
        criterion=values["criterion"],
        allocation=values["allocation"],
        constraints=Constraints(
            align=resolve_align(values["align"], provider=values["provider"]),
            min_keep=parse_min_keep(values["min_keep"]),
        ),
        heads=values["heads"],
        skip=values["skip"],
        only=values["only"],
        shapes=parse_shapes(values["shapes"]),
        seed=values["seed"],
        provenance=not values["no_provenance"],
    )


def needs_data(options: PruneOptions) -> bool:
    return options.criterion in CRITERIA and CRITERIA[options.criterion].needs_data


def read_or_choose(
    output: Output, groups: Groups, options: PruneOptions, *, masks_file: Path | None, samples: Samples | None
) -> Masks:
    if masks_file is not None:
        return load_masks(masks_file, groups)
    if not needs_data(options):
        return choose_masks(groups, options)
    if samples is None:
        raise DataError(
            "E504", f"--criterion {options.criterion} needs calibration inputs", hint="--data val.npz"
        )
    with output.progress("calibrating", samples.count) as step:
        return choose_masks(groups, options, feeds=counted_feeds(samples, step))


def counted_feeds(samples: Samples, step: Any) -> Any:
    done = 0
    for batch in samples.batches(CALIBRATION_BATCH):
        yield batch.inputs
        done += len(batch)
        step(done)


def proof(samples: Samples | None) -> Any:
    """A few single inputs for the proof."""
    return None if samples is None else [b.inputs for b in islice(samples.batches(1), PROOF_SAMPLES)]


def print_result(output: Output, model: Path, result: Pruned) -> None:
    before, after = result.before, result.after
    sizes = model.stat().st_size, result.path.stat().st_size
    rows = [
        ["MACs", si(before.macs), si(after.macs), percent(after.macs, before.macs)],
        ["params", si(before.params), si(after.params), percent(after.params, before.params)],
        ["weights", size(before.bytes), size(after.bytes), percent(after.bytes, before.bytes)],
        ["file", size(sizes[0]), size(sizes[1]), percent(sizes[1], sizes[0])],
    ]
    output.table(["", "original", "pruned", "kept"], rows)
    print_report(output, result.report)
    for warning in result.warnings:
        output.warn(warning)
    output.line(f"wrote {result.path}")


def document(model: Path, options: PruneOptions, result: Pruned) -> dict[str, Any]:
    def cost(of: Cost) -> dict[str, int]:
        return {"macs": of.macs, "params": of.params, "bytes": of.bytes}

    return {
        "model": str(model),
        "pruned": str(result.path),
        "target": str(options.target),
        "criterion": options.criterion,
        "allocation": options.allocation,
        "constraints": str(options.constraints),
        "before": cost(result.before),
        "after": cost(result.after),
        "verification": result.report.to_json(),
        "masks": masks_to_json(result.masks, result.groups, align=str(options.constraints.align)),
        "warnings": list(result.warnings),
    }

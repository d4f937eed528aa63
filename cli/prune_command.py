"""`onnxprune prune`: a criterion or masks, a target, a verified file."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from onnxprune.allocation import ALLOCATIONS
from onnxprune.calibration.feeds import few_feeds
from onnxprune.cli.console import Output
from onnxprune.cli.data_options import DataSource, data_options
from onnxprune.cli.help import Command
from onnxprune.cli.inspect_tables import tell_graph, tell_uncounted
from onnxprune.cli.options import FILE, Choice, choice_options, output_options
from onnxprune.cli.prune_report import document, print_result
from onnxprune.cli.repairing import repair, repairs_document, require_data
from onnxprune.cost import CostModel
from onnxprune.criteria import CRITERIA
from onnxprune.data import Batch, Samples
from onnxprune.errors import DataError, TargetError, UsageError
from onnxprune.groups import Groups
from onnxprune.latency import WatchOptions, cost_model_for
from onnxprune.masks import load_masks
from onnxprune.masks import save_masks as write_masks_file
from onnxprune.onnx_file import Graph
from onnxprune.onnx_file.saving import check_output
from onnxprune.pipeline import (
    Chosen,
    PruneOptions,
    add_provenance,
    choose_masks,
    load_groups,
    measured,
    require_confirmed,
    require_met,
    write_pruned,
    write_repaired,
)
from onnxprune.reconstruction import METHODS, Method, ReconstructOptions
from onnxprune.target import parse_target, require_reachable

MASK_FILES = (".json", ".npz")
CALIBRATION_BATCH = 50
PROOF_SAMPLES = 8


@click.command("prune", cls=Command)
@click.argument("model", type=FILE)
@output_options("prune")
@click.option("-o", "--out", required=True, type=FILE, help="The pruned model.")
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="QUANTITY=BOUND",
    help="macs=50%, params=1.2M, bytes=600KiB, latency=4ms; repeatable.",
)
@click.option(
    "--criterion",
    default=PruneOptions.criterion,
    show_default=True,
    metavar="NAME",
    help=f"How much a channel matters: {', '.join(CRITERIA)}.",
)
@click.option(
    "--allocation",
    default=PruneOptions.allocation,
    show_default=True,
    metavar="NAME",
    help=f"How much of each group goes: {', '.join(ALLOCATIONS)}.",
)
@click.option("--masks", "masks_file", type=FILE, help="Masks to apply instead of a criterion.")
@click.option(
    "--reconstruct",
    is_flag=False,
    flag_value=METHODS[0],
    type=click.Choice(METHODS),
    help="Then repair the weights on --data: least-squares (the default), moments, or bias alone.",
)
@click.option("--save-masks", type=FILE, help="Write the masks, as .json or .npz.")
@choice_options
@click.option(
    "--threads",
    default=WatchOptions.threads,
    show_default=True,
    type=click.IntRange(1),
    metavar="N",
    help="Of one operator, where latency is bounded; with one, processor time is the latency.",
)
@click.option("--require-provider", is_flag=True, help="Fail where --device does not run the model.")
@click.option(
    "--latency-cache",
    type=FILE,
    metavar="DIR",
    help="Where measured times are kept; else $ONNXPRUNE_CACHE, or the user's cache.",
)
@click.option("--seed", default=0, show_default=True, help="Of random choices.")
@click.option("--force", is_flag=True, help="Replace an existing output.")
@click.option("--no-provenance", is_flag=True, help="Write nothing of onnxprune into the model's metadata.")
@data_options
def command(
    output: Output,
    model: Path,
    out: Path,
    data: DataSource,
    choice: Choice,
    masks_file: Path | None,
    reconstruct: Method | None,
    save_masks: Path | None,
    force: bool,
    **values: Any,
) -> None:
    """Remove the least important channels of MODEL down to every target, verify, then write.

    \b
        onnxprune prune model.onnx -o small.onnx --target macs=50%
        onnxprune prune model.onnx -o small.onnx --target macs=50% --criterion wanda --data calibration.npz

    The target is met, not approached; channel counts are aligned to what kernels like. A bound on the latency
    is met by measurement: of the pieces of the model first, then of the whole pruned model beside MODEL.
    """
    check_places(model, out, force=force)
    check_beside(out, save_masks, output.json_to, force=force)
    options = prune_options(choice, **values)
    if masks_file is None and not options.target.bounds:
        raise UsageError("E202", "nothing to reach: no --target and no --masks", hint="--target macs=50%")
    if reconstruct is not None:
        require_data(data, "--reconstruct")
    groups = load_groups(model, options)
    tell_graph(output, groups.graph)
    tell_uncounted(output, groups)
    chosen, samples = read_or_choose(output, groups, options, masks_file=masks_file, data=data)
    masks = chosen.masks
    if reconstruct is None:
        repairs = None
        result = write_pruned(
            groups,
            masks,
            out,
            samples=proof(groups.graph, samples),
            provenance=options.provenance,
            force=force,
        )
    else:
        how = ReconstructOptions(reconstruct, seed=options.seed)
        model_made, repairs = repair(output, groups, masks, data=data, options=how)
        if options.provenance:
            add_provenance(model_made, groups.graph, masks)
        result = write_repaired(
            groups, masks, model_made, out, samples=proof(groups.graph, samples), force=force
        )
    if save_masks is not None:
        write_masks_file(save_masks, masks, groups, align=str(options.constraints.align))
    print_result(output, model, result, chosen.confirmed)
    output.finish(document(model, options, result, chosen.confirmed) | repairs_document(reconstruct, repairs))
    require_confirmed(chosen, options.target)


def check_places(model: Path, out: Path, *, force: bool) -> None:
    """Raises: UsageError: E203, the output cannot be written, or it is the model itself."""
    if model.exists() and out.exists() and out.samefile(model):
        raise UsageError("E203", f"{out} is the model itself, which is never changed", hint="another --out")
    check_output(out, force)


def check_beside(out: Path, masks: Path | None, json_to: str | None, *, force: bool) -> None:
    """Raises: UsageError: E203, masks cannot be written, or two outputs are one; E206, an unknown ending."""
    if masks is not None:
        check_output(masks, force)
        if masks.suffix not in MASK_FILES:
            raise UsageError("E206", f"--save-masks {masks}: must end in {' or '.join(MASK_FILES)}")
    places = [path.resolve() for path in (out, masks, json_to and Path(json_to)) if path]
    if len(set(places)) < len(places):
        raise UsageError("E203", f"two outputs are one file: {', '.join(path.name for path in places)}")


def prune_options(
    choice: Choice, *, targets: Sequence[str], no_provenance: bool, **values: Any
) -> PruneOptions:
    require_known("criterion", values["criterion"], CRITERIA)
    require_known("allocation", values["allocation"], ALLOCATIONS)
    latency = replace(
        choice.latency,
        threads=values.pop("threads"),
        require=values.pop("require_provider"),
        folder=values.pop("latency_cache"),
    )
    shared = {**vars(choice), "latency": latency}
    return PruneOptions(parse_target(targets), **values, **shared, provenance=not no_provenance)


def require_known(option: str, name: str, known: Collection[str]) -> None:
    """Raises: UsageError: E201, before any work."""
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(known)}"
        raise UsageError("E201", f"unknown {option} '{name}'", hint=hint)


def needs_data(options: PruneOptions) -> bool:
    return options.criterion in CRITERIA and CRITERIA[options.criterion].needs_data


def read_or_choose(
    output: Output, groups: Groups, options: PruneOptions, *, masks_file: Path | None, data: DataSource
) -> tuple[Chosen, Samples | None]:
    """The masks, and the samples where there are some: of the fit part where a criterion looks at them."""
    inputs = groups.graph.inputs
    if masks_file is not None:
        return given(masks_file, groups, options), data.open(inputs)
    cost_model = counting(output, groups, options)
    require_reachable(cost_model, target=options.target, constraints=options.constraints)
    if not needs_data(options):
        return choose_masks(groups, options, cost_model=cost_model, tell=output.note), data.open(inputs)
    samples = data.open(inputs, part="fit")
    if samples is None:
        raise DataError(
            "E504", f"--criterion {options.criterion} needs calibration inputs", hint="--data val.npz"
        )
    output.note(
        f"Calibrating on {samples.count or 'all'} samples, the {data.part or 'fit'} part of {data.spec}."
    )
    with output.progress("calibrating", samples.count) as step:
        feeds = counted(samples, step)
        return choose_masks(groups, options, feeds=feeds, cost_model=cost_model, tell=output.note), samples


def counting(output: Output, groups: Groups, options: PruneOptions) -> CostModel:
    """What counts the target; where it bounds the latency, measured with a bar."""
    if options.target.times:
        output.note("Measuring what the pieces of the model take at other channel counts.")
    with output.progress("measuring", None) as step:
        return cost_model_for(groups, options.target, options.constraints, options.latency, progress=step)


def given(path: Path, groups: Groups, options: PruneOptions) -> Chosen:
    """Masks of a file, measured where the latency is bounded.

    Raises:
        UsageError: E206, they cannot be read, or do not fit the groups.
        TargetError: E702, they cost more than the target.
    """
    masks = load_masks(path, groups)
    require_met(masks, groups, options.target)
    chosen = measured(masks, groups, options)
    if chosen.confirmed is not None and not chosen.confirmed.met:
        raise TargetError("E702", f"these masks take {chosen.confirmed}, over {options.target}")
    return chosen


def counted(samples: Samples, step: Callable[[int], None]) -> Iterator[Batch]:
    done = 0
    for batch in samples.batches(CALIBRATION_BATCH):
        yield batch
        done += len(batch)
        step(done)


def proof(graph: Graph, samples: Samples | None) -> Any:
    """A few inputs for the proof."""
    return None if samples is None else few_feeds(graph, samples, PROOF_SAMPLES)

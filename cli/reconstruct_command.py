"""`onnxprune reconstruct`: a pruned model whose weights make up for what was removed."""

from pathlib import Path

import click

from onnxprune.calibration.feeds import few_feeds
from onnxprune.cli.console import Output
from onnxprune.cli.data_options import DataSource, data_options
from onnxprune.cli.help import Command
from onnxprune.cli.inspect_tables import tell_graph
from onnxprune.cli.options import FILE, heads_option, output_options, shape_option
from onnxprune.cli.prune_command import check_places
from onnxprune.cli.repairing import calibration, repair, repairs_document, require_data
from onnxprune.cli.reports import print_report
from onnxprune.data.options import parse_shapes
from onnxprune.errors import UsageError
from onnxprune.groups import Groups, find_groups
from onnxprune.masks import Masks, load_masks
from onnxprune.onnx_file import Graph, load_graph
from onnxprune.pipeline import add_provenance, write_repaired
from onnxprune.reconstruction import METHODS, Method, ReconstructOptions
from onnxprune.verification.lens import see
from onnxprune.verification.recovery import CannotRecover, recover_masks

PROOF_SAMPLES = 8


@click.command("reconstruct", cls=Command)
@click.argument("model", type=FILE)
@click.argument("pruned", type=FILE, required=False)
@output_options("reconstruct")
@click.option("-o", "--out", required=True, type=FILE, help="The repaired model.")
@click.option("--masks", "masks_file", type=FILE, help="What goes; else read off the weights of PRUNED.")
@click.option(
    "--method",
    default=METHODS[0],
    show_default=True,
    type=click.Choice(METHODS),
    help="New weights by least squares; or the outputs' means and variances (moments), or means (bias).",
)
@click.option(
    "--ridge",
    default=ReconstructOptions.ridge,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    metavar="R",
    help="Damping towards the pruned weights; more for few samples.",
)
@heads_option
@shape_option
@click.option("--seed", default=0, show_default=True, help="Of the draw of samples and positions.")
@click.option("--force", is_flag=True, help="Replace an existing output.")
@click.option("--no-provenance", is_flag=True, help="Write nothing of onnxprune into the model's metadata.")
@data_options
def command(
    output: Output,
    model: Path,
    pruned: Path | None,
    out: Path,
    data: DataSource,
    masks_file: Path | None,
    method: Method,
    ridge: float,
    heads: bool,
    shapes: tuple[str, ...],
    seed: int,
    force: bool,
    no_provenance: bool,
) -> None:
    """Prune MODEL by masks and repair it on calibration inputs: no labels, no training.

    \b
        onnxprune reconstruct model.onnx --masks masks.json --data calibration.npz -o repaired.onnx
        onnxprune reconstruct model.onnx pruned.onnx --data calibration.npz -o repaired.onnx

    What is written costs what the pruned model costs; only weights differ.
    """
    check_places(model, out, force=force)
    require_data(data, "reconstruct")
    if masks_file is None and pruned is None:
        raise UsageError(
            "E202", "nothing says what goes: no --masks and no pruned model", hint="--masks masks.json"
        )
    graph = load_graph(model, shapes=parse_shapes(shapes))
    tell_graph(output, graph)
    groups, masks = origin(graph, pruned, masks_file, heads=heads)
    options = ReconstructOptions(method, ridge=ridge, seed=seed)
    made, repairs = repair(output, groups, masks, data=data, options=options)
    if not no_provenance:
        add_provenance(made, graph, masks)
    samples = few_feeds(graph, calibration(data, groups, seed=seed), PROOF_SAMPLES)
    result = write_repaired(groups, masks, made, out, samples=samples, force=force)
    print_report(output, result.report)
    output.line(f"wrote {result.path}")
    output.finish(
        {"model": model, "repaired": result.path, "verification": result.report.to_json()}
        | repairs_document(method, repairs)
    )


def origin(
    graph: Graph, pruned: Path | None, masks_file: Path | None, *, heads: bool
) -> tuple[Groups, Masks]:
    """The groups of the original, and masks: from their file, or recovered from the pruned model.

    Raises:
        UsageError: E206, masks of another model, or none can be recovered.
    """
    if masks_file is not None:
        groups = find_groups(graph, heads=heads)
        return groups, load_masks(masks_file, groups)
    assert pruned is not None
    reason = ""
    for whole in dict.fromkeys((heads, True)):
        groups = find_groups(graph, heads=whole)
        try:
            return groups, recover_masks(groups, see(pruned, graph))
        except CannotRecover as error:
            reason = reason or str(error)
    hint = "give --masks, as `onnxprune prune --save-masks` writes them"
    raise UsageError(
        "E206", f"{pruned.name} is not {graph.path.name} without some channels", cause=reason, hint=hint
    )

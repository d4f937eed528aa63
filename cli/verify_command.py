"""`onnxprune verify`: proof, not opinion, for any pair of files."""

from pathlib import Path

import click

from onnxprune.calibration.feeds import few_feeds
from onnxprune.cli.console import Output
from onnxprune.cli.data_options import DataSource, data_options
from onnxprune.cli.help import Command
from onnxprune.cli.inspect_tables import tell_graph
from onnxprune.cli.options import FILE, heads_option, output_options, shape_option
from onnxprune.cli.reports import print_report
from onnxprune.cost import CostModel
from onnxprune.data.options import parse_shapes
from onnxprune.errors import VerificationError
from onnxprune.groups import find_groups
from onnxprune.masks import load_masks
from onnxprune.onnx_file import load_graph
from onnxprune.pruning import prune
from onnxprune.verification import VerifyOptions, verify


@click.command("verify", cls=Command)
@click.argument("original", type=FILE)
@click.argument("pruned", type=FILE)
@output_options("verify")
@click.option("--masks", "masks_file", type=FILE, help="What was removed; else read off the weights.")
@click.option(
    "--rtol",
    type=click.FloatRange(0),
    metavar="R",
    help="Largest difference relative to the largest output; by its type, 1e-4 for float32.",
)
@click.option(
    "--atol",
    default=VerifyOptions.atol,
    show_default=True,
    type=click.FloatRange(0),
    metavar="A",
    help="Difference allowed in any case.",
)
@click.option(
    "--retrained", is_flag=True, help="Weights were repaired or trained after pruning: compare no values."
)
@heads_option
@shape_option
@click.option("--seed", default=0, show_default=True, help="Of the random inputs.")
@data_options
def command(
    output: Output,
    original: Path,
    pruned: Path,
    data: DataSource,
    masks_file: Path | None,
    rtol: float | None,
    atol: float,
    retrained: bool,
    heads: bool,
    shapes: tuple[str, ...],
    seed: int,
) -> None:
    """Prove that PRUNED is ORIGINAL without some channels and nothing else.

    Every node's channels fit; it runs with all optimisations and with none; it equals the original whose
    consumers ignore the removed channels; inputs, outputs, names, opset and metadata are as they were.
    """
    graph = load_graph(original, shapes=parse_shapes(shapes))
    tell_graph(output, graph)
    groups = find_groups(graph, heads=heads)
    masks = None if masks_file is None else load_masks(masks_file, groups)
    samples = data.open(graph.inputs)
    options = VerifyOptions(
        rtol=rtol,
        atol=atol,
        inputs=data.count or VerifyOptions.inputs,
        seed=seed,
        prune=prune,
        retrained=retrained,
        cost=None if masks is None else CostModel(groups).count(masks),
    )
    feeds = None if samples is None else few_feeds(graph, samples, options.inputs)
    report = verify(graph, pruned, masks=masks, groups=groups, samples=feeds, options=options)
    print_report(output, report)
    output.finish({"original": str(original), "pruned": str(pruned), **report.to_json()})
    if not report.ok:
        names = ", ".join(check.name for check in report.failed)
        raise VerificationError("E801", f"{pruned.name} is not what was promised: {names}")

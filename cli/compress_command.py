"""`onnxprune compress`: the whole path in a folder that can stop and go on."""

import shlex
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

import click

from onnxprune.cli.compress_options import HELP_SECTIONS, compress_options
from onnxprune.cli.compress_report import print_summary
from onnxprune.cli.console import Output
from onnxprune.cli.options import FILE, output_options
from onnxprune.cli.resumable import ResumableCommand, begin, exit_code
from onnxprune.cli.search_bar import SearchBar
from onnxprune.cli.stop_request import StopRequest, stop_request
from onnxprune.compression import Listener, RunFolder, compress, resume, start, summary_of
from onnxprune.compression.config import make_options, read_config
from onnxprune.runs.config import Values

STATES = {"running": "...", "kept": "done before", "skipped": "left out"}


class CompressCommand(ResumableCommand):
    sections: ClassVar[Mapping[str, Collection[str]]] = HELP_SECTIONS


@click.command("compress", cls=CompressCommand)
@click.argument("model", required=False, type=FILE)
@output_options("compress")
@click.option("-o", "--out", type=FILE, help="Folder of the run; final.onnx in it is the result.")
@click.option("--resume", "resumed", type=FILE, metavar="RUN", help="Go on where a run stopped.")
@click.option("--config", type=FILE, metavar="FILE", help="Options from a TOML file; given ones go before.")
@click.option("--force", is_flag=True, help="Start anew where a run lies.")
@compress_options
@click.pass_context
def command(
    context: click.Context,
    output: Output,
    model: Path | None,
    out: Path | None,
    resumed: Path | None,
    config: Path | None,
    force: bool,
    given: Values,
) -> int:
    """Search, prune, reconstruct, distill, measure and report MODEL, in a folder that can stop and go on.

    \b
        onnxprune compress model.onnx -o runs/a --target macs=50% --data train.npz --test test.npz
        onnxprune compress --resume runs/a

    Samples need no labels. Weights and channels come from one part of them, every choice from another, the
    figures at the end from a third. The best of the pruned, the reconstructed and the distilled model is
    RUN/final.onnx.

    An agent searches for the channels that are missed least. --criterion is what it sets out from. An
    --allocation without an --agent means no search, as --agent none does: criterion and allocation decide.
    """
    values = (read_config(config) if config else {}) | given | ({"model": str(model)} if model else {})

    def started(folder: Path) -> RunFolder:
        return start(make_options(values), folder, context.meta["argv"], force=force)

    with stop_request() as request, ExitStack() as stack:
        run = begin((out, resumed), started, resume, values)
        try:
            compress(run, listener_of(output, request, SearchBar(output, stack)))
        except (KeyboardInterrupt, SystemExit) as end:
            stack.close()
            output.note(f"saved; continue with: onnxprune compress --resume {shlex.quote(str(run.path))}")
            output.finish({"run": run.path, "status": run.record["status"]})
            return request.exit_code if request.asked else exit_code(end)
    summary = summary_of(run)
    print_summary(output, summary)
    output.finish(summary)
    return 0


def listener_of(output: Output, request: StopRequest, bar: SearchBar) -> Listener:
    def box(name: str, state: str) -> None:
        bar.close()
        if state != "done":
            output.note(f"[{name}] {STATES[state]}")

    def saving(heard: bool) -> None:
        request.listening = heard

    return Listener(output.note, output.warn, box, bar.step, lambda: request.asked, saving)

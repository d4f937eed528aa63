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
from onnxprune.cli.help import Command
from onnxprune.cli.options import FILE, output_options
from onnxprune.cli.search_bar import SearchBar
from onnxprune.cli.stop_request import StopRequest, stop_request
from onnxprune.compression import Listener, RunFolder, compress, resume, start, summary_of
from onnxprune.compression.config import make_options, read_config
from onnxprune.errors import UsageError
from onnxprune.runs.config import Values

INTERRUPTED = 130
STATES = {"running": "...", "kept": "done before", "skipped": "left out"}


class CompressCommand(Command):
    """Keeps the words of the command line for the record."""

    sections: ClassVar[Mapping[str, Collection[str]]] = HELP_SECTIONS

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and remember the words."""
        ctx.meta["argv"] = list(args)
        return super().parse_args(ctx, args)


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
    with stop_request() as request, ExitStack() as stack:
        run = begin(context.meta["argv"], values, (out, resumed), force=force)
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


def exit_code(end: BaseException) -> int:
    return end.code if isinstance(end, SystemExit) and isinstance(end.code, int) else INTERRUPTED


def begin(
    argv: list[str], values: Values, places: tuple[Path | None, Path | None], *, force: bool
) -> RunFolder:
    """A new run, or one to go on with.

    Raises:
        UsageError: E201, neither or both; and what `start` and `resume` refuse.
    """
    out, resumed = places
    if resumed is not None:
        if out is not None and out.absolute() != resumed.absolute():
            raise UsageError("E201", "--resume goes on in its own folder; -o names another one")
        return resume(resumed, values)
    if out is None:
        raise UsageError("E201", "missing option '-o' / '--out'", hint="-o runs/NAME, a folder")
    return start(make_options(values), out, argv, force=force)


def listener_of(output: Output, request: StopRequest, bar: SearchBar) -> Listener:
    def box(name: str, state: str) -> None:
        bar.close()
        if state != "done":
            output.note(f"[{name}] {STATES[state]}")

    def saving(heard: bool) -> None:
        request.listening = heard

    return Listener(output.note, output.warn, box, bar.step, lambda: request.asked, saving)

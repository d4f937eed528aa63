"""`onnxprune compress`: the whole path in a folder that can stop and go on."""

from collections.abc import Collection, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

import click

from onnxprune.cli.compress_options import ALL, HELP_SECTIONS, compress_options
from onnxprune.cli.compress_report import print_summary
from onnxprune.cli.console import Output
from onnxprune.cli.options import output_options
from onnxprune.cli.resumable import Asked, ResumableCommand, run_options, tell_saved
from onnxprune.cli.search_bar import SearchBar
from onnxprune.cli.stop_request import StopRequest, stop_request
from onnxprune.compression import CompressOptions, Listener, RunFolder, compress, resume, start, summary_of
from onnxprune.compression.asking import NONE, chosen_otherwise
from onnxprune.compression.config import SCHEMA
from onnxprune.errors import TargetError, UsageError

STATES = {"running": "...", "kept": "done before", "skipped": "left out"}


class CompressCommand(ResumableCommand):
    sections: ClassVar[Mapping[str, Collection[str]]] = HELP_SECTIONS


@click.command("compress", cls=CompressCommand)
@output_options("compress")
@run_options(SCHEMA, compress_options, result="final.onnx")
@click.pass_context
def command(context: click.Context, output: Output, asked: Asked) -> int:
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

    def started(folder: Path) -> RunFolder:
        with output.progress("measuring", None) as step:
            options, argv = SCHEMA.make(asked.values), context.meta["argv"]
            require_used(options, asked.words)
            return start(options, folder, argv, force=asked.force, progress=step)

    with stop_request() as request, ExitStack() as stack:
        run = asked.begin(started, resume)
        try:
            compress(run, listener_of(output, request, SearchBar(output, stack)))
        except (KeyboardInterrupt, SystemExit) as end:
            stack.close()
            return tell_saved(output, run, request, end)
        except TargetError:
            stack.close()
            if run.record["status"] == "done":
                print_summary(output, summary_of(run))
            raise
    summary = summary_of(run)
    print_summary(output, summary)
    output.finish(summary)
    return 0


def require_used(options: CompressOptions, words: Collection[str]) -> None:
    """Whether all that the command line says of a search has one; a configuration's file may hold more.

    Args:
        options: Of the run.
        words: Keys that the command line gave.

    Raises:
        UsageError: E201, nothing is searched.
    """
    idle = [key for key in words if key.startswith("search.") and key != "search.agent"]
    why = chosen_otherwise(options) or ("--agent none was given" if options.search.agent == NONE else "")
    if idle and why:
        told = ALL.word_of(idle[0], SCHEMA.values(options)[idle[0]])
        raise UsageError("E201", f"{told} is for a search, and there is none: {why}", hint="leave it out")


def listener_of(output: Output, request: StopRequest, bar: SearchBar) -> Listener:
    def box(name: str, state: str) -> None:
        bar.close()
        if state != "done":
            output.note(f"[{name}] {STATES[state]}")

    return Listener(output.note, output.warn, box, bar.step, lambda: request.asked, request.listen)

"""`onnxprune search`: an agent chooses what goes, in a folder that can stop and go on."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import ClassVar

import click

from onnxprune.agents.table import AGENTS
from onnxprune.cli.console import Output
from onnxprune.cli.options import output_options
from onnxprune.cli.resumable import Asked, ResumableCommand, run_options, tell_saved
from onnxprune.cli.search_options import HELP_SECTIONS, search_options
from onnxprune.cli.search_report import print_summary, progress_text
from onnxprune.cli.stop_request import StopRequest, stop_request
from onnxprune.errors import TargetError
from onnxprune.runs.folder import RunFolder
from onnxprune.search import Listener, Progress, options_of, resume, search, start, summary_of
from onnxprune.search.options import SCHEMA


class SearchCommand(ResumableCommand):
    sections: ClassVar[Mapping[str, Collection[str]]] = HELP_SECTIONS


def list_agents(output: Output) -> int:
    for kind in AGENTS.values():
        output.line(f"{kind.name:18} {kind.help}{' (needs torch)' if kind.needs_torch else ''}")
    agents = [{"name": k.name, "help": k.help, "needs_torch": k.needs_torch} for k in AGENTS.values()]
    output.finish({"agents": agents})
    return 0


@click.command("search", cls=SearchCommand)
@output_options("search")
@click.option("--agents", is_flag=True, help="List the agents.")
@run_options(SCHEMA, search_options, result="masks.json")
@click.pass_context
def command(context: click.Context, output: Output, agents: bool, asked: Asked) -> int:
    """Let an agent search for the masks of MODEL that cost it the least accuracy at a target.

    \b
        onnxprune search model.onnx -o runs/a --target macs=50% --data train.npz
        onnxprune search --resume runs/a
        onnxprune prune model.onnx --masks runs/a/masks.json -o small.onnx --reconstruct --data train.npz

    Every candidate meets the target; it is pruned, repaired lightly and scored on half of the data's search
    part. The best few are compared on the other half. The test part is not read. Samples need no labels.
    """
    if agents:
        return list_agents(output)

    def started(folder: Path) -> RunFolder:
        with output.progress("measuring", None) as step:
            options, argv = SCHEMA.make(asked.values), context.meta["argv"]
            return start(options, folder, argv, force=asked.force, progress=step)

    with stop_request() as request:
        run = asked.begin(started, resume)
        try:
            carry_out(output, run, request)
        except (KeyboardInterrupt, SystemExit) as end:
            return tell_saved(output, run, request, end)
        except TargetError:
            print_summary(output, summary_of(run))
            raise
    summary = summary_of(run)
    print_summary(output, summary)
    output.finish(summary)
    return 0


def carry_out(output: Output, run: RunFolder, request: StopRequest) -> None:
    """Search, with a bar."""
    options = options_of(run)
    with output.progress("search", options.evaluations, worded=True) as step:
        search(run, listener_of(output, request, step))


def listener_of(output: Output, request: StopRequest, step: Callable[..., None]) -> Listener:
    def told(progress: Progress) -> None:
        step(progress.done, progress.total, text=progress_text(progress))

    return Listener(
        note=output.note,
        detail=output.detail,
        warn=output.warn,
        step=told,
        stop=lambda: request.asked,
        saving=request.listen,
    )

"""`onnxprune study`: agents on models for targets from seeds, in a folder that can stop and go on."""

from pathlib import Path

import click

from onnxprune.cli.console import Output
from onnxprune.cli.options import FILE, output_options
from onnxprune.cli.resumable import Asked, ResumableCommand, tell_saved
from onnxprune.cli.stop_request import StopRequest, stop_request
from onnxprune.cli.study_report import print_summary
from onnxprune.runs.folder import RunFolder
from onnxprune.study import SCHEMA, Listener, read_study, resume, start, study, summary_of


@click.command("study", cls=ResumableCommand)
@click.argument("file", metavar="STUDY.toml", required=False, type=FILE)
@output_options("study")
@click.option("-o", "--out", type=FILE, help="Folder of the study; report.md in it is the result.")
@click.option("--resume", "resumed", type=FILE, metavar="RUN", help="Go on where a study stopped.")
@click.option("--force", is_flag=True, help="Start anew where a study lies.")
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="Searches, and trainings, at once.",
)
@click.pass_context
def command(
    context: click.Context,
    output: Output,
    file: Path | None,
    out: Path | None,
    resumed: Path | None,
    force: bool,
    workers: int,
) -> int:
    """Compare agents on models for targets, each from several seeds and with equally many evaluations.

    \b
        onnxprune study study.toml -o runs/study --workers 4
        onnxprune study --resume runs/study --workers 4

    \b
        agents = ["gat-ppo", "random", "uniform"]      # study.toml
        models = ["resnet20.onnx"]
        targets = ["macs=50%"]
        data = "cifar10.npz"
        seeds = 3
        evaluations = 256
        [distill]                                 # the best of them are trained
        top = 3

    Agents are judged on samples that no candidate was chosen by. With a section [distill] the best of each
    model and target, and uniform-l1 beside them, are trained by the same schedule. The test part is read
    last. Paths in the file count from where it lies.
    """
    asked = Asked(out, resumed, force, read_study(file) if file else {})

    def started(folder: Path) -> RunFolder:
        with output.progress("measuring", None) as step:
            options, argv = SCHEMA.make(asked.values), context.meta["argv"]
            return start(options, folder, argv, force=asked.force, progress=step)

    with stop_request() as request:
        run = asked.begin(started, resume)
        try:
            carry_out(output, run, request, workers)
        except (KeyboardInterrupt, SystemExit) as end:
            return tell_saved(output, run, request, end)
    summary = summary_of(run)
    print_summary(output, summary)
    output.finish(summary)
    return max((box["exit_code"] for box in summary["failed"].values()), default=0)


def carry_out(output: Output, run: RunFolder, request: StopRequest, workers: int) -> None:
    """All of it, with a bar."""
    with output.progress("study", None, worded=True) as step:

        def told(done: int, total: int) -> None:
            step(done, total, text=f"{done} of {total}")

        listener = Listener(output.note, output.warn, told, lambda: request.asked, request.listen)
        study(run, listener, workers=workers)

"""`onnxprune study`: agents on models for targets from seeds, in a folder that can stop and go on."""

import shlex
from pathlib import Path

import click

from onnxprune.cli.console import Output
from onnxprune.cli.options import FILE, output_options
from onnxprune.cli.resumable import ResumableCommand, begin, exit_code
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
        [distill]                                      # the best of them are trained
        top = 3

    Agents are judged on samples that no candidate was chosen by. With a section [distill] the best of each
    model and target, and uniform-l1 beside them, are trained by the same schedule. The test part is read
    last. Paths in the file count from where it lies.
    """
    values = read_study(file) if file else {}

    def started(folder: Path) -> RunFolder:
        return start(SCHEMA.make(values), folder, context.meta["argv"], force=force)

    with stop_request() as request:
        run = begin((out, resumed), started, resume, values)
        try:
            carry_out(output, run, request, workers)
        except (KeyboardInterrupt, SystemExit) as end:
            output.note(f"saved; continue with: onnxprune study --resume {shlex.quote(str(run.path))}")
            output.finish({"run": run.path, "status": run.record["status"]})
            return request.exit_code if request.asked else exit_code(end)
    summary = summary_of(run)
    print_summary(output, summary)
    output.finish(summary)
    return max((box["exit_code"] for box in summary["failed"].values()), default=0)


def carry_out(output: Output, run: RunFolder, request: StopRequest, workers: int) -> None:
    """All of it, with a bar."""

    def saving(heard: bool) -> None:
        request.listening = heard

    with output.progress("study", None, worded=True) as step:

        def told(done: int, total: int) -> None:
            step(done, total, text=f"{done} of {total}")

        listener = Listener(output.note, output.warn, told, lambda: request.asked, saving)
        study(run, listener, workers=workers)

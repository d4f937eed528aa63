"""`onnxprune distill`: the student learns from the original, with or without labels."""

from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxprune.cli import run_folder
from onnxprune.cli.console import Output
from onnxprune.cli.data_options import DataSource, data_options
from onnxprune.cli.distill_data import training_data
from onnxprune.cli.distill_options import distill_options, learning_options
from onnxprune.cli.distill_places import (
    TENSORBOARD,
    begin,
    check_places,
    give_up,
    place,
    places,
    require_place,
)
from onnxprune.cli.distill_report import EpochTeller, document, print_distilled
from onnxprune.cli.distill_test import Tested, measured_on, tested_by
from onnxprune.cli.help import Command
from onnxprune.cli.options import FILE, output_options
from onnxprune.cli.resumable import note_saved, require_unforced
from onnxprune.cli.stop_request import stop_request
from onnxprune.measurement.accuracy import Measurement
from onnxprune.onnx_file import Graph, load_graph
from onnxprune.runs.opening import mend
from onnxprune.runs.replaced import let_go

if TYPE_CHECKING:
    from onnxprune.distillation import Distilled, DistillOptions, EpochRow, TrainingData

    Board = Callable[["EpochRow"], None]


class ResumableCommand(Command):
    """`--resume RUN` alone stands for the words that the run was started with."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the words of the run in the place of `--resume RUN`."""
        words = list(args)
        for at, word in enumerate(words):
            if (word == "--resume" and at + 1 < len(words)) or word.startswith("--resume="):
                folder = words[at + 1] if word == "--resume" else word.partition("=")[2]
                rest = words[:at] + words[at + 2 - ("=" in word) :]
                require_unforced(Path(folder), force="--force" in rest)
                mend(Path(folder))
                started = run_folder.read(Path(folder))["argv"]
                ctx.meta["resumed"] = Path(folder)
                return super().parse_args(ctx, [*started, *rest])
        ctx.meta["argv"] = words
        return super().parse_args(ctx, args)


@click.command("distill", cls=ResumableCommand)
@click.argument("original", type=FILE)
@click.argument("student", type=FILE)
@output_options("distill")
@click.option(
    "-o",
    "--out",
    required=True,
    type=FILE,
    help="Folder of the run, which gets student.onnx; or a file.onnx, its run beside it in file.distill.",
)
@click.option("--resume", metavar="RUN", help="Continue the run in this folder; needs no other option.")
@click.option("--test", metavar="SPEC", help="Data read once, at the end, for the accuracy of the file.")
@click.option("--teacher", type=FILE, help="Another model to learn from, with the same inputs and outputs.")
@learning_options
@click.option("--tensorboard", is_flag=True, help="Write RUN/tb for TensorBoard.")
@click.option("--force", is_flag=True, help="Start anew where a run lies, and replace an existing output.")
@data_options
@click.pass_context
def command(
    context: click.Context,
    output: Output,
    original: Path,
    student: Path,
    out: Path,
    data: DataSource,
    learning: dict[str, Any],
    force: bool,
    test: str | None,
    teacher: Path | None,
    tensorboard: bool,
    resume: str | None,
) -> int:
    """Train STUDENT, a pruned form of ORIGINAL, to give what ORIGINAL gives.

    \b
        onnxprune distill model.onnx small.onnx --data train.npz --test test.npz -o runs/small
        onnxprune distill --resume runs/small
        onnxprune distill model.onnx model.onnx --sparsity group-lasso --data train.npz -o runs/sparse

    Labels in the data count too; without labels the teacher alone does. The weights written are the best on
    the search part of the data; ONNX Runtime must agree with torch before there is a file. Several
    processes: torchrun --nproc-per-node 2 -m onnxprune distill ...
    """
    from onnxprune.distillation.parallel import crew_of_environment

    run, file = places(out)
    if context.meta.get("resumed") is not None:
        require_place(context.meta["resumed"], run)
    options = distill_options(learning)
    sources = (original, student, *(() if teacher is None else (teacher,)))
    with crew_of_environment(options.device) as crew:
        if not crew.leads:
            output = Output("distill", None, -1)
        argv = context.meta.get("argv") if crew.leads else None
        if argv is not None:
            check_places(run, file, force=force, models=sources)
        models = [load_graph(path) for path in sources]
        parts = training_data(data, models[1], test)
        tested = None if test is None else tested_by(data, test, original, models[1])
        board = board_of(run) if tensorboard and crew.leads else None

        with ExitStack() as held:

            def ready() -> None:
                if crew.leads:
                    held.enter_context(begin(run, argv, models=(original, student)))
                crew.wait()

            tell = Telling(output, ready, board)
            result = learn(tell, (models[2 if teacher else 0], models[1]), parts, options, run=run)
            if isinstance(result, int):
                return result
            if crew.leads:
                finish(output, result, run=run, file=file, tested=tested, models=(original, student))
    return 0


def board_of(run: Path) -> "Board":
    from onnxprune.distillation.logs import tensorboard

    return tensorboard(run / TENSORBOARD)


@dataclass(frozen=True)
class Telling:
    """To whom a training tells how it goes.

    Attributes:
        output: The user.
        ready: Called before the first file is written.
        board: TensorBoard's; None without it.
    """

    output: Output
    ready: Callable[[], None]
    board: "Board | None"


def learn(
    tell: Telling,
    pair: tuple[Graph, Graph],
    data: "TrainingData",
    options: "DistillOptions",
    *,
    run: Path,
) -> "Distilled | int":
    """The result, or the exit code of an interruption that was saved."""
    from onnxprune.distillation import Hooks, Stopped, distill

    output, began = tell.output, False

    def ready() -> None:
        nonlocal began
        tell.ready()
        began = True

    quiet = output.verbosity < 0
    progress = nullcontext(None) if quiet else output.progress("distilling", options.epochs)
    with stop_request() as request, progress as step:
        teller = EpochTeller(output, options.epochs, step, tell.board, request)
        hooks = Hooks(output.note, teller.step, teller.epoch, stop=lambda: request.asked, ready=ready)
        try:
            return distill(*pair, data, options, run=run, hooks=hooks)
        except Stopped:
            if leads():
                run_folder.update(run, status="interrupted")
            note_saved(output, "distill", run)
            return request.exit_code
        except BaseException as error:
            if began and leads():
                give_up(run, error)
            raise


def leads() -> bool:
    from onnxprune.distillation.parallel import current_crew

    return current_crew().leads


def finish(
    output: Output,
    result: "Distilled",
    *,
    run: Path,
    file: Path | None,
    tested: Tested | None,
    models: tuple[Path, Path],
) -> None:
    """Put the file in its place, measure the test part once, and tell."""
    let_go(run)
    if file is not None:
        place(result.path, file)
    written = file or result.path
    measured: dict[str, Measurement] = {}
    if tested is not None:
        output.note(f"the student is written to {written}; measuring the test part")
        for name, path in (("original", models[0]), ("student before", models[1]), ("student", result.path)):
            measured[name] = measured_on(path, tested.samples, models[0], tested.figures)
    print_distilled(output, result, measured, written)
    told = document(models, result, measured, written)
    run_folder.update(run, status="done", result=told)
    output.finish(told)

"""`onnxprune distill`: the student learns from the original, with or without labels."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxprune.cli import run_folder
from onnxprune.cli.console import Output
from onnxprune.cli.data_options import DataSource, data_options
from onnxprune.cli.distill_data import test_data, training_data
from onnxprune.cli.distill_options import distill_options, learning_options
from onnxprune.cli.distill_report import EpochTeller, document, print_distilled
from onnxprune.cli.help import Command
from onnxprune.cli.options import FILE, output_options
from onnxprune.cli.stop_request import stop_request
from onnxprune.data import Samples
from onnxprune.errors import OnnxPruneError, UsageError
from onnxprune.masks import model_hash
from onnxprune.measurement.accuracy import Measurement, measure
from onnxprune.measurement.session import SessionSettings, make_session
from onnxprune.onnx_file import Graph, load_graph
from onnxprune.onnx_file.saving import check_output

if TYPE_CHECKING:
    from onnxprune.distillation import Distilled, DistillOptions, TrainingData


class ResumableCommand(Command):
    """`--resume RUN` alone stands for the words that the run was started with."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the words of the run in the place of `--resume RUN`."""
        words = list(args)
        for at, word in enumerate(words):
            if (word == "--resume" and at + 1 < len(words)) or word.startswith("--resume="):
                folder = words[at + 1] if word == "--resume" else word.partition("=")[2]
                rest = words[:at] + words[at + 2 - ("=" in word) :]
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
    resumed = context.meta.get("resumed")
    if resumed is not None and resumed.resolve() != run.resolve():
        raise UsageError("E208", f"{resumed} was moved; its run was {run}", hint=f"move it back to {run}")
    options = distill_options(learning)
    with crew_of_environment(options.device) as crew:
        if not crew.leads:
            output = Output("distill", None, -1)
        models = [load_graph(path) for path in (original, student, teacher or original)]
        pair = (models[2], models[1])
        parts = training_data(data, models[1], test)
        test_samples = None if test is None else test_data(data, test, models[1])
        if resumed is None and crew.leads:
            begin(run, file, context.meta["argv"], force=force, models=(original, student))
        crew.wait()
        board = board_of(run) if tensorboard and crew.leads else None
        result = learn(output, pair, parts, options, run=run, board=board)
        if isinstance(result, int):
            return result
        if crew.leads:
            finish(output, result, run=run, file=file, test=test_samples, models=(original, student))
    return 0


def places(out: Path) -> tuple[Path, Path | None]:
    """The folder of the run, and the file asked for where one was."""
    return (out.with_suffix(".distill"), out) if out.suffix == ".onnx" else (out, None)


def begin(
    run: Path, file: Path | None, argv: Sequence[str], *, force: bool, models: tuple[Path, Path]
) -> None:
    """Check the places, forget an earlier run where that is forced, and write run.json.

    Raises:
        UsageError: E203.
    """
    from onnxprune.distillation.checkpoint import NAME
    from onnxprune.distillation.session import STUDENT

    run_folder.check_new(run, (NAME, STUDENT), force=force)
    if file is not None:
        if any(file.exists() and file.samefile(model) for model in models):
            raise UsageError(
                "E203", f"{file} is one of the models, which are never changed", hint="another --out"
            )
        check_output(file, force)
    (run / NAME).unlink(missing_ok=True)
    hashes = {name: model_hash(path) for name, path in zip(("original", "student"), models, strict=True)}
    run_folder.start(run, "distill", argv, sha256=hashes)


def board_of(run: Path) -> Any:
    from onnxprune.distillation.logs import tensorboard

    return tensorboard(run / "tb")


def learn(
    output: Output,
    pair: tuple[Graph, Graph],
    data: "TrainingData",
    options: "DistillOptions",
    *,
    run: Path,
    board: Any,
) -> "Distilled | int":
    """The result, or the exit code of an interruption that was saved."""
    from onnxprune.distillation import Hooks, Stopped, distill
    from onnxprune.distillation.checkpoint import NAME

    quiet = output.verbosity < 0
    progress = nullcontext(None) if quiet else output.progress("distilling", options.epochs)
    with stop_request() as request, progress as step:
        teller = EpochTeller(output, options.epochs, step, board, request)
        hooks = Hooks(output.note, teller.step, teller.epoch, stop=lambda: request.asked)
        try:
            return distill(*pair, data, options, run=run, hooks=hooks)
        except Stopped:
            if leads():
                run_folder.update(run, status="interrupted")
            output.note(f"saved; continue with: onnxprune distill --resume {run}")
            return request.exit_code
        except OnnxPruneError as error:
            if leads() and (run / NAME).exists():
                run_folder.update(run, status="failed", error=str(error))
            elif leads():
                run_folder.forget(run)
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
    test: Samples | None,
    models: tuple[Path, Path],
) -> None:
    """Measure the test part once, put the file in its place, and tell."""
    measured: dict[str, Measurement] = {}
    if test is not None:
        for name, path in (("original", models[0]), ("student before", models[1]), ("student", result.path)):
            measured[name] = measured_on(path, test, models[0])
    if file is not None:
        place(result.path, file)
    print_distilled(output, result, measured, file or result.path)
    told = document(models, result, measured, file or result.path)
    run_folder.update(run, status="done", result=told)
    output.finish(told)


def measured_on(path: Path, test: Samples, original: Path) -> Measurement:
    settings = SessionSettings(provider="auto", threads=0)
    reference = None if test.labelled else make_session(original, settings)
    return measure(make_session(path, settings), test, reference=reference)


def place(written: Path, file: Path) -> None:
    """A copy of the student where it was asked for, its weights file too."""
    from onnxprune.onnx_file import external_locations, read_model, save_model

    model = read_model(written)
    save_model(model, file, source=written, force=True, external=external_locations(model))

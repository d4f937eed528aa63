"""Where a distillation writes: what may lie there, and what is left behind when it cannot go on."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from onnxprune.cli import run_folder
from onnxprune.errors import OnnxPruneError, UsageError
from onnxprune.masks import model_hash
from onnxprune.onnx_file.saving import check_output, data_path
from onnxprune.runs.begin import require_apart
from onnxprune.runs.opening import mend
from onnxprune.runs.replaced import ASIDE, kept_on_failure, let_go, put_back, set_aside

TENSORBOARD = "tb"


def places(out: Path) -> tuple[Path, Path | None]:
    """The folder of the run, and the file asked for where one was."""
    return (out.with_suffix(".distill"), out) if out.suffix == ".onnx" else (out, None)


def require_place(resumed: Path, run: Path) -> None:
    """Raises: UsageError: E208, the words of the run name another folder from here."""
    if resumed.resolve() == run.resolve():
        return
    started = run_folder.read(resumed).get("folder")
    if isinstance(started, str) and (Path(started) / run).resolve() == resumed.resolve():
        raise UsageError("E208", f"{resumed} was started in {started}", hint=f"resume it in {started}")
    raise UsageError("E208", f"{resumed} was moved; its run was {run}", hint=f"move it back to {run}")


def check_places(run: Path, file: Path | None, *, force: bool, models: Sequence[Path]) -> None:
    """Raises: UsageError: E203, something lies where the run or the file shall be."""
    from onnxprune.distillation.checkpoint import NAME
    from onnxprune.distillation.session import STUDENT

    mend(run)
    run_folder.check_new(run, (NAME, STUDENT, ASIDE), force=force)
    require_apart(map(str, models), run, (*ours(), ASIDE))
    if file is None:
        return
    if any(file.exists() and model.exists() and file.samefile(model) for model in models):
        raise UsageError(
            "E203", f"{file} is one of the models, which are never changed", hint="another --out"
        )
    check_output(file, force)


def ours() -> tuple[str, ...]:
    """Names of all that a distillation writes into its folder, but run.json."""
    from onnxprune.distillation.checkpoint import NAME
    from onnxprune.distillation.logs import METRICS
    from onnxprune.distillation.session import STUDENT

    return (NAME, METRICS, STUDENT, data_path(Path(STUDENT)).name, TENSORBOARD)


def begin(run: Path, argv: Sequence[str] | None, *, models: tuple[Path, Path]) -> ExitStack:
    """Keep other processes out of the run; where it is new, set an earlier one aside and write run.json.

    What was set aside is there until the new run is done, or until it is replaced itself; with no checkpoint
    yet it counts for nothing, and what it had replaced is set aside again.

    Args:
        run: Its folder.
        argv: The words it is started with; None where it goes on.
        models: The original and the student.

    Returns:
        What lets others in again when it is closed.

    Raises:
        UsageError: E208, another process works there.
        RuntimeProblem: E605, the disk is full.
    """
    from onnxprune.distillation.checkpoint import NAME
    from onnxprune.runs.folder import locked

    run.mkdir(exist_ok=True)
    stack = ExitStack()
    stack.enter_context(locked(run))
    if argv is None:
        return stack
    hashes = {name: model_hash(path) for name, path in zip(("original", "student"), models, strict=True)}
    with kept_on_failure(run):
        if (run / NAME).exists():
            let_go(run)
        set_aside(run, ours())
        run_folder.start(run, "distill", argv, sha256=hashes)
    return stack


def give_up(run: Path, error: BaseException) -> None:
    """Say in run.json what ended the run; where there is no checkpoint yet, what it replaced comes back.

    A run that is not the one asked for stays as it was.
    """
    from onnxprune.distillation.checkpoint import NAME

    if not (run / NAME).exists():
        run_folder.forget(run)
        put_back(run)
    elif isinstance(error, OnnxPruneError) and error.code != "E208":
        run_folder.update(run, status="failed", error=str(error))


def place(written: Path, file: Path) -> None:
    """A copy of the student where it was asked for, its weights file too."""
    from onnxprune.onnx_file import external_locations, read_model, save_model

    model = read_model(written)
    save_model(model, file, source=written, force=True, external=external_locations(model))

"""The box that trains: the only one that needs torch, and the only one that goes on within itself."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from onnxprune.compression.boxes import with_weights, write_changed
from onnxprune.compression.options import CompressOptions, DistillSettings
from onnxprune.compression.teaching import BEST, teacher_of
from onnxprune.compression.work import Work
from onnxprune.errors import RuntimeProblem, UsageError
from onnxprune.onnx_file import Graph, load_graph
from onnxprune.runs.folder import write_json

if TYPE_CHECKING:
    from onnxprune.distillation import Distilled, DistillOptions

FOLDER = "distill"
# Fields that `DistillOptions` has not, or in another form.
OWN = ("enabled", "required", "teacher", "augment")


def require_torch() -> None:
    """Raises: RuntimeProblem: E603, torch is not installed; before any work."""
    if importlib.util.find_spec("torch") is None:
        raise RuntimeProblem(
            "E603",
            "distillation needs torch, which is not installed",
            hint='pip install "onnxprune[torch]", or --no-distill to go without',
        )


def check_training(options: CompressOptions, graph: Graph, *, rows: int) -> None:
    """Look at what the training needs, before any work.

    Raises:
        UsageError: E201, a value out of its range or unknown.
        UnsupportedError: E406, training is required, and an operator of the model cannot be trained.
        RuntimeProblem: E601, CUDA was asked for and is not there.
    """
    from onnxprune.distillation.precision import choose_device

    learning_options(options.distill, seed=options.seed, rows=rows)
    try:
        choose_device(options.distill.device)
    except (UsageError, RuntimeProblem) as error:
        told, hint = (text.replace("--device", "--train-device") for text in (error.message, error.hint))
        raise type(error)(error.code, told, hint=hint) from error
    if options.distill.required:
        from onnxprune.converters import to_torch

        to_torch(graph)


def learning_options(settings: DistillSettings, *, seed: int, rows: int) -> "DistillOptions":
    """The options of the training; the batch is not larger than the fit part.

    Raises:
        UsageError: E201, a value out of its range or unknown.
    """
    from onnxprune.distillation import DistillOptions
    from onnxprune.distillation.options import check_options

    names = {field.name for field in fields(settings)} - set(OWN)
    values = {name: getattr(settings, name) for name in names}
    values["switch_teacher"] = settings.teacher == BEST
    values["batch"] = max(1, min(settings.batch, rows // max(1, settings.accumulate)))
    augment = settings.augment
    given = None if augment is None else augment.replace(" ", "").split(",")
    chosen = None if given is None else tuple(name for name in given if name != "none")
    options = DistillOptions(augment=chosen, seed=seed, **values)
    check_options(options)
    return options


def distill_box(work: Work) -> tuple[str, ...]:
    """student.onnx: the stage's best model so far, trained to give what the teacher gives.

    Raises:
        KeyboardInterrupt: A stop was asked for; the checkpoint is written.
    """
    from onnxprune.distillation import Hooks, Stopped, TrainingData, distill

    started_from = "reconstructed.onnx" if work.at("reconstructed.onnx").exists() else "pruned.onnx"
    student = load_graph(work.at(started_from), shapes=work.pruning.shapes)
    fit, search = work.parts.fit, work.parts.search
    options = learning_options(work.options.distill, seed=work.options.seed, rows=fit.count or 1 << 30)

    def told(row: Any) -> None:
        work.listener.note(epoch_line(row, options.epochs))

    hooks = Hooks(note=work.listener.note, epoch=told, stop=work.listener.stop)
    folder, teacher = work.at(FOLDER), teacher_of(work)
    with hearing(work):
        try:
            data = TrainingData(fit, search)
            result = distill(teacher.graph, student, data, options, run=folder, hooks=hooks)
        except Stopped:
            raise KeyboardInterrupt from None
    trained = load_graph(result.path)
    report = write_changed(work, trained.model, "student.onnx", source=trained, masks=work.masks())
    document = {
        "started_from": started_from,
        "teacher": teacher.name,
        **summary(result),
        "verification": report.to_json(),
    }
    write_json(work.at("distill.json"), document)
    return ("distill.json", *with_weights(work, "student.onnx"))


@contextmanager
def hearing(work: Work) -> Iterator[None]:
    """A stop is heard between steps, and saved, inside the block."""
    work.listener.saving(True)
    try:
        yield
    finally:
        work.listener.saving(False)


def epoch_line(row: Any, epochs: int) -> str:
    return (
        f"  epoch {row.epoch}/{epochs}: loss {row.loss:.4f}, search {row.score:.4f}, "
        f"best {row.best_score:.4f}; {row.seconds:.0f} s, {row.eta_minutes:.0f} min left"
    )


def summary(result: "Distilled") -> dict[str, Any]:
    """What the training gave, without its place."""
    facts = asdict(result)
    del facts["path"]
    return facts

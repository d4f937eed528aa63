"""The whole distillation: from two graphs and data to a student's file."""

from dataclasses import dataclass
from pathlib import Path

import torch

from onnxprune.converters.outputs import float_outputs, is_classifier, require_scores, view_of
from onnxprune.distillation.augmentation import make_augmentation
from onnxprune.distillation.checkpoint import Identity, graph_hash, options_of
from onnxprune.distillation.data import TrainingData, check_labels, read_rows
from onnxprune.distillation.hooks import Hooks
from onnxprune.distillation.learner import Setting
from onnxprune.distillation.logs import EpochRow
from onnxprune.distillation.losses import Objective
from onnxprune.distillation.options import DistillOptions, check_options
from onnxprune.distillation.pairing import check_pair, matching_values
from onnxprune.distillation.parallel import check_batch, current_crew
from onnxprune.distillation.precision import Arithmetic, choose_device, choose_precision
from onnxprune.distillation.session import STUDENT, Pair, Parts, Session, make_session
from onnxprune.errors import DataError, RuntimeProblem, UsageError
from onnxprune.onnx_file import Graph


@dataclass(frozen=True)
class Distilled:
    """What a distillation gave.

    Attributes:
        path: The student's file.
        metric: What the scores are: top1, agreement, or fit (1 - relative square error).
        best_epoch: Whose weights were written; 0 for those of the student as it came.
        best_score: Of them, on the search part.
        averaged: They are the moving average.
        first_score: Of the student as it came.
        teacher_score: Of the teacher.
        history: A row for each epoch.
    """

    path: Path
    metric: str
    best_epoch: int
    best_score: float
    averaged: bool
    first_score: float
    teacher_score: float
    history: tuple[EpochRow, ...]


def distill(
    teacher: Graph,
    student: Graph,
    data: TrainingData,
    options: DistillOptions | None = None,
    *,
    run: Path,
    hooks: Hooks | None = None,
) -> Distilled:
    """Train the student to give what the teacher gives, and write it to `run`/student.onnx.

        distill(original, pruned, TrainingData(fit, search), DistillOptions(epochs=60), run=Path("runs/a"))

    A checkpoint in `run` is continued. The weights written are the best on the search part, those of the
    student as it came included.

    Args:
        teacher, student: With the same inputs and outputs.
        data: Labels are optional.
        options: See there.
        run: Folder for checkpoint.pt, metrics.csv and student.onnx; made where it is missing.
        hooks: Progress, stopping, and what is put into the module for training.

    Raises:
        UsageError: E201 options, E208 a checkpoint of another run, E209 models with other inputs or outputs.
        UnsupportedError: E406, an operator that cannot be trained.
        DataError: E503, E507 or E508, the data does not fit.
        TargetError: E703, the loss is not finite.
        VerificationError: E802, ONNX Runtime does not agree with the trained module.
        Stopped: The hooks asked for it; the checkpoint is written.
    """
    options, hooks = options or DistillOptions(), hooks or Hooks()
    check_options(options)
    check_pair(teacher, student)
    crew = current_crew()
    check_batch(crew, options.batch)
    names = [value.name for value in student.inputs]
    parts = Parts(read_rows(data.fit, names), read_rows(data.search, names))
    setting, pair = make_setting(teacher, student, parts, options, hooks)
    check_data(parts, data, setting, student)
    tell_limits(parts, data, setting, hooks)
    try:
        session = make_session(pair, parts, setting, hooks)
        hooks.ready()
        run.mkdir(parents=True, exist_ok=True)
        session.fit(run, hooks)
        path = session.write(run / STUDENT, hooks)
    except IndexError as error:
        raise DataError(
            "E503",
            f"{data.fit.source}: a row holds an index that the models do not have",
            cause=str(error).splitlines()[0],
            hint="`onnxprune measure` with the original says more",
        ) from error
    except torch.OutOfMemoryError as error:
        raise RuntimeProblem(
            "E605", "out of memory on the GPU", cause=str(error).splitlines()[0], hint="a smaller --batch"
        ) from error
    return result_of(session, path)


def result_of(session: Session, path: Path) -> Distilled:
    learner, best = session.learner, session.learner.best
    assert best is not None
    return Distilled(
        path,
        session.judge.metric,
        best.epoch,
        best.score,
        best.averaged,
        learner.first_score,
        session.teacher_score,
        tuple(learner.history),
    )


def make_setting(
    teacher: Graph, student: Graph, parts: Parts, options: DistillOptions, hooks: Hooks
) -> tuple[Setting, Pair]:
    """What is decided before anything runs, and what is read from the teacher and the student."""
    device = choose_device(options.device)
    arithmetic = Arithmetic(device, choose_precision(options.precision, device))
    labelled = parts.fit.labels is not None and parts.search.labels is not None
    classes = options.loss == "kl" or (options.loss == "auto" and is_classifier(student, labelled=labelled))
    if options.loss == "kl":
        require_scores(student)
    kind = options.loss if options.loss != "auto" else "kl" if classes else "mse"
    alpha = options.alpha if labelled and classes else 1.0
    features = matching_values(teacher, student, options.match)
    augmentation = make_augmentation(options, parts.fit.shapes)
    if "mixup" in augmentation.names and not parts.fit.inputs[0].is_floating_point():
        raise UsageError("E201", "--augment mixup: whole numbers cannot be mixed", hint="leave mixup out")
    identity = Identity(
        graph_hash(teacher),
        graph_hash(student),
        len(parts.fit),
        len(parts.search),
        options_of(options),
        parts.digest(),
    )
    objective = Objective(kind, alpha, options.temperature, options.match_weight)
    labels = f"labels count {1 - alpha:g}" if alpha < 1 else "labels are not used"
    hooks.note(
        f"Loss {kind}, {labels}; {arithmetic.precision} on {device}; "
        f"augmentation {', '.join(augmentation.names) or 'none'}; {len(parts.fit)} rows to learn from, "
        f"{len(parts.search)} to choose by."
    )
    setting = Setting(options, identity, arithmetic, augmentation, objective, current_crew())
    views = (view_of(graph, classes=classes, features=features) for graph in (teacher, student))
    return setting, Pair(teacher, student, *views)


def tell_limits(parts: Parts, data: TrainingData, setting: Setting, hooks: Hooks) -> None:
    """Say what was given and is of no use."""
    if data.fit.labelled and parts.fit.labels is None:
        hooks.note(f"{data.fit.source}: labels other than one whole number a row are not used.")
    if setting.options.switch_teacher and not (setting.classes and parts.search.labels is not None):
        hooks.note("Without labels of classes no student scores higher than the teacher, which stays.")


def check_data(parts: Parts, data: TrainingData, setting: Setting, student: Graph) -> None:
    """Raises: DataError: E507, labels that are no classes; E508, fewer rows than a step needs."""
    options = setting.options
    needed = options.batch * options.accumulate
    if len(parts.fit) < needed:
        raise DataError(
            "E508",
            f"{data.fit.source}: {len(parts.fit)} rows to learn from, a step needs {needed}",
            hint=f"--batch {max(1, len(parts.fit) // options.accumulate)}, or more samples",
        )
    if setting.objective.kind == "kl" and setting.objective.alpha < 1:
        shape = student.shapes[student.outputs[float_outputs(student)[0]].name]
        check_labels(parts.fit, shape[-1], data.fit.source)
        check_labels(parts.search, shape[-1], data.search.source)

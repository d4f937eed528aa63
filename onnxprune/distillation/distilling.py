"""The whole distillation: from two graphs and data to a student's file."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from onnxprune.converters import to_torch
from onnxprune.distillation.augmentation import make_augmentation
from onnxprune.distillation.checkpoint import (
    NAME,
    Identity,
    graph_hash,
    load_checkpoint,
    options_of,
    save_checkpoint,
)
from onnxprune.distillation.data import Rows, TrainingData, check_labels, read_rows
from onnxprune.distillation.evaluation import Judge, choose_metric, outputs_of
from onnxprune.distillation.hooks import Hooks
from onnxprune.distillation.logs import METRICS, EpochRow, write_metrics
from onnxprune.distillation.loop import Best, Learner, Setting, Watch, copied, train
from onnxprune.distillation.losses import Objective
from onnxprune.distillation.optimizer import Average, make_optimizer
from onnxprune.distillation.options import DistillOptions, check_options
from onnxprune.distillation.outputs import View, compiled, is_classifier, make_forward, view_of
from onnxprune.distillation.pairing import check_pair, matching_values
from onnxprune.distillation.precision import Arithmetic, can_compile, choose_device, choose_precision
from onnxprune.distillation.teacher import Teacher
from onnxprune.distillation.writing import write_student
from onnxprune.errors import DataError, UnsupportedError
from onnxprune.onnx_file import Graph

PROOF_ROWS = 16
STUDENT = "student.onnx"


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


@dataclass(frozen=True)
class Parts:
    """The data in memory."""

    fit: Rows
    search: Rows


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
    names = [value.name for value in student.inputs]
    parts = Parts(read_rows(data.fit, names), read_rows(data.search, names))
    setting, views = make_setting(teacher, student, parts, options, hooks)
    check_data(parts, data, setting, student)
    run.mkdir(parents=True, exist_ok=True)
    session = make_session(teacher, student, parts, setting=setting, views=views, hooks=hooks)
    session.fit(run, hooks)
    return session.write(student, run, hooks)


def make_setting(
    teacher: Graph, student: Graph, parts: Parts, options: DistillOptions, hooks: Hooks
) -> tuple[Setting, tuple[View, View]]:
    """What is decided before anything runs, and what is read from the teacher and the student."""
    device = choose_device(options.device)
    arithmetic = Arithmetic(device, choose_precision(options.precision, device))
    labelled = parts.fit.labels is not None and parts.search.labels is not None
    classes = options.loss == "kl" or (options.loss == "auto" and is_classifier(student, labelled=labelled))
    kind = options.loss if options.loss != "auto" else "kl" if classes else "mse"
    alpha = options.alpha if labelled and classes else 1.0
    features = matching_values(teacher, student, options.match)
    augmentation = make_augmentation(options, parts.fit.shapes)
    identity = Identity(
        graph_hash(teacher), graph_hash(student), len(parts.fit), len(parts.search), options_of(options)
    )
    objective = Objective(kind, alpha, options.temperature, options.match_weight)
    labels = f"labels count {1 - alpha:g}" if alpha < 1 else "labels are not used"
    hooks.note(
        f"Loss {kind}, {labels}; {arithmetic.precision} on {device}; "
        f"augmentation {', '.join(augmentation.names) or 'none'}; {len(parts.fit)} rows to learn from, "
        f"{len(parts.search)} to choose by."
    )
    views = tuple(view_of(graph, classes=classes, features=features) for graph in (teacher, student))
    setting = Setting(options, identity, arithmetic, augmentation, objective)
    return setting, (views[0], views[1])


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
        shape = student.shapes[student.outputs[0].name]
        check_labels(parts.fit, shape[-1], data.fit.source)
        check_labels(parts.search, shape[-1], data.search.source)


def make_session(
    teacher: Graph,
    student: Graph,
    parts: Parts,
    *,
    setting: Setting,
    views: tuple[View, View],
    hooks: Hooks,
) -> "Session":
    """Modules, optimizer and judge, at the first epoch."""
    options, arithmetic = setting.options, setting.arithmetic
    device = arithmetic.device
    use_compile = can_compile(device) if options.compile is None else options.compile
    torch.manual_seed(options.seed)
    their_module = to_torch(teacher, trainable=lambda _name: False, master=True).to(device).eval()
    original = to_torch(student, master=True)
    original.freeze_bn = options.freeze_bn
    module = hooks.prepare(copy.deepcopy(original)).to(device)
    if options.channels_last:
        their_module, module = in_channels_last(their_module), in_channels_last(module)
    runner: Callable[..., Any] = compiled(module) if use_compile else module
    their_runner: Callable[..., Any] = compiled(their_module) if use_compile else their_module
    plain = make_forward(module, views[1])
    learner = Learner(
        module,
        make_forward(runner, views[1]),
        plain,
        make_optimizer(require_weights(module, student), options),
        arithmetic.scaler(),
        Average.of(module, options.ema) if options.ema else None,
    )
    fit = parts.fit.to(device) if device.type == "cuda" else parts.fit
    guide = Teacher(make_forward(their_runner, views[0]))
    theirs = outputs_of(make_forward(their_module, views[0]), parts.search, device)
    metric = choose_metric(classes=setting.objective.kind == "kl", labelled=parts.search.labels is not None)
    judge = Judge(parts.search, theirs, metric, device)
    return Session(learner, guide, fit, judge, setting)


def in_channels_last(module: Any) -> Any:
    return module.to(memory_format=torch.channels_last)


def require_weights(module: nn.Module, student: Graph) -> nn.Module:
    """Raises: UnsupportedError: E406, nothing in the module can be trained."""
    if not any(p.requires_grad for p in module.parameters()):
        raise UnsupportedError("E406", f"{student.path.name} has no weights that training could change")
    return module


@dataclass
class Session:
    """A run under way."""

    learner: Learner
    teacher: Teacher
    rows: Rows
    judge: Judge
    setting: Setting

    def fit(self, run: Path, hooks: Hooks) -> None:
        """Train from the start or the checkpoint to the end, in place."""
        checkpoint = run / NAME
        identity = self.setting.identity
        if checkpoint.exists():
            state = load_checkpoint(checkpoint, identity, self.setting.arithmetic.device)
            self.learner.restore(state)
            hooks.note(f"Continuing after epoch {self.learner.epoch} of {self.setting.options.epochs}.")
        else:
            self.judge_first()
        if not self.setting.augmentation.names:
            self.teacher.remember(self.rows, self.setting.arithmetic.device, size=self.setting.options.batch)

        def told(row: EpochRow) -> None:
            write_metrics(run / METRICS, self.learner.history)
            hooks.epoch(row)

        def save(learner: Learner) -> None:
            save_checkpoint(checkpoint, learner.state(identity))

        watch = Watch(hooks.step, told, hooks.stop, save)
        train(self.learner, self.teacher, self.rows, judge=self.judge, setting=self.setting, watch=watch)

    def judge_first(self) -> None:
        """The student as it came is the best so far, in place."""
        learner = self.learner
        learner.module.eval()
        learner.first_score = self.judge.score(learner.plain)
        learner.best = Best(0, learner.first_score, False, copied(learner.module.state_dict()))

    def write(self, student: Graph, run: Path, hooks: Hooks) -> Distilled:
        """The best weights, checked in ONNX Runtime and written."""
        learner, best = self.learner, self.learner.best
        assert best is not None
        module = copy.deepcopy(learner.module)
        module.load_state_dict(best.state)
        finished = hooks.finish(module.eval().cpu())
        inputs = [value[:PROOF_ROWS].cpu() for value in self.judge.rows.inputs]
        saved = write_student(finished, student, run / STUDENT, inputs=inputs, force=True)
        return Distilled(
            saved.model,
            self.judge.metric,
            best.epoch,
            best.score,
            best.averaged,
            learner.first_score,
            self.judge.of(self.judge.teacher),
            tuple(learner.history),
        )

"""A run under way: modules, optimizer and judge, made, trained, and written."""

import copy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from onnxprune.converters import OnnxModule, to_torch
from onnxprune.converters.batch_norm import fold_batch_norm
from onnxprune.converters.outputs import Forward, View, make_forward
from onnxprune.distillation.batching import Form, copy_weights, form_for_batches
from onnxprune.distillation.checkpoint import NAME, load_checkpoint, rows_hash, save_checkpoint
from onnxprune.distillation.data import Rows
from onnxprune.distillation.evaluation import Judge, choose_metric, outputs_of
from onnxprune.distillation.hooks import Hooks
from onnxprune.distillation.learner import Best, Learner, Setting, Watch, copied
from onnxprune.distillation.logs import METRICS, EpochRow, write_metrics
from onnxprune.distillation.loop import train
from onnxprune.distillation.optimizer import Average, make_optimizer
from onnxprune.distillation.preparing import (
    Inserted,
    arranged,
    freeze_unused,
    prepare_norms,
    require_weights,
    runner_of,
    sparsity_for,
    tell_forms,
)
from onnxprune.distillation.teacher import Teacher
from onnxprune.distillation.writing import write_student
from onnxprune.onnx_file import Graph

PROOF_ROWS = 16
STUDENT = "student.onnx"


@dataclass(frozen=True)
class Parts:
    """The data in memory."""

    fit: Rows
    search: Rows

    def digest(self) -> str:
        """sha256 of rows and labels; of large parts of some rows, evenly spaced."""
        return rows_hash((self.fit, self.search))


@dataclass(frozen=True)
class Pair:
    """Both models, and what is read from each."""

    teacher: Graph
    student: Graph
    teacher_view: View
    student_view: View


def make_session(pair: Pair, parts: Parts, setting: Setting, hooks: Hooks) -> "Session":
    """Everything at the first epoch.

    Raises:
        UnsupportedError: E406, a model that torch cannot run in batches, or without weights to train.
    """
    options, device, crew = setting.options, setting.arithmetic.device, setting.crew
    torch.manual_seed(options.seed)
    few = [value[:PROOF_ROWS] for value in parts.fit.inputs]
    their_form = form_for_batches(pair.teacher, few, trainable=lambda _name: False)
    form = form_for_batches(pair.student, few)
    tell_forms(((pair.teacher, their_form), (pair.student, form)), hooks)
    their_module = arranged(their_form.module.eval(), setting)
    inserted = prepare_norms(form, parts.fit, setting, hooks)
    module = arranged(hooks.prepare(form.module), setting)
    require_weights(module, pair.student)
    if crew.size > 1:
        freeze_unused(make_forward(form.runner(module), pair.student_view), module, few)
    runner = crew.joined(runner_of(form, module, setting, hooks))
    learner = Learner(
        module,
        runner,
        make_forward(runner, pair.student_view),
        make_forward(form.runner(module), pair.student_view),
        make_optimizer(module, options),
        setting.arithmetic.scaler(),
        Average.of(module, options.ema) if options.ema and options.sparsity == "none" else None,
        sparsity=sparsity_for(pair.student, module, setting, rows=len(parts.fit)),
    )
    teacher = Teacher(make_forward(runner_of(their_form, their_module, setting, hooks), pair.teacher_view))
    plain = make_forward(their_form.runner(their_module), pair.teacher_view)
    metric = choose_metric(classes=setting.classes, labelled=parts.search.labels is not None)
    judge = Judge(parts.search, outputs_of(plain, parts.search, device), metric, device)
    rows = parts.fit.to(device) if device.type == "cuda" else parts.fit
    return Session(pair, learner, teacher, rows, judge, setting, form, inserted)


@dataclass
class Session:
    """A run under way."""

    pair: Pair
    learner: Learner
    teacher: Teacher
    rows: Rows
    judge: Judge
    setting: Setting
    form: Form
    inserted: Inserted

    def fit(self, run: Path, hooks: Hooks) -> None:
        """Train from the start or the checkpoint to the end, in place."""
        checkpoint, crew = run / NAME, self.setting.crew
        if checkpoint.exists():
            state = load_checkpoint(checkpoint, self.setting.identity, self.setting.arithmetic.device)
            self.learner.restore(state)
            hooks.note(f"Continuing after epoch {self.learner.epoch} of {self.setting.options.epochs}.")
        else:
            self.judge_first()
        self.remember()

        def told(row: EpochRow) -> None:
            self.promote(hooks)
            if crew.leads:
                write_metrics(run / METRICS, self.learner.history)
                hooks.epoch(row)

        def save(learner: Learner) -> None:
            if crew.leads:
                save_checkpoint(checkpoint, learner.state(self.setting.identity))

        self.promote(hooks)
        watch = Watch(hooks.step, told, hooks.stop, save)
        train(self.learner, self.teacher, self.rows, judge=self.judge, setting=self.setting, watch=watch)

    def remember(self) -> None:
        """Keep the teacher's outputs for all rows, in place, where batches are not augmented."""
        if not self.setting.augmentation.names:
            self.teacher.remember(self.rows, self.setting.arithmetic.device, size=self.setting.options.batch)

    def judge_first(self) -> None:
        """The student as it came is the best so far, in place."""
        learner = self.learner
        learner.module.eval()
        learner.first_score = self.setting.crew.from_leader(self.judge.score(learner.plain))
        learner.best = Best(0, learner.first_score, False, copied(learner.module.state_dict()))

    def promote(self, hooks: Hooks) -> None:
        """The best student becomes the teacher, in place, if that is asked for and it scores higher.

        Reference: RL-Pruner (arXiv 2411.06463), section 3.
        """
        best = self.learner.best
        if not self.setting.options.switch_teacher or best is None or best.score <= self.teacher_score:
            return
        module = copy.deepcopy(self.learner.module).eval()
        module.load_state_dict(best.state)
        self.teacher.forward = self._forward_of(module, hooks)
        self.teacher.cached = None
        self.remember()

    def _forward_of(self, module: nn.Module, hooks: Hooks) -> Forward:
        return make_forward(runner_of(self.form, module, self.setting, hooks), self.pair.student_view)

    @property
    def teacher_score(self) -> float:
        """Of the original teacher, on the search part."""
        return self.judge.of(self.judge.teacher)

    def write(self, out: Path, hooks: Hooks) -> Path:
        """The best weights, compared in ONNX Runtime and written; the file."""
        best = self.learner.best
        assert best is not None
        if self.setting.crew.leads:
            module = copy.deepcopy(self.learner.module)
            module.load_state_dict(best.state)
            finished = hooks.finish(module.eval().cpu())
            if self.inserted:
                assert isinstance(finished, OnnxModule)
                fold_batch_norm(finished, self.inserted)
            inputs = [value[:PROOF_ROWS].cpu() for value in self.judge.rows.inputs]
            own, runner = self.of_the_file(finished), self.form.runner(finished)
            write_student(own, self.pair.student, out, inputs=inputs, runner=runner)
        self.setting.crew.wait()
        return out

    def of_the_file(self, trained: nn.Module) -> OnnxModule:
        """The trained weights in a module of the student's own graph, whose constants are as they came."""
        assert isinstance(trained, OnnxModule)
        if not self.form.freed:
            return trained
        own = to_torch(self.pair.student, master=True)
        copy_weights(trained, own)
        return own

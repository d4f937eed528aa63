"""A run under way: modules, optimizer and judge, made, trained, and written."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from onnxprune.converters import OnnxModule, to_torch
from onnxprune.converters.batch_norm import Folded, fold_batch_norm, insert_batch_norm
from onnxprune.distillation.batching import Form, copy_weights, form_for_batches
from onnxprune.distillation.checkpoint import NAME, load_checkpoint, save_checkpoint
from onnxprune.distillation.data import Rows
from onnxprune.distillation.evaluation import Judge, choose_metric, outputs_of
from onnxprune.distillation.hooks import Hooks
from onnxprune.distillation.learner import Best, Learner, Setting, Watch, copied
from onnxprune.distillation.logs import METRICS, EpochRow, write_metrics
from onnxprune.distillation.loop import batches_of_epoch, train
from onnxprune.distillation.optimizer import Average, make_optimizer
from onnxprune.distillation.outputs import Forward, View, make_forward
from onnxprune.distillation.precision import can_compile
from onnxprune.distillation.sparsity import Sparsity, make_sparsity
from onnxprune.distillation.teacher import Teacher
from onnxprune.distillation.writing import write_student
from onnxprune.errors import UnsupportedError
from onnxprune.groups import find_groups
from onnxprune.onnx_file import Graph

PROOF_ROWS = 16
CALIBRATION_ROWS = 2048
LEAST_BATCH = 16  # rows for the statistics of a batch
STUDENT = "student.onnx"
Inserted = tuple[Folded, ...]


@dataclass(frozen=True)
class Parts:
    """The data in memory."""

    fit: Rows
    search: Rows


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
    tell_forms(pair, (their_form, form), hooks)
    their_module = arranged(their_form.module.eval(), setting)
    form.module.freeze_bn = form.module.freeze_bn or options.freeze_bn or crew.size > 1
    inserted = put_back_norms(form, parts.fit, setting)
    if inserted:
        hooks.note(
            f"{len(inserted)} BatchNormalizations that export folded away are put back for the training."
        )
    module = arranged(hooks.prepare(form.module), setting)
    require_weights(module, pair.student)
    if (
        crew.size > 1
        and not options.freeze_bn
        and any(n.op_type == "BatchNormalization" for n in pair.student.nodes)
    ):
        hooks.note("BatchNormalization is frozen: its statistics would differ between the processes.")
    if crew.size > 1:
        freeze_unused(make_forward(form.runner(module), pair.student_view), module, few)
    runner = crew.joined(runner_of(form, module, setting))
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
    teacher = Teacher(make_forward(runner_of(their_form, their_module, setting), pair.teacher_view))
    plain = make_forward(their_form.runner(their_module), pair.teacher_view)
    metric = choose_metric(classes=setting.classes, labelled=parts.search.labels is not None)
    judge = Judge(parts.search, outputs_of(plain, parts.search, device), metric, device)
    rows = parts.fit.to(device) if device.type == "cuda" else parts.fit
    return Session(pair, learner, teacher, rows, judge, setting, form, inserted)


def tell_forms(pair: Pair, forms: tuple[Form, Form], hooks: Hooks) -> None:
    for graph, form in zip((pair.teacher, pair.student), forms, strict=True):
        if form.freed:
            hooks.note(f"{graph.path.name}: a batch of 1 is built in; trained with its batch axis freed.")
        if form.row_by_row:
            hooks.note(
                f"{graph.path.name}: a batch of 1 is built in; trained row by row, BatchNormalization frozen."
            )


def put_back_norms(form: Form, rows: Rows, setting: Setting) -> Inserted:
    """Where BatchNormalization was put into the module, in place, with statistics of rows drawn by the seed."""
    options, module = setting.options, form.module
    if not options.insert_bn or module.freeze_bn or options.batch < LEAST_BATCH:
        return ()
    rng = np.random.default_rng((options.seed, CALIBRATION_ROWS))
    chosen = rng.permutation(len(rows))[:CALIBRATION_ROWS]
    starts = range(0, len(chosen), options.batch)
    batches = (
        [value[torch.from_numpy(chosen[at : at + options.batch])] for value in rows.inputs] for at in starts
    )
    return insert_batch_norm(module, batches)


def arranged(module: nn.Module, setting: Setting) -> Any:
    """On the device, images with their channels last where that is asked for; in place."""
    module = module.to(setting.arithmetic.device)
    if setting.options.channels_last:
        module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return module


def runner_of(form: Form, module: nn.Module, setting: Setting) -> Callable[..., Any]:
    """What is called in training: compiled where that is asked for."""
    wanted = setting.options.compile
    use = can_compile(setting.arithmetic.device) if wanted is None else wanted
    runner = form.runner(module)
    return torch.compile(runner) if use and not form.row_by_row else runner


def freeze_unused(forward: Forward, module: nn.Module, inputs: list[Tensor]) -> None:
    """Weights that no output depends on are no longer trained, in place."""
    device = next(module.parameters()).device
    seen = forward([value.to(device) for value in inputs])
    torch.stack([value.float().sum() for value in (*seen.outputs, *seen.features)]).sum().backward()
    for parameter in module.parameters():
        parameter.requires_grad_(parameter.grad is not None)
        parameter.grad = None


def sparsity_for(student: Graph, module: nn.Module, setting: Setting, *, rows: int) -> Sparsity | None:
    """What makes channels small, where that is asked for."""
    options = setting.options
    if options.sparsity == "none":
        return None
    assert isinstance(module, OnnxModule)
    steps = options.epochs * batches_of_epoch(rows, options) // options.accumulate
    return make_sparsity(find_groups(student), module, options, steps=steps)


def require_weights(module: nn.Module, student: Graph) -> None:
    """Raises: UnsupportedError: E406, nothing in the module can be trained."""
    if not any(p.requires_grad for p in module.parameters()):
        raise UnsupportedError("E406", f"{student.path.name} has no weights that training could change")


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
            self.promote()
            if crew.leads:
                write_metrics(run / METRICS, self.learner.history)
                hooks.epoch(row)

        def save(learner: Learner) -> None:
            if crew.leads:
                save_checkpoint(checkpoint, learner.state(self.setting.identity))

        self.promote()
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

    def promote(self) -> None:
        """The best student becomes the teacher, in place, if that is asked for and it scores higher.

        Reference: RL-Pruner (arXiv 2411.06463), section 3.
        """
        best = self.learner.best
        if not self.setting.options.switch_teacher or best is None or best.score <= self.teacher_score:
            return
        module = copy.deepcopy(self.learner.module).eval()
        module.load_state_dict(best.state)
        self.teacher.forward = self._forward_of(module)
        self.teacher.cached = None
        self.remember()

    def _forward_of(self, module: nn.Module) -> Forward:
        return make_forward(runner_of(self.form, module, self.setting), self.pair.student_view)

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

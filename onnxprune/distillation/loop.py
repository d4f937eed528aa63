"""The training loop: steps, epochs, and the state between them."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from onnxprune.distillation.augmentation import Augmentation
from onnxprune.distillation.checkpoint import FORMAT, Identity
from onnxprune.distillation.data import Batch, Epoch, Rows, Share, batches
from onnxprune.distillation.evaluation import Judge
from onnxprune.distillation.logs import EpochRow, StepRow
from onnxprune.distillation.losses import Objective
from onnxprune.distillation.optimizer import Average, first_not_finite, learning_rate, set_learning_rate
from onnxprune.distillation.options import DistillOptions
from onnxprune.distillation.outputs import Forward
from onnxprune.distillation.precision import Arithmetic
from onnxprune.distillation.teacher import Teacher
from onnxprune.errors import TargetError

ASYNCHRONOUS_CHECK = 50  # steps between two looks at the loss on a GPU, each of which waits for it
State = dict[str, Any]


class Stopped(Exception):
    """The caller asked to stop; the checkpoint is written."""


@dataclass(frozen=True)
class Best:
    """The best weights so far.

    Attributes:
        epoch: Counted from 1; 0 for the student as it came.
        score: On the search part.
        averaged: They are the average, not the last ones.
        state: Of the module.
    """

    epoch: int
    score: float
    averaged: bool
    state: dict[str, Tensor]


@dataclass(frozen=True)
class Setting:
    """What does not change in a run."""

    options: DistillOptions
    identity: Identity
    arithmetic: Arithmetic
    augmentation: Augmentation
    objective: Objective
    share: Share = field(default_factory=Share)


@dataclass
class Learner:
    """The student and everything that a step changes.

    Attributes:
        module: The student.
        forward: It in train mode, compiled or parallel where asked for.
        plain: It in eval mode, for the search part.
        optimizer, scaler, average: See there.
        epoch: Full epochs done.
        step: Batches done of the next one.
        losses: Of those batches.
        best: Weights so far; None before the first look at the search part.
        first_score: Of the student as it came.
        history: A row for each epoch.
    """

    module: nn.Module
    forward: Forward
    plain: Forward
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: Average | None
    epoch: int = 0
    step: int = 0
    losses: list[Tensor] = field(default_factory=list)
    best: Best | None = None
    first_score: float = 0.0
    history: list[EpochRow] = field(default_factory=list)

    def state(self, identity: Identity) -> State:
        """All of it, for `save_checkpoint`."""
        return {
            "format": FORMAT,
            "identity": asdict(identity),
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "average": None if self.average is None else vars(self.average),
            "epoch": self.epoch,
            "step": self.step,
            "losses": self.losses,
            "best": None if self.best is None else vars(self.best),
            "first_score": self.first_score,
            "history": [asdict(row) for row in self.history],
            "rng": torch.get_rng_state(),
        }

    def restore(self, state: State) -> None:
        """Continue from such a state, in place."""
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.average = None if state["average"] is None else Average(**state["average"])
        self.epoch, self.step, self.losses = state["epoch"], state["step"], state["losses"]
        self.best = None if state["best"] is None else Best(**state["best"])
        self.first_score = state["first_score"]
        self.history = [EpochRow(**row) for row in state["history"]]
        torch.set_rng_state(state["rng"].cpu())

    @property
    def stale(self) -> int:
        """Epochs since the best one."""
        return self.epoch - (self.best.epoch if self.best else 0)


@dataclass(frozen=True)
class Watch:
    """Who is told and asked between steps.

    Attributes:
        step: Told after each step of the optimizer.
        epoch: Told after each epoch.
        stop: Asked after each step whether to stop.
        save: Writes the state.
    """

    step: Callable[[StepRow], None]
    epoch: Callable[[EpochRow], None]
    stop: Callable[[], bool]
    save: Callable[[Learner], None]


def batch_loss(learner: Learner, teacher: Teacher, batch: Batch, setting: Setting) -> Tensor:
    """The loss of one batch, differentiable; forward passes in the chosen precision."""
    with setting.arithmetic.autocast():
        theirs = teacher(batch)
        ours = learner.forward(batch.inputs)
    return setting.objective(ours, theirs, batch.targets)


def apply_gradients(learner: Learner, setting: Setting, step: int, steps_per_epoch: int) -> None:
    """One step of the optimizer, in place."""
    options = setting.options
    set_learning_rate(learner.optimizer, learning_rate(options, step, steps_per_epoch))
    if options.clip_norm > 0:
        learner.scaler.unscale_(learner.optimizer)
        nn.utils.clip_grad_norm_(learner.module.parameters(), options.clip_norm)
    learner.scaler.step(learner.optimizer)
    learner.scaler.update()
    learner.optimizer.zero_grad(set_to_none=True)
    if learner.average is not None:
        learner.average.update(learner.module)


def train_epoch(learner: Learner, teacher: Teacher, rows: Rows, setting: Setting, watch: Watch) -> None:
    """The rest of an epoch, in place.

    Raises:
        TargetError: E703, the loss is not finite; the last checkpoint is untouched.
        Stopped: The watch asked for it; the state is saved.
    """
    options = setting.options
    total = len(rows) // options.batch
    total -= total % options.accumulate
    steps_per_epoch = total // options.accumulate
    every = 1 if setting.arithmetic.device.type == "cpu" else ASYNCHRONOUS_CHECK
    epoch = Epoch.of(len(rows), setting.augmentation, seed=options.seed, epoch=learner.epoch)
    stream = batches(
        rows, epoch, setting.augmentation, size=options.batch, start=learner.step, share=setting.share
    )
    learner.module.train()
    for at, batch in zip(range(learner.step, total), stream, strict=False):
        last = (at + 1) % options.accumulate == 0
        with nullcontext() if last else unsynchronized(learner.module):
            loss = batch_loss(learner, teacher, batch, setting)
            learner.losses.append(loss.detach())
            if (at + 1) % every == 0 or at + 1 == total:
                check_finite(learner, every, setting)
            learner.scaler.scale(loss / options.accumulate).backward()
        if not last:
            continue
        number = learner.epoch * steps_per_epoch + at // options.accumulate
        apply_gradients(learner, setting, number, steps_per_epoch)
        learner.step = at + 1
        watch.step(StepRow(at + 1, total, learner.epoch + 1, float(loss.detach()) if every == 1 else None))
        if at + 1 < total and watch.stop():
            check_finite(learner, every, setting)
            watch.save(learner)
            raise Stopped


def unsynchronized(_module: nn.Module) -> nullcontext[None]:
    """Gradients of this batch stay in this process."""
    return nullcontext()


def check_finite(learner: Learner, last: int, setting: Setting) -> None:
    """Raises: TargetError: E703, one of the last losses is not finite."""
    bad = first_not_finite(learner.losses[-last:])
    if bad is None:
        return
    batch = max(0, len(learner.losses) - last) + bad
    step = batch // setting.options.accumulate + 1
    peak = setting.options.peak
    kept = "nothing is lost" if learner.epoch else "no epoch was finished"
    raise TargetError(
        "E703",
        f"the loss is not finite at step {step} of epoch {learner.epoch + 1}; {kept}",
        cause=f"the learning rate ({peak:g} at its peak) is too high, or an input is not finite",
        hint=f"try --lr {peak / 3:.2g} --clip-norm 5 in a new run directory, or --precision fp32",
    )


def finish_epoch(learner: Learner, setting: Setting, judge: Judge, began: float) -> EpochRow:
    """Look at the search part and keep the best weights, in place; the row of this epoch."""
    score, averaged = look(learner, judge)
    keep_best(learner, score, averaged)
    assert learner.best is not None
    seconds = time.monotonic() - began
    learner.epoch += 1
    left = setting.options.epochs - learner.epoch
    row = EpochRow(
        learner.epoch,
        float(torch.stack(learner.losses).double().mean()),
        float(learner.optimizer.param_groups[0]["lr"]),
        score,
        averaged,
        learner.best.score,
        round(seconds, 2),
        round(left * seconds / 60, 1),
    )
    learner.step, learner.losses = 0, []
    learner.history.append(row)
    return row


def look(learner: Learner, judge: Judge) -> tuple[float, float | None]:
    """Scores of the last weights and of their average."""
    learner.module.eval()
    score = judge.score(learner.plain)
    if learner.average is None:
        return score, None
    own = copied(learner.module.state_dict())
    learner.module.load_state_dict(learner.average.values)
    averaged = judge.score(learner.plain)
    learner.module.load_state_dict(own)
    return score, averaged


def keep_best(learner: Learner, score: float, averaged: float | None) -> None:
    """In place; the later of two equal ones."""
    use_average = averaged is not None and averaged > score
    top = max(score, averaged) if averaged is not None else score
    if learner.best is None or top >= learner.best.score:
        source = learner.average.values if use_average and learner.average else learner.module.state_dict()
        learner.best = Best(learner.epoch + 1, top, use_average, copied(source))


def copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in state.items()}


def train(
    learner: Learner, teacher: Teacher, rows: Rows, *, judge: Judge, setting: Setting, watch: Watch
) -> None:
    """Train to the last epoch or until patience ends, in place; a checkpoint after each epoch."""
    options = setting.options
    while learner.epoch < options.epochs:
        if options.patience and learner.stale >= options.patience:
            return
        began = time.monotonic()
        train_epoch(learner, teacher, rows, setting, watch)
        row = finish_epoch(learner, setting, judge, began)
        watch.save(learner)
        watch.epoch(row)
        if watch.stop() and learner.epoch < options.epochs:
            raise Stopped

"""The training loop: steps and epochs."""

import time
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from onnxprune.distillation.data import Batch, Epoch, Rows, batches
from onnxprune.distillation.evaluation import Judge
from onnxprune.distillation.learner import Best, Learner, Setting, Stopped, Watch, copied
from onnxprune.distillation.logs import EpochRow, StepRow
from onnxprune.distillation.optimizer import first_not_finite, learning_rate, set_learning_rate
from onnxprune.distillation.options import DistillOptions
from onnxprune.distillation.teacher import Teacher
from onnxprune.errors import TargetError

GPU_LOOKS = 50  # batches between two looks at the loss on a GPU, each of which waits for it


def train(
    learner: Learner, teacher: Teacher, rows: Rows, *, judge: Judge, setting: Setting, watch: Watch
) -> None:
    """Train to the last epoch or until patience ends, in place; a checkpoint after each epoch.

    Raises:
        TargetError: E703, the loss or a weight is not finite; the last checkpoint is untouched.
        Stopped: The watch asked for it; the state is saved.
    """
    options = setting.options
    while learner.epoch < options.epochs:
        if options.patience and learner.stale >= options.patience:
            return
        began = time.monotonic()
        train_epoch(learner, teacher, rows, setting, watch)
        row = finish_epoch(learner, setting, judge, began)
        watch.save(learner)
        watch.epoch(row)


def train_epoch(learner: Learner, teacher: Teacher, rows: Rows, setting: Setting, watch: Watch) -> None:
    """The rest of an epoch, in place."""
    options, augmentation = setting.options, setting.augmentation
    total = batches_of_epoch(len(rows), options)
    epoch = Epoch.of(len(rows), augmentation, seed=options.seed, epoch=learner.epoch)
    stream = batches(rows, epoch, augmentation, size=options.batch, start=learner.step, crew=setting.crew)
    learner.module.train()
    for at, batch in zip(range(learner.step, total), stream, strict=False):
        is_last = (at + 1) % options.accumulate == 0
        with together(learner, is_last=is_last):
            loss = batch_loss(learner, teacher, batch, setting)
            learner.losses.append(loss.detach())
            share = loss / options.accumulate
            if is_last and learner.sparsity is not None:
                share = share + learner.sparsity.penalty(learner.module)
            learner.scaler.scale(share).backward()
        if is_last:
            stop = look_up(learner, at + 1, total, setting, watch)
            apply_gradients(learner, setting, total)
            learner.step = at + 1
            if stop:
                require_finite(learner, setting)
                watch.save(learner)
                raise Stopped


def batches_of_epoch(rows: int, options: DistillOptions) -> int:
    """Full batches that fill whole steps."""
    full = rows // options.batch
    return full - full % options.accumulate


def together(learner: Learner, *, is_last: bool) -> AbstractContextManager[None]:
    """Gradients are averaged over the processes with the last batch of a step only."""
    if is_last or not isinstance(learner.runner, DistributedDataParallel):
        return nullcontext()
    return learner.runner.no_sync()


def batch_loss(learner: Learner, teacher: Teacher, batch: Batch, setting: Setting) -> Tensor:
    """The loss of one batch, differentiable; forward passes in the chosen precision."""
    with setting.arithmetic.autocast():
        theirs = teacher(batch)
        ours = learner.forward(batch.inputs)
    return setting.objective(ours, theirs, batch.targets)


def look_up(learner: Learner, done: int, total: int, setting: Setting, watch: Watch) -> bool:
    """Tell the step and see, before the weights change, whether to stop after it.

    Raises:
        TargetError: E703, a loss is not finite in some process.
    """
    on_gpu = setting.arithmetic.device.type != "cpu"
    accumulate = setting.options.accumulate
    looks = not on_gpu or done // accumulate % GPU_LOOKS == 0 or done == total
    watch.step(StepRow(done, total, learner.epoch + 1, float(learner.losses[-1]) if looks else None))
    if not looks:
        return False
    bad = first_not_finite(learner.losses)
    stop, broken = setting.crew.any_of(watch.stop(), bad is not None)
    if broken:
        raise not_finite(learner, setting, (bad or 0) // accumulate + 1)
    return stop


def apply_gradients(learner: Learner, setting: Setting, batches_in_epoch: int) -> None:
    """One step of the optimizer, in place."""
    options = setting.options
    steps_per_epoch = batches_in_epoch // options.accumulate
    step = learner.epoch * steps_per_epoch + learner.step // options.accumulate
    set_learning_rate(learner.optimizer, learning_rate(options, step, steps_per_epoch))
    if options.clip_norm > 0:
        learner.scaler.unscale_(learner.optimizer)
        nn.utils.clip_grad_norm_(learner.module.parameters(), options.clip_norm)
    learner.scaler.step(learner.optimizer)
    learner.scaler.update()
    learner.optimizer.zero_grad(set_to_none=True)
    if learner.average is not None:
        learner.average.update(learner.module)
    if learner.sparsity is not None:
        learner.sparsity.after_step(learner.module)


def not_finite(learner: Learner, setting: Setting, step: int) -> TargetError:
    peak = setting.options.peak
    kept = f"the checkpoint of epoch {learner.epoch} is kept" if learner.epoch else "no epoch was finished"
    return TargetError(
        "E703",
        f"the loss is not finite at step {step} of epoch {learner.epoch + 1}; {kept}",
        cause=f"the learning rate ({peak:g} at its peak) is too high, or an input is not finite",
        hint=f"try --lr {peak / 3:.2g} --clip-norm 5 in a new run directory, or --precision fp32",
    )


def require_finite(learner: Learner, setting: Setting) -> None:
    """Raises: TargetError: E703, a weight is not finite after the last step."""
    if not all(bool(torch.isfinite(p).all()) for p in learner.module.parameters()):
        raise not_finite(learner, setting, len(learner.losses) // setting.options.accumulate)


def finish_epoch(learner: Learner, setting: Setting, judge: Judge, began: float) -> EpochRow:
    """Look at the search part and keep the best weights, in place; the row of this epoch."""
    require_finite(learner, setting)
    if learner.sparsity is not None:
        learner.sparsity.after_epoch(learner.module, last=learner.epoch + 1 == setting.options.epochs)
    score, averaged = look(learner, judge, setting)
    keep_best(learner, score, averaged)
    assert learner.best is not None
    seconds = time.monotonic() - began
    learner.epoch += 1
    left = setting.options.epochs - learner.epoch
    row = EpochRow(
        learner.epoch,
        setting.crew.mean(float(torch.stack(learner.losses).double().mean())),
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


def look(learner: Learner, judge: Judge, setting: Setting) -> tuple[float, float | None]:
    """Scores of the last weights and of their average."""
    learner.module.eval()
    score = setting.crew.from_leader(judge.score(learner.plain))
    if learner.average is None:
        return score, None
    own = copied(learner.module.state_dict())
    learner.module.load_state_dict(learner.average.values)
    averaged = setting.crew.from_leader(judge.score(learner.plain))
    learner.module.load_state_dict(own)
    return score, averaged


def keep_best(learner: Learner, score: float, averaged: float | None) -> None:
    """In place; the later of two equal ones, and always the last where channels become small."""
    use_average = averaged is not None and averaged > score
    top = max(score, averaged) if averaged is not None else score
    if learner.best is None or learner.sparsity is not None or top >= learner.best.score:
        source = learner.average.values if use_average and learner.average else learner.module.state_dict()
        same = learner.best is not None and top == learner.best.score
        since = learner.best.since if same and learner.best else learner.epoch + 1
        learner.best = Best(learner.epoch + 1, top, use_average, copied(source), since)

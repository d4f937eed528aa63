"""The student in training: what a step changes, what stays, and who watches."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from onnxprune.converters.outputs import Forward
from onnxprune.distillation.augmentation import Augmentation
from onnxprune.distillation.checkpoint import FORMAT, Identity
from onnxprune.distillation.logs import EpochRow, StepRow
from onnxprune.distillation.losses import Objective
from onnxprune.distillation.optimizer import Average
from onnxprune.distillation.options import DistillOptions
from onnxprune.distillation.parallel import ALONE, Crew
from onnxprune.distillation.precision import Arithmetic
from onnxprune.distillation.sparsity import Sparsity
from onnxprune.errors import UsageError

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
        since: Epoch that reached this score first.
    """

    epoch: int
    score: float
    averaged: bool
    state: dict[str, Tensor]
    since: int = 0


@dataclass(frozen=True)
class Setting:
    """What does not change in a run."""

    options: DistillOptions
    identity: Identity
    arithmetic: Arithmetic
    augmentation: Augmentation
    objective: Objective
    crew: Crew = ALONE

    @property
    def classes(self) -> bool:
        """The models give scores of classes."""
        return self.objective.kind == "kl"


@dataclass
class Learner:
    """The student and everything that a step changes.

    Attributes:
        module: The student.
        runner: What is called in training: the module, compiled or parallel where asked for.
        forward: Runs it and picks what the loss needs.
        plain: The same of the module itself, for the search part.
        optimizer, scaler, average: See there.
        epoch: Full epochs done.
        step: Batches done of the next one.
        losses: Of those batches.
        best: Weights so far; None before the first look at the search part.
        first_score: Of the student as it came.
        history: A row for each epoch.
        sparsity: What makes channels small; None where nothing does.
    """

    module: nn.Module
    runner: Callable[..., Any]
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
    sparsity: Sparsity | None = None

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
            "sparsity": None if self.sparsity is None else self.sparsity.state_dict(),
        }

    def restore(self, state: State) -> None:
        """Continue from such a state, in place.

        Raises:
            UsageError: E208, the state is that of another module.
        """
        try:
            self._take(state)
        except (RuntimeError, KeyError, TypeError, ValueError, AttributeError) as error:
            message = "the checkpoint is of a model with other weights, or damaged"
            cause = (str(error).splitlines() or [type(error).__name__])[-1].strip()
            raise UsageError("E208", message, cause=cause, hint="choose another run directory") from error

    def _take(self, state: State) -> None:
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.average = None if state["average"] is None else Average(**state["average"])
        self.epoch, self.step, self.losses = state["epoch"], state["step"], state["losses"]
        self.best = None if state["best"] is None else Best(**state["best"])
        self.first_score = state["first_score"]
        self.history = [EpochRow(**row) for row in state["history"]]
        torch.set_rng_state(state["rng"].cpu())
        if self.sparsity is not None and state.get("sparsity") is not None:
            self.sparsity.load_state_dict(state["sparsity"])

    @property
    def stale(self) -> int:
        """Epochs without a better score."""
        return self.epoch - (self.best.since if self.best else 0)


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


def copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in state.items()}

"""What a caller can hang into a distillation."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from onnxprune.distillation.logs import EpochRow, StepRow


def unchanged(module: nn.Module) -> nn.Module:
    return module


def unheard(_row: object) -> None:
    return


def nothing() -> None:
    return


def never() -> bool:
    return False


@dataclass(frozen=True)
class Hooks:
    """Functions that a distillation calls.

    Attributes:
        note: Told in words what was chosen, and what limits the result.
        step: Told after each step of the optimizer.
        epoch: Told after each epoch.
        stop: Asked after each step; True saves and raises `Stopped`.
        prepare: Gives the module that is trained in place of the student's, such as one with
            BatchNormalization put in; its parameters may be others.
        finish: Gives, for that module with its best weights, the student's module to be written; always
            called with a copy, in eval mode.
        ready: Called once, when all was checked and nothing is written yet.
    """

    note: Callable[[str], None] = unheard
    step: Callable[[StepRow], None] = unheard
    epoch: Callable[[EpochRow], None] = unheard
    stop: Callable[[], bool] = never
    prepare: Callable[[nn.Module], nn.Module] = unchanged
    finish: Callable[[nn.Module], nn.Module] = unchanged
    ready: Callable[[], None] = nothing

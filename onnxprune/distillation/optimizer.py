"""The optimizer, its learning rate, and the average of the weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from onnxprune.distillation.options import DistillOptions
from onnxprune.schedule import warm_up_and_cosine


def learning_rate(options: DistillOptions, step: int, steps_per_epoch: int) -> float:
    """The learning rate of a step of the optimizer, counted from the first of all, with so many an epoch."""
    warm_up, total = options.warmup_epochs * steps_per_epoch, options.epochs * steps_per_epoch
    return warm_up_and_cosine(step, peak=options.peak, warm_up=warm_up, total=total)


def make_optimizer(module: nn.Module, options: DistillOptions) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum, or AdamW; weight decay on kernels and matrices only."""
    learning = [p for p in module.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in learning if p.ndim > 1], "weight_decay": options.decay},
        {"params": [p for p in learning if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if options.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=options.peak)
    nesterov = options.momentum > 0
    return torch.optim.SGD(groups, lr=options.peak, momentum=options.momentum, nesterov=nesterov)


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """In place."""
    for group in optimizer.param_groups:
        group["lr"] = lr


@dataclass
class Average:
    """Exponential moving average of all floating-point state of a module.

    The share of the old average rises from 0.1 to `decay`, so that the start is soon forgotten.
    """

    decay: float
    values: dict[str, Tensor]
    updates: int = 0

    @classmethod
    def of(cls, module: nn.Module, decay: float) -> "Average":
        return cls(decay, {name: value.detach().clone() for name, value in module.state_dict().items()})

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move towards the module's state, in place."""
        self.updates += 1
        weight = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        state = module.state_dict()
        moving = [name for name, value in self.values.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.values[n] for n in moving], [state[n] for n in moving], weight)
        for name in self.values.keys() - set(moving):
            self.values[name].copy_(state[name])


def first_not_finite(losses: Sequence[Tensor]) -> int | None:
    """Position of the first loss that is nan or infinite."""
    bad = (~torch.isfinite(torch.stack(list(losses)))).nonzero()
    return int(bad[0]) if len(bad) else None

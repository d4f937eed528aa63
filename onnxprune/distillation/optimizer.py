"""The optimizer, its learning rate, and the average of the weights."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from onnxprune.distillation.options import DistillOptions


def learning_rate(options: DistillOptions, step: int, steps_per_epoch: int) -> float:
    """The learning rate of a step: linear warm-up, then half a cosine down to 0.

    Args:
        options: Peak, warm-up and length.
        step: Counted from the first step of the first epoch.
        steps_per_epoch: Steps of the optimizer in an epoch.

    Reference: SGDR (arXiv 1608.03983), equation 5.
    """
    warmup = options.warmup_epochs * steps_per_epoch
    total = options.epochs * steps_per_epoch
    if step < warmup:
        return options.peak * min(1.0, (step + 1) / warmup)
    progress = (step - warmup) / max(1.0, total - warmup)
    return options.peak * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


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

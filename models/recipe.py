"""What decides the trained weights: SGD with Nesterov momentum, linear warm-up, cosine decay."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from onnxprune.schedule import warm_up_and_cosine


@dataclass(frozen=True)
class Recipe:
    """What decides the trained weights, beside the data."""

    network: str
    epochs: int = 64
    batch: int = 128
    lr: float = 0.1
    warmup_epochs: float = 3.0
    momentum: float = 0.9
    weight_decay: float = 5e-4  # not on biases and BatchNormalization
    seed: int = 0
    bf16: bool = True  # autocast; weights and optimizer stay float32


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """The learning rate of a step, counted from the first of the first epoch, with so many in each."""
    warm_up, total = recipe.warmup_epochs * steps_per_epoch, recipe.epochs * steps_per_epoch
    return warm_up_and_cosine(step, peak=recipe.lr, warm_up=warm_up, total=total)


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    """SGD over all parameters; weight decay on matrices and kernels only."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": others},
    ]
    return torch.optim.SGD(
        groups,
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=True,
    )

"""What decides the trained weights: SGD with Nesterov momentum, linear warm-up, cosine decay."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn


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
    """The learning rate of a step: linear warm-up, then half a cosine down to 0.

    Args:
        recipe: Gives the peak, the warm-up and the length.
        step: Counted from the first step of the first epoch.
        steps_per_epoch: Full batches in an epoch.

    Reference: SGDR (arXiv 1608.03983), equation 5.
    """
    warmup = recipe.warmup_epochs * steps_per_epoch
    total = recipe.epochs * steps_per_epoch
    if step < warmup:
        return recipe.lr * min(1.0, (step + 1) / warmup)
    progress = (step - warmup) / max(1.0, total - warmup)
    return recipe.lr * 0.5 * (1 + float(np.cos(np.pi * progress)))


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

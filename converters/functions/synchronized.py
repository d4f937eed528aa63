"""BatchNormalization over the rows of all processes of a data-parallel training."""

import torch
from torch import Tensor
from torch.distributed.nn.functional import all_reduce


def synchronized_norm(
    X: Tensor, scale: Tensor, B: Tensor, running: tuple[Tensor, Tensor], epsilon: float, keep: float
) -> Tensor:
    """By mean and variance of all processes' rows; updates the running statistics in place, alike in each.

    The variance comes from centred values in a second exchange: sums of squares would cancel.
    """
    mean, var = running
    shape = [-1, *[1] * (X.dim() - 2)]
    axes = [axis for axis in range(X.dim()) if axis != 1]
    wide = X.to(mean.dtype)
    rows = wide.new_full((1,), X.numel() // X.shape[1])
    *sums, total = all_reduce(torch.cat([wide.sum(axes), rows])).split([X.shape[1], 1])
    current = sums[0] / total  # (C,)
    centred = wide - current.reshape(shape)
    spread = all_reduce(centred.square().sum(axes)) / total
    with torch.no_grad():
        mean.mul_(keep).add_(current, alpha=1 - keep)
        var.mul_(keep).add_(spread * (total / (total - 1)), alpha=1 - keep)  # unbiased, as torch keeps it
    factor = (scale * torch.rsqrt(spread + epsilon)).reshape(shape)
    return (centred * factor + B.reshape(shape)).to(X.dtype)

"""Losses and steps of optimisers."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from onnxprune.converters.signature import Function
from onnxprune.converters.walking import Body

NO_CLASS = -100  # torch's number for "ignore none"


def negative_log_likelihood_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Log probabilities (N, C, ...), classes (N, ...), class weights (which torch's own holds fixed)."""
    target = target.to(torch.int64)
    ignored = NO_CLASS if ignore_index is None else ignore_index
    if weight is None:
        return F.nll_loss(input, target, ignore_index=ignored, reduction=reduction)
    counted = target != ignored
    target = torch.where(counted, target, 0)
    weights = weight[target] * counted
    losses = -input.gather(1, target.unsqueeze(1)).squeeze(1) * weights
    if reduction == "none":
        return losses
    return losses.sum() / weights.sum() if reduction == "mean" else losses.sum()


def softmax_cross_entropy_loss(
    scores: Tensor,
    labels: Tensor,
    weights: Tensor | None = None,
    *,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> tuple[Tensor, Tensor]:
    """The loss, and the log probabilities that it is made of."""
    log_prob = torch.log_softmax(scores, 1)
    loss = negative_log_likelihood_loss(
        log_prob, labels, weights, ignore_index=ignore_index, reduction=reduction
    )
    return loss, log_prob


def parted(inputs: tuple[Tensor, ...], parts: int) -> list[tuple[Tensor, ...]]:
    """All tensors to optimise, then all their gradients, ... -> for each tensor what belongs to it."""
    several = len(inputs) // parts
    return list(zip(*(inputs[i * several : (i + 1) * several] for i in range(parts)), strict=True))


def joined(results: Sequence[tuple[Tensor, ...]]) -> tuple[Any, ...]:
    """The way back from `parted`."""
    return tuple(value for values in zip(*results, strict=True) for value in values)


def adagrad(
    R: Tensor,
    T: Tensor,
    *inputs: Tensor,
    decay_factor: float = 0.0,
    epsilon: float = 1e-6,
    norm_coefficient: float = 0.0,
) -> tuple[Tensor, ...]:
    rate = R / (1 + T * decay_factor)
    results = []
    for X, G, H in parted(inputs, 3):
        slope = norm_coefficient * X + G
        squares = H + slope * slope
        results.append((X - rate * slope / (squares.sqrt() + epsilon), squares))
    return joined(results)


def adam(
    R: Tensor,
    T: Tensor,
    *inputs: Tensor,
    alpha: float = 0.9,
    beta: float = 0.999,
    epsilon: float = 1e-6,
    norm_coefficient: float = 0.0,
    norm_coefficient_post: float = 0.0,
) -> tuple[Tensor, ...]:
    step = torch.clamp(T, min=1)  # the rate of step 0 is R itself; no gradient may meet its 0 / 0
    rate = torch.where(T > 0, R * torch.sqrt(1 - beta**step) / (1 - alpha**step), R)
    results = []
    for X, G, V, H in parted(inputs, 4):
        slope = norm_coefficient * X + G
        mean = alpha * V + (1 - alpha) * slope
        squares = beta * H + (1 - beta) * slope * slope
        moved = X - rate * mean / (squares.sqrt() + epsilon)
        results.append(((1 - norm_coefficient_post) * moved, mean, squares))
    return joined(results)


def momentum(
    R: Tensor,
    T: Tensor,
    *inputs: Tensor,
    alpha: float,
    beta: float,
    mode: str,
    norm_coefficient: float,
) -> tuple[Tensor, ...]:
    share = torch.where(T > 0, beta, 1.0)
    results = []
    for X, G, V in parted(inputs, 3):
        slope = norm_coefficient * X + G
        velocity = alpha * V + share.to(X.dtype) * slope
        way = slope + alpha * velocity if mode == "nesterov" else velocity
        results.append((X - R * way, velocity))
    return joined(results)


def gradient(
    *Inputs: Tensor, xs: list[str], y: str, zs: list[str] | None = None, body: Body
) -> tuple[Tensor, ...]:
    """Of the body's output by its first inputs; those after them (`zs`) stay as they are."""
    with torch.enable_grad():
        leaves = [x.view_as(x) if x.requires_grad else x.detach().requires_grad_() for x in Inputs[: len(xs)]]
        (value,) = body(*leaves, *Inputs[len(xs) :])
        slopes = torch.autograd.grad(value.sum(), leaves, create_graph=True, materialize_grads=True)
    return slopes if torch.is_grad_enabled() else tuple(slope.detach() for slope in slopes)


OPERATORS: dict[str, dict[int, Function]] = {
    "NegativeLogLikelihoodLoss": {12: negative_log_likelihood_loss},
    "SoftmaxCrossEntropyLoss": {12: softmax_cross_entropy_loss},
    "ai.onnx.preview.training::Adagrad": {1: adagrad},
    "ai.onnx.preview.training::Adam": {1: adam},
    "ai.onnx.preview.training::Gradient": {1: gradient},
    "ai.onnx.preview.training::Momentum": {1: momentum},
}

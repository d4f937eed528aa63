"""Element by element."""

import torch
from torch import Tensor

from onnxprune.converters.signature import Function


def add(A: Tensor, B: Tensor) -> Tensor:
    return A + B


def mul(A: Tensor, B: Tensor) -> Tensor:
    return A * B


def relu(X: Tensor) -> Tensor:
    return torch.relu(X)


def reduce_mean(
    data: Tensor, axes: list[int] | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> Tensor:
    if not axes and noop_with_empty_axes:
        return data
    return data.mean(axes or tuple(range(data.dim())), keepdim=bool(keepdims))


OPERATORS: dict[str, dict[int, Function]] = {
    "Add": {7: add},
    "Mul": {7: mul},
    "ReduceMean": {1: reduce_mean},
    "Relu": {6: relu},
}

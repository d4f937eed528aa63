"""Activations."""

import torch
from torch import Tensor

from onnxprune.converters.signature import Function


def relu(X: Tensor) -> Tensor:
    return torch.relu(X)


OPERATORS: dict[str, dict[int, Function]] = {"Relu": {6: relu}}

"""Trigonometric and hyperbolic functions."""

import torch
from torch import Tensor

from onnxprune.converters.signature import Function


def acos(input: Tensor) -> Tensor:
    return torch.acos(input)


def acosh(input: Tensor) -> Tensor:
    return torch.acosh(input)


def asin(input: Tensor) -> Tensor:
    return torch.asin(input)


def asinh(input: Tensor) -> Tensor:
    return torch.asinh(input)


def atan(input: Tensor) -> Tensor:
    return torch.atan(input)


def atanh(input: Tensor) -> Tensor:
    return torch.atanh(input)


def cos(input: Tensor) -> Tensor:
    return torch.cos(input)


def cosh(input: Tensor) -> Tensor:
    return torch.cosh(input)


def sin(input: Tensor) -> Tensor:
    return torch.sin(input)


def sinh(input: Tensor) -> Tensor:
    return torch.sinh(input)


def tan(input: Tensor) -> Tensor:
    return torch.tan(input)


OPERATORS: dict[str, dict[int, Function]] = {
    "Acos": {7: acos},
    "Acosh": {9: acosh},
    "Asin": {7: asin},
    "Asinh": {9: asinh},
    "Atan": {7: atan},
    "Atanh": {9: atanh},
    "Cos": {7: cos},
    "Cosh": {9: cosh},
    "Sin": {7: sin},
    "Sinh": {9: sinh},
    "Tan": {7: tan},
}

"""Element by element."""

from torch import Tensor

from onnxprune.converters.signature import Function


def add(A: Tensor, B: Tensor) -> Tensor:
    return A + B


def mul(A: Tensor, B: Tensor) -> Tensor:
    return A * B


OPERATORS: dict[str, dict[int, Function]] = {"Add": {7: add}, "Mul": {7: mul}}

"""Arithmetic, element by element."""

from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from onnxprune.converters.signature import Function

Bound = float | Tensor | None  # a number where it is known without a tensor


def add(A: Tensor, B: Tensor) -> Tensor:
    return A + B


def sub(A: Tensor, B: Tensor) -> Tensor:
    return A - B


def mul(A: Tensor, B: Tensor) -> Tensor:
    return A * B


def div(A: Tensor, B: Tensor) -> Tensor:
    """Whole numbers are divided towards zero."""
    return A / B if A.is_floating_point() or A.is_complex() else torch.div(A, B, rounding_mode="trunc")


def pow_(X: Tensor, Y: Tensor) -> Tensor:
    """Of the base's type, whatever the exponent's is."""
    return torch.pow(X, Y).to(X.dtype)


def mod(A: Tensor, B: Tensor, *, fmod: int = 0) -> Tensor:
    """Of the divisor's sign; with fmod of the dividend's."""
    return torch.fmod(A, B) if fmod else torch.remainder(A, B)


def along_axis(B: Tensor, A: Tensor, axis: int | None, broadcast: int) -> Tensor:
    """B as opset 6 and before broadcast it: its axes are A's from `axis` on, by default the last."""
    if not broadcast or axis is None or B.dim() == 0:
        return B
    return B.reshape(*B.shape, *[1] * (A.dim() - axis % A.dim() - B.dim()))


def add_limited(
    A: Tensor,
    B: Tensor,
    *,
    axis: int | None = None,
    broadcast: int = 0,
    consumed_inputs: list[int] | None = None,
) -> Tensor:
    return A + along_axis(B, A, axis, broadcast)


def sub_limited(
    A: Tensor,
    B: Tensor,
    *,
    axis: int | None = None,
    broadcast: int = 0,
    consumed_inputs: list[int] | None = None,
) -> Tensor:
    return A - along_axis(B, A, axis, broadcast)


def mul_limited(
    A: Tensor,
    B: Tensor,
    *,
    axis: int | None = None,
    broadcast: int = 0,
    consumed_inputs: list[int] | None = None,
) -> Tensor:
    return A * along_axis(B, A, axis, broadcast)


def div_limited(
    A: Tensor,
    B: Tensor,
    *,
    axis: int | None = None,
    broadcast: int = 0,
    consumed_inputs: list[int] | None = None,
) -> Tensor:
    return div(A, along_axis(B, A, axis, broadcast))


def pow_limited(X: Tensor, Y: Tensor, *, axis: int | None = None, broadcast: int = 0) -> Tensor:
    return pow_(X, along_axis(Y, X, axis, broadcast))


def sum_(*data_0: Tensor) -> Tensor:
    return reduce(torch.add, data_0)


def mean(*data_0: Tensor) -> Tensor:
    return reduce(torch.add, data_0) / len(data_0)


def max_(*data_0: Tensor) -> Tensor:
    return reduce(torch.maximum, data_0)


def min_(*data_0: Tensor) -> Tensor:
    return reduce(torch.minimum, data_0)


def clip(input: Tensor, min: Bound = None, max: Bound = None) -> Tensor:
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        input = input if min is None else torch.clamp(input, min=scalar(min))
        return input if max is None else torch.clamp(input, max=scalar(max))
    if min is not None and max is not None and min <= max and input.is_floating_point():
        return F.hardtanh(input, min, max)  # as clamp, in half of its time
    return input if min is None and max is None else torch.clamp(input, min, max)


def scalar(bound: float | Tensor) -> Any:
    return bound.reshape(()) if isinstance(bound, Tensor) else bound


def where(condition: Tensor, X: Tensor, Y: Tensor) -> Tensor:
    return torch.where(condition, X, Y)


def abs_(X: Tensor) -> Tensor:
    return torch.abs(X)


def neg(X: Tensor) -> Tensor:
    return -X


def sign(input: Tensor) -> Tensor:
    return torch.sign(input)


def reciprocal(X: Tensor) -> Tensor:
    return torch.reciprocal(X)


def sqrt(X: Tensor) -> Tensor:
    return torch.sqrt(X)


def exp(input: Tensor) -> Tensor:
    return torch.exp(input)


def log(input: Tensor) -> Tensor:
    return torch.log(input)


def erf(input: Tensor) -> Tensor:
    return torch.erf(input)


def ceil(X: Tensor) -> Tensor:
    return torch.ceil(X)


def floor(X: Tensor) -> Tensor:
    return torch.floor(X)


def round_(X: Tensor) -> Tensor:
    """Halves to the even neighbour."""
    return torch.round(X)


OPERATORS: dict[str, dict[int, Function]] = {
    "Abs": {6: abs_},
    "Add": {1: add_limited, 7: add},
    "Ceil": {6: ceil},
    "Clip": {6: clip},
    "Div": {1: div_limited, 7: div},
    "Erf": {9: erf},
    "Exp": {6: exp},
    "Floor": {6: floor},
    "Log": {6: log},
    "Max": {6: max_},
    "Mean": {6: mean},
    "Min": {6: min_},
    "Mod": {10: mod},
    "Mul": {1: mul_limited, 7: mul},
    "Neg": {6: neg},
    "Pow": {1: pow_limited, 7: pow_},
    "Reciprocal": {6: reciprocal},
    "Round": {11: round_},
    "Sign": {9: sign},
    "Sqrt": {6: sqrt},
    "Sub": {1: sub_limited, 7: sub},
    "Sum": {6: sum_},
    "Where": {9: where},
}

"""Comparisons, logic and bits, element by element."""

import torch
from torch import Tensor

from onnxprune.converters.functions.elementwise import along_axis
from onnxprune.converters.signature import Function


def equal(A: Tensor, B: Tensor) -> Tensor:
    return A == B


def greater(A: Tensor, B: Tensor) -> Tensor:
    return A > B


def greater_or_equal(A: Tensor, B: Tensor) -> Tensor:
    return A >= B


def less(A: Tensor, B: Tensor) -> Tensor:
    return A < B


def less_or_equal(A: Tensor, B: Tensor) -> Tensor:
    return A <= B


def and_(A: Tensor, B: Tensor) -> Tensor:
    return A & B


def or_(A: Tensor, B: Tensor) -> Tensor:
    return A | B


def xor(A: Tensor, B: Tensor) -> Tensor:
    return A ^ B


def not_(X: Tensor) -> Tensor:
    return ~X


def equal_limited(A: Tensor, B: Tensor, *, axis: int | None = None, broadcast: int = 0) -> Tensor:
    return A.eq(along_axis(B, A, axis, broadcast))


def greater_limited(A: Tensor, B: Tensor, *, axis: int | None = None, broadcast: int = 0) -> Tensor:
    return A.gt(along_axis(B, A, axis, broadcast))


def less_limited(A: Tensor, B: Tensor, *, axis: int | None = None, broadcast: int = 0) -> Tensor:
    return A.lt(along_axis(B, A, axis, broadcast))


def and_limited(A: Tensor, B: Tensor, *, axis: int | None = None, broadcast: int = 0) -> Tensor:
    return A & along_axis(B, A, axis, broadcast)


def or_limited(A: Tensor, B: Tensor, *, axis: int | None = None, broadcast: int = 0) -> Tensor:
    return A | along_axis(B, A, axis, broadcast)


def xor_limited(A: Tensor, B: Tensor, *, axis: int | None = None, broadcast: int = 0) -> Tensor:
    return A ^ along_axis(B, A, axis, broadcast)


def is_nan(X: Tensor) -> Tensor:
    return torch.isnan(X)


def is_inf(X: Tensor, *, detect_negative: int = 1, detect_positive: int = 1) -> Tensor:
    if detect_negative and detect_positive:
        return torch.isinf(X)
    if detect_negative:
        return torch.isneginf(X)
    return torch.isposinf(X) if detect_positive else torch.zeros_like(X, dtype=torch.bool)


def bit_shift(X: Tensor, Y: Tensor, *, direction: str) -> Tensor:
    """Shifts by the number of bits and more, or by less than none, leave the sign's bits alone."""
    bits = X.element_size() * 8
    outside = Y.lt(0) | Y.ge(bits)
    if direction == "LEFT":
        return torch.where(outside, 0, X << torch.where(outside, 0, Y))
    sign = torch.where(X < 0, -1, 0).to(X.dtype)
    return torch.where(outside, sign, X >> torch.where(outside, 0, Y))


OPERATORS: dict[str, dict[int, Function]] = {
    "And": {1: and_limited, 7: and_},
    "BitShift": {11: bit_shift},
    "BitwiseAnd": {18: and_},
    "BitwiseNot": {18: not_},
    "BitwiseOr": {18: or_},
    "BitwiseXor": {18: xor},
    "Equal": {1: equal_limited, 7: equal},
    "Greater": {1: greater_limited, 7: greater},
    "GreaterOrEqual": {12: greater_or_equal},
    "IsInf": {10: is_inf},
    "IsNaN": {9: is_nan},
    "Less": {1: less_limited, 7: less},
    "LessOrEqual": {12: less_or_equal},
    "Not": {1: not_},
    "Or": {1: or_limited, 7: or_},
    "Xor": {1: xor_limited, 7: xor},
}

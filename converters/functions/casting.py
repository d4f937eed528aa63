"""Element types. Those that torch cannot compute with never come here (functions/reference.py)."""

from typing import Any

from torch import Tensor

from onnxprune.converters.signature import Function
from onnxprune.converters.types import TORCH_TYPES


def cast(input: Tensor, *, to: int, saturate: int = 1, round_mode: str = "up") -> Tensor:
    """`saturate` and `round_mode` say something of the 8-bit floats only."""
    return input.to(TORCH_TYPES[to])


def cast_like(input: Tensor, target_type: Any, *, saturate: int = 1, round_mode: str = "up") -> Tensor:
    return input.to(target_type.dtype)


def bit_cast(input: Tensor, *, to: int) -> Tensor:
    return input.view(TORCH_TYPES[to])


OPERATORS: dict[str, dict[int, Function]] = {
    "BitCast": {26: bit_cast},
    "Cast": {6: cast},
    "CastLike": {15: cast_like},
}

"""Number formats that quantisation rounds to, computed with in floats."""

from dataclasses import dataclass

import torch
from onnx import TensorProto
from torch import Tensor


@dataclass(frozen=True)
class Whole:
    """Whole numbers from `lowest` to `highest`."""

    lowest: int
    highest: int

    def rounded(self, value: Tensor) -> Tensor:
        return value.round()


@dataclass(frozen=True)
class Minifloat:
    """Floats with `mantissa` stored bits, an exponent of at least `smallest`, up to `highest`."""

    mantissa: int
    smallest: int
    highest: float

    @property
    def lowest(self) -> float:
        return -self.highest

    def rounded(self, value: Tensor) -> Tensor:
        """To the nearest, ties to even."""
        exponent = torch.frexp(value.detach()).exponent - 1  # of the leading bit
        quantum = torch.ldexp(torch.ones_like(value), exponent.clamp(min=self.smallest) - self.mantissa)
        return (value / quantum).round() * quantum


Format = Whole | Minifloat
BITS = {"INT2": 2, "INT4": 4, "INT8": 8, "INT16": 16, "INT32": 32}
MINIFLOATS = {
    "FLOAT8E4M3FN": Minifloat(3, -6, 448.0),
    "FLOAT8E4M3FNUZ": Minifloat(3, -7, 240.0),
    "FLOAT8E5M2": Minifloat(2, -14, 57344.0),
    "FLOAT8E5M2FNUZ": Minifloat(2, -15, 57344.0),
    "FLOAT6E2M3": Minifloat(3, 0, 7.5),
    "FLOAT6E3M2": Minifloat(2, -2, 28.0),
    "FLOAT4E2M1": Minifloat(1, 0, 6.0),
}
BY_NAME: dict[str, Format] = {
    **{name: Whole(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for name, bits in BITS.items()},
    **{f"U{name}": Whole(0, 2**bits - 1) for name, bits in BITS.items() if bits <= 16},
    **MINIFLOATS,
}
FORMATS: dict[int, Format] = {  # of the types that the installed onnx knows
    getattr(TensorProto, name): format_ for name, format_ in BY_NAME.items() if hasattr(TensorProto, name)
}


def fitted(value: Tensor, format_: Format) -> Tensor:
    """The nearest number of a format; gradients pass as if unrounded, but not where it is clipped."""
    value = value.clamp(format_.lowest, format_.highest)
    return value + (format_.rounded(value) - value).detach()

"""Quantised numbers.

A quantised tensor that only DequantizeLinear reads is *carried* as floats that hold the same numbers
(converters/carrying.py): rounding then lets gradients pass (a straight-through estimator), and torch need not
know the type. Any other is a tensor of its type.
"""

from typing import Any

import torch
from torch import Tensor

from onnxprune.converters.formats import FORMATS, Whole, fitted
from onnxprune.converters.functions.convolution import CONVOLUTIONS
from onnxprune.converters.functions.windows import amounts, padding
from onnxprune.converters.signature import Function
from onnxprune.converters.types import TORCH_TYPES

RANGES = {torch.uint8: (0, 255), torch.int8: (-128, 127), torch.int16: (-32768, 32767)}


def quantize_linear(
    x: Tensor,
    y_scale: Tensor,
    y_zero_point: Any = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
    precision: int = 0,
    saturate: int = 1,
    _carried: int,
) -> Tensor:
    """round(x / scale) + zero point, clipped; one scale for all, or for each index or block of the axis."""
    scale = along(y_scale, x, axis, block_size)
    if precision:
        x, scale = x.to(TORCH_TYPES[precision]), scale.to(TORCH_TYPES[precision])
    y = x / scale
    y = y if y.dtype == torch.float64 else y.float()
    zero = None if y_zero_point is None else along(float_of(y_zero_point, y), x, axis, block_size)
    if _carried:
        return fitted_around(y, zero, _carried)
    dtype = y_zero_point.dtype if y_zero_point is not None else TORCH_TYPES.get(output_dtype, torch.uint8)
    y = y.round() if zero is None else y.round() + zero
    return y.clamp(*RANGES[dtype]).to(dtype)


def fitted_around(y: Tensor, zero: Tensor | None, elem_type: int) -> Tensor:
    """A number of the format, with the zero point added after rounding, as ONNX has it for whole numbers."""
    format_ = FORMATS[elem_type]
    if zero is None or not isinstance(format_, Whole):
        return fitted(y, format_)
    zero = zero + (zero.round() - zero).detach()
    y = torch.clamp(y, format_.lowest - zero, format_.highest - zero)
    return y + (y.round() - y).detach() + zero


def dequantize_linear(
    x: Tensor,
    x_scale: Tensor,
    x_zero_point: Any = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
    _master: int,
) -> Tensor:
    """(x - zero point) * scale."""
    wide = x if x.is_floating_point() else x.float()
    if _master:
        wide = fitted(wide, FORMATS[_master])
    if x_zero_point is not None:
        zero = along(float_of(x_zero_point, wide), x, axis, block_size)
        wide = wide - (zero + (zero.round() - zero).detach())
    dtype = TORCH_TYPES[output_dtype] if output_dtype else x_scale.dtype
    return (wide * along(x_scale, x, axis, block_size)).to(dtype)


def float_of(value: Any, like: Tensor) -> Tensor:
    """A zero point as a tensor of `like`'s type; numpy holds those that torch has no type for."""
    tensor = value if isinstance(value, Tensor) else torch.from_numpy(value.astype("float32"))
    return tensor.to(like.device, like.dtype)


def along(parameter: Tensor, x: Tensor, axis: int, block_size: int) -> Tensor:
    """A scale or zero point as x broadcasts with it."""
    if parameter.dim() == 0 or parameter.numel() == 1:
        return parameter.reshape([])
    axis = axis % x.dim()
    if block_size:
        return parameter.repeat_interleave(block_size, axis).narrow(axis, 0, x.shape[axis])
    if parameter.dim() == 1:
        return parameter.reshape([-1] + [1] * (x.dim() - 1 - axis))
    return parameter


def dynamic_quantize_linear(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    highest, lowest = x.max().clamp(min=0), x.min().clamp(max=0)
    span = torch.where(highest == lowest, torch.ones_like(highest), highest - lowest)
    scale = span / 255
    zero = (0 - lowest / scale).clamp(0, 255).round()
    y = ((x / scale).round() + zero).clamp(0, 255)
    return y.to(torch.uint8), scale, zero.to(torch.uint8)


# --- products of whole numbers: in float64, which holds them exactly on every device ----------------------


def shifted(value: Tensor, zero_point: Tensor | None, axis: int | None = None) -> Tensor:
    """Less the zero point; a zero point for each index of the axis, if it is a list."""
    wide = value.double()
    if zero_point is None:
        return wide
    if axis is not None and zero_point.numel() > 1 and zero_point.dim() == 1:
        zero_point = zero_point.reshape([-1] + [1] * (value.dim() - 1 - axis % value.dim()))
    return wide - (zero_point.reshape([]) if zero_point.numel() == 1 else zero_point).double()


def matmul_integer(
    A: Tensor, B: Tensor, a_zero_point: Tensor | None = None, b_zero_point: Tensor | None = None
) -> Tensor:
    product = shifted(A, a_zero_point, -2 if A.dim() > 1 else None) @ shifted(B, b_zero_point)
    return product.to(torch.int32)


def convolved(
    x: Tensor,
    w: Tensor,
    *,
    auto_pad: str,
    dilations: list[int] | None,
    group: int,
    pads: list[int] | None,
    strides: list[int] | None,
) -> Tensor:
    rank = x.dim() - 2
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    begins, ends = padding(x.shape[2:], w.shape[2:], strides, dilations, auto_pad=auto_pad, pads=pads)
    x = torch.nn.functional.pad(x, amounts(begins, ends))
    result: Tensor = CONVOLUTIONS[rank](x, w, None, strides, [0] * rank, dilations, group)
    return result


def conv_integer(
    x: Tensor,
    w: Tensor,
    x_zero_point: Tensor | None = None,
    w_zero_point: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: list[int] | None = None,
    group: int = 1,
    kernel_shape: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:
    x, w = shifted(x, x_zero_point), shifted(w, w_zero_point, 0)
    y = convolved(x, w, auto_pad=auto_pad, dilations=dilations, group=group, pads=pads, strides=strides)
    return y.to(torch.int32)


def requantized(wide: Tensor, multiplier: Tensor, zero_point: Tensor) -> Tensor:
    y = ((wide.to(multiplier.dtype) * multiplier).round() + zero_point).clamp(*RANGES[zero_point.dtype])
    return y.to(zero_point.dtype)


def qlinear_matmul(
    a: Tensor,
    a_scale: Tensor,
    a_zero_point: Tensor,
    b: Tensor,
    b_scale: Tensor,
    b_zero_point: Tensor,
    y_scale: Tensor,
    y_zero_point: Tensor,
) -> Tensor:
    rows = a_scale[:, None] if a_scale.dim() == 1 and a_scale.numel() > 1 else a_scale
    product = shifted(a, a_zero_point, -2 if a.dim() > 1 else None) @ shifted(b, b_zero_point)
    shape = product.shape  # scales of one element must not add an axis
    return requantized(product, (rows.float() * b_scale.float() / y_scale.float()), y_zero_point).reshape(
        shape
    )


def qlinear_conv(
    x: Tensor,
    x_scale: Tensor,
    x_zero_point: Tensor,
    w: Tensor,
    w_scale: Tensor,
    w_zero_point: Tensor,
    y_scale: Tensor,
    y_zero_point: Tensor,
    B: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: list[int] | None = None,
    group: int = 1,
    kernel_shape: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:
    x, w = shifted(x, x_zero_point), shifted(w, w_zero_point, 0)
    y = convolved(x, w, auto_pad=auto_pad, dilations=dilations, group=group, pads=pads, strides=strides)
    per_channel = [-1] + [1] * (x.dim() - 2)
    y = y if B is None else y + B.reshape(per_channel)
    multiplier = x_scale.reshape([]) * w_scale.reshape(per_channel) / y_scale.reshape([])
    return requantized(y, multiplier, y_zero_point.reshape([]))


OPERATORS: dict[str, dict[int, Function]] = {
    "ConvInteger": {10: conv_integer},
    "DequantizeLinear": {10: dequantize_linear},
    "DynamicQuantizeLinear": {11: dynamic_quantize_linear},
    "MatMulInteger": {10: matmul_integer},
    "QLinearConv": {10: qlinear_conv},
    "QLinearMatMul": {10: qlinear_matmul},
    "QuantizeLinear": {10: quantize_linear},
    "com.microsoft::DequantizeLinear": {1: dequantize_linear},
    "com.microsoft::QuantizeLinear": {1: quantize_linear},
}

"""ONNX Runtime's operators on quantised numbers: dequantised, computed in floats, quantised again."""

import torch
from torch import Tensor

from onnxprune.converters.functions.pooling import average_pool
from onnxprune.converters.functions.quantization import RANGES, qlinear_conv, shifted
from onnxprune.converters.signature import Function


def real(value: Tensor, scale: Tensor, zero_point: Tensor | None) -> Tensor:
    return shifted(value, zero_point).float() * scale.reshape([])


def quantised(value: Tensor, scale: Tensor, zero_point: Tensor | None, dtype: torch.dtype) -> Tensor:
    whole = (value / scale.reshape([])).round()
    whole = whole if zero_point is None else whole + zero_point.reshape([])
    return whole.clamp(*RANGES[dtype]).to(dtype)


def qlinear_add(
    A: Tensor,
    A_scale: Tensor,
    A_zero_point: Tensor | None,
    B: Tensor,
    B_scale: Tensor,
    B_zero_point: Tensor | None,
    C_scale: Tensor,
    C_zero_point: Tensor | None = None,
) -> Tensor:
    total = real(A, A_scale, A_zero_point) + real(B, B_scale, B_zero_point)
    return quantised(total, C_scale, C_zero_point, A.dtype)


def qlinear_mul(
    A: Tensor,
    A_scale: Tensor,
    A_zero_point: Tensor | None,
    B: Tensor,
    B_scale: Tensor,
    B_zero_point: Tensor | None,
    C_scale: Tensor,
    C_zero_point: Tensor | None = None,
) -> Tensor:
    product = real(A, A_scale, A_zero_point) * real(B, B_scale, B_zero_point)
    return quantised(product, C_scale, C_zero_point, A.dtype)


def qlinear_sigmoid(
    X: Tensor,
    X_scale: Tensor,
    X_zero_point: Tensor | None,
    Y_scale: Tensor,
    Y_zero_point: Tensor | None = None,
) -> Tensor:
    return quantised(real(X, X_scale, X_zero_point).sigmoid(), Y_scale, Y_zero_point, X.dtype)


def qlinear_leaky_relu(
    X: Tensor,
    X_scale: Tensor,
    X_zero_point: Tensor | None,
    Y_scale: Tensor,
    Y_zero_point: Tensor | None = None,
    *,
    alpha: float = 0.01,
) -> Tensor:
    Y = torch.nn.functional.leaky_relu(real(X, X_scale, X_zero_point), alpha)
    return quantised(Y, Y_scale, Y_zero_point, X.dtype)


def qlinear_softmax(
    X: Tensor,
    X_scale: Tensor,
    x_zero_point: Tensor | None,
    y_scale: Tensor,
    y_zero_point: Tensor,
    *,
    axis: int = -1,
    opset: int,
) -> Tensor:
    """Before opset 13 over all axes from `axis` on."""
    x = real(X, X_scale, x_zero_point)
    y = x.softmax(axis) if opset >= 13 else x.flatten(axis).softmax(-1).reshape(x.shape)
    return quantised(y, y_scale, y_zero_point, X.dtype)


def qlinear_concat(Y_scale: Tensor, Y_zero_point: Tensor, *inputs: Tensor, axis: int) -> Tensor:
    """Inputs in threes: numbers, scale, zero point."""
    parts = [real(*inputs[i : i + 3]) for i in range(0, len(inputs), 3)]
    return quantised(torch.cat(parts, axis), Y_scale, Y_zero_point, Y_zero_point.dtype)


def qlinear_where(
    condition: Tensor,
    X: Tensor,
    x_scale: Tensor,
    x_zero_point: Tensor,
    Y: Tensor,
    y_scale: Tensor,
    y_zero_point: Tensor,
    z_scale: Tensor,
    z_zero_point: Tensor,
) -> Tensor:
    z = torch.where(condition, real(X, x_scale, x_zero_point), real(Y, y_scale, y_zero_point))
    return quantised(z, z_scale, z_zero_point, X.dtype)


def qlinear_reduce_mean(
    data: Tensor,
    data_scale: Tensor,
    data_zero_point: Tensor | None,
    reduced_scale: Tensor,
    reduced_zero_point: Tensor | None = None,
    *,
    axes: list[int],
    keepdims: int = 1,
) -> Tensor:
    mean = real(data, data_scale, data_zero_point).mean(axes, keepdim=bool(keepdims))
    return quantised(mean, reduced_scale, reduced_zero_point, data.dtype)


def qlinear_global_average_pool(
    X: Tensor,
    x_scale: Tensor,
    x_zero_point: Tensor,
    y_scale: Tensor,
    y_zero_point: Tensor,
    *,
    channels_last: int = 0,
) -> Tensor:
    axes = list(range(1, X.dim() - 1)) if channels_last else list(range(2, X.dim()))
    mean = real(X, x_scale, x_zero_point).mean(axes, keepdim=True)
    return quantised(mean, y_scale, y_zero_point, X.dtype)


def qlinear_average_pool(
    X: Tensor,
    x_scale: Tensor,
    x_zero_point: Tensor | None,
    y_scale: Tensor,
    y_zero_point: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    channels_last: int = 0,
    count_include_pad: int = 0,
    kernel_shape: list[int],
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:
    x = real(X, x_scale, x_zero_point)
    y = average_pool(
        x.movedim(-1, 1) if channels_last else x,
        auto_pad=auto_pad,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        kernel_shape=kernel_shape,
        pads=pads,
        strides=strides,
    )
    return quantised(y.movedim(1, -1) if channels_last else y, y_scale, y_zero_point, X.dtype)


def qlinear_conv_of_channels(
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
    channels_last: int = 0,
    dilations: list[int] | None = None,
    group: int = 1,
    kernel_shape: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:
    """The operator of ONNX, with the channels before or behind the extents."""
    x = x.movedim(-1, 1) if channels_last else x
    inputs = (x, x_scale, x_zero_point, w, w_scale, w_zero_point, y_scale, y_zero_point, B)
    y = qlinear_conv(*inputs, auto_pad=auto_pad, dilations=dilations, group=group, pads=pads, strides=strides)
    return y.movedim(1, -1) if channels_last else y


def qgemm(
    A: Tensor,
    a_scale: Tensor,
    a_zero_point: Tensor,
    B: Tensor,
    b_scale: Tensor,
    b_zero_point: Tensor,
    C: Tensor | None = None,
    y_scale: Tensor | None = None,
    y_zero_point: Tensor | None = None,
    *,
    alpha: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Tensor:
    """C is in units of alpha * a_scale * b_scale; without y_scale the result is in floats."""
    a, b = shifted(A, a_zero_point), shifted(B, b_zero_point, 0 if transB else None)
    product = (a.T if transA else a) @ (b.T if transB else b)
    product = product if C is None else product + C
    y = product.float() * (alpha * a_scale.reshape([]) * b_scale)
    if y_scale is None:
        return y
    return quantised(y, y_scale, y_zero_point, A.dtype if y_zero_point is None else y_zero_point.dtype)


def dynamic_quantize_matmul(
    A: Tensor,
    B: Tensor,
    b_scale: Tensor,
    b_zero_point: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """A in floats, quantised here to 8 bits."""
    highest, lowest = A.amax().clamp(min=0), A.amin().clamp(max=0)
    scale = torch.where(highest == lowest, torch.ones_like(highest), highest - lowest) / 255
    zero = (-lowest / scale).clamp(0, 255).round()
    whole = ((A / scale).round() + zero).clamp(0, 255) - zero
    y = (whole.double() @ shifted(B, b_zero_point)).float() * (scale * b_scale)
    return y if bias is None else y + bias


def matmul_integer_to_float(
    A: Tensor,
    B: Tensor,
    a_scale: Tensor,
    b_scale: Tensor,
    a_zero_point: Tensor | None = None,
    b_zero_point: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    rows = a_scale[:, None] if a_scale.numel() > 1 and a_scale.dim() == 1 else a_scale.reshape([])
    product = shifted(A, a_zero_point, -2) @ shifted(B, b_zero_point)
    y = product.to(a_scale.dtype) * (rows * b_scale)
    return y if bias is None else y + bias


def matmul_n_bits(
    A: Tensor,
    B: Tensor,
    scales: Tensor,
    zero_points: Tensor | None = None,
    g_idx: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    K: int,
    N: int,
    accuracy_level: int = 0,
    bits: int = 4,
    block_size: int,
) -> Tensor:
    """B (N, blocks, block_size * bits / 8) is packed, low bits first; each block of a row has a scale."""
    blocks = -(-K // block_size)
    whole = unpacked(B.reshape(N, -1), bits)[:, : blocks * block_size].reshape(N, blocks, block_size)
    zero: Tensor | int = 2 ** (bits - 1)
    if zero_points is not None:
        packed = zero_points.dtype == torch.uint8
        zero = unpacked(zero_points.reshape(N, -1), bits)[:, :blocks] if packed else zero_points
        zero = zero.reshape(N, blocks, 1)
    scale = scales.reshape(N, blocks, 1)
    if g_idx is not None:
        order = g_idx[:K].long()  # the block of each column
        columns = whole.reshape(N, -1)[:, :K]
        shift = zero.reshape(N, blocks)[:, order] if isinstance(zero, Tensor) else zero
        weight = (columns - shift).to(scales.dtype) * scale.reshape(N, blocks)[:, order]
    else:
        weight = ((whole - zero).to(scales.dtype) * scale).reshape(N, -1)[:, :K]
    y = A @ weight.to(A.dtype).T
    return y if bias is None else y + bias


def unpacked(packed: Tensor, bits: int) -> Tensor:
    """Numbers of 2, 4 or 8 bits from bytes (N, bytes) -> (N, bytes * 8 / bits)."""
    shifts = torch.arange(0, 8, bits, device=packed.device, dtype=torch.uint8)
    parts = (packed[..., None] >> shifts) & (2**bits - 1)
    return parts.reshape(packed.shape[0], -1).to(torch.int32)


OPERATORS: dict[str, dict[int, Function]] = {
    "com.microsoft::DynamicQuantizeMatMul": {1: dynamic_quantize_matmul},
    "com.microsoft::MatMulIntegerToFloat": {1: matmul_integer_to_float},
    "com.microsoft::MatMulNBits": {1: matmul_n_bits},
    "com.microsoft::QGemm": {1: qgemm},
    "com.microsoft::QLinearAdd": {1: qlinear_add},
    "com.microsoft::QLinearAveragePool": {1: qlinear_average_pool},
    "com.microsoft::QLinearConcat": {1: qlinear_concat},
    "com.microsoft::QLinearConv": {1: qlinear_conv_of_channels},
    "com.microsoft::QLinearGlobalAveragePool": {1: qlinear_global_average_pool},
    "com.microsoft::QLinearLeakyRelu": {1: qlinear_leaky_relu},
    "com.microsoft::QLinearMul": {1: qlinear_mul},
    "com.microsoft::QLinearReduceMean": {1: qlinear_reduce_mean},
    "com.microsoft::QLinearSigmoid": {1: qlinear_sigmoid},
    "com.microsoft::QLinearSoftmax": {1: qlinear_softmax},
    "com.microsoft::QLinearWhere": {1: qlinear_where},
}

"""Sums, means and extremes over axes."""

import torch
from torch import Tensor

from onnxprune.converters.signature import Function


def reduced_axes(data: Tensor, axes: list[int] | None, noop_with_empty_axes: int) -> list[int]:
    """No axes mean all, or none at all. Of none, what is done to each element remains."""
    return list(axes) if axes else [] if noop_with_empty_axes else list(range(data.dim()))


def total(data: Tensor, axes: list[int], keepdims: int) -> Tensor:
    return data.sum(axes, bool(keepdims), dtype=data.dtype) if axes else data


def reduce_sum(
    data: Tensor, axes: list[int] | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> Tensor:
    return total(data, reduced_axes(data, axes, noop_with_empty_axes), keepdims)


def reduce_mean(
    data: Tensor, axes: list[int] | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> Tensor:
    axes = reduced_axes(data, axes, noop_with_empty_axes)
    if not axes:
        return data
    if data.is_floating_point():
        return data.mean(axes, bool(keepdims))
    return data.double().mean(axes, bool(keepdims)).to(data.dtype)


def reduce_sum_square(
    data: Tensor, axes: list[int] | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> Tensor:
    return total(data * data, reduced_axes(data, axes, noop_with_empty_axes), keepdims)


def reduce_l1(
    data: Tensor, axes: list[int] | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> Tensor:
    return total(data.abs(), reduced_axes(data, axes, noop_with_empty_axes), keepdims)


def reduce_l2(
    data: Tensor, axes: list[int] | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> Tensor:
    axes = reduced_axes(data, axes, noop_with_empty_axes)
    if not axes:
        return data.abs()
    number = data if data.is_floating_point() else data.double()
    return torch.linalg.vector_norm(number, 2, axes, bool(keepdims)).to(data.dtype)


def reduce_log_sum(
    data: Tensor, axes: list[int] | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> Tensor:
    return torch.log(total(data, reduced_axes(data, axes, noop_with_empty_axes), keepdims)).to(data.dtype)


def reduce_log_sum_exp(
    data: Tensor, axes: list[int] | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> Tensor:
    axes = reduced_axes(data, axes, noop_with_empty_axes)
    return torch.logsumexp(data, axes, bool(keepdims)).to(data.dtype) if axes else data


def reduce_prod(
    data: Tensor, axes: list[int] | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> Tensor:
    dtype = data.dtype
    for axis in sorted(
        (a % data.dim() for a in reduced_axes(data, axes, noop_with_empty_axes)), reverse=True
    ):
        data = data.prod(axis, bool(keepdims), dtype=dtype)
    return data


def reduce_max(
    data: Tensor, axes: list[int] | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> Tensor:
    axes = reduced_axes(data, axes, noop_with_empty_axes)
    if not data.numel():
        return of_nothing(data, axes, keepdims, lowest(data.dtype))
    return data.amax(axes, bool(keepdims)) if axes else data


def reduce_min(
    data: Tensor, axes: list[int] | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> Tensor:
    axes = reduced_axes(data, axes, noop_with_empty_axes)
    if not data.numel():
        return of_nothing(data, axes, keepdims, highest(data.dtype))
    return data.amin(axes, bool(keepdims)) if axes else data


def of_nothing(data: Tensor, axes: list[int], keepdims: int, value: float) -> Tensor:
    """What reducing a tensor without elements gives."""
    gone = {axis % data.dim() for axis in axes}
    shape = [1 if i in gone else n for i, n in enumerate(data.shape) if keepdims or i not in gone]
    return torch.full(shape, value, dtype=data.dtype, device=data.device)


def lowest(dtype: torch.dtype) -> float:
    if dtype == torch.bool:
        return False
    return -float("inf") if dtype.is_floating_point else torch.iinfo(dtype).min


def highest(dtype: torch.dtype) -> float:
    if dtype == torch.bool:
        return True
    return float("inf") if dtype.is_floating_point else torch.iinfo(dtype).max


def arg_max(data: Tensor, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
    if select_last_index:
        return data.shape[axis] - 1 - data.flip(axis).argmax(axis, bool(keepdims))
    return data.argmax(axis, bool(keepdims))


def arg_min(data: Tensor, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
    if select_last_index:
        return data.shape[axis] - 1 - data.flip(axis).argmin(axis, bool(keepdims))
    return data.argmin(axis, bool(keepdims))


def cum_sum(x: Tensor, axis: int, *, exclusive: int = 0, reverse: int = 0) -> Tensor:
    x = x.flip(axis) if reverse else x
    x = shifted(x, axis, 0) if exclusive else x
    sums = x.cumsum(axis, dtype=x.dtype)
    return sums.flip(axis) if reverse else sums


def cum_prod(x: Tensor, axis: int, *, exclusive: int = 0, reverse: int = 0) -> Tensor:
    x = x.flip(axis) if reverse else x
    x = shifted(x, axis, 1) if exclusive else x
    products = x.cumprod(axis, dtype=x.dtype)
    return products.flip(axis) if reverse else products


def shifted(x: Tensor, axis: int, first: int) -> Tensor:
    """One place further along an axis, behind a first element."""
    if not x.shape[axis]:
        return x
    return torch.cat(
        [torch.full_like(x.narrow(axis, 0, 1), first), x.narrow(axis, 0, x.shape[axis] - 1)], axis
    )


OPERATORS: dict[str, dict[int, Function]] = {
    "ArgMax": {1: arg_max},
    "ArgMin": {1: arg_min},
    "CumProd": {26: cum_prod},
    "CumSum": {11: cum_sum},
    "ReduceL1": {1: reduce_l1},
    "ReduceL2": {1: reduce_l2},
    "ReduceLogSum": {1: reduce_log_sum},
    "ReduceLogSumExp": {1: reduce_log_sum_exp},
    "ReduceMax": {1: reduce_max},
    "ReduceMean": {1: reduce_mean},
    "ReduceMin": {1: reduce_min},
    "ReduceProd": {1: reduce_prod},
    "ReduceSum": {1: reduce_sum},
    "ReduceSumSquare": {1: reduce_sum_square},
}

"""Sums, means and extremes over axes."""

from torch import Tensor

from onnxprune.converters.signature import Function


def reduce_mean(
    data: Tensor, axes: list[int] | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> Tensor:
    if not axes and noop_with_empty_axes:
        return data
    return data.mean(axes or tuple(range(data.dim())), keepdim=bool(keepdims))


OPERATORS: dict[str, dict[int, Function]] = {"ReduceMean": {1: reduce_mean}}

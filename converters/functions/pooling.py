"""Pooling."""

from torch import Tensor

from onnxprune.converters.signature import Function


def global_average_pool(X: Tensor) -> Tensor:
    return X.mean(tuple(range(2, X.dim())), keepdim=True)


OPERATORS: dict[str, dict[int, Function]] = {"GlobalAveragePool": {1: global_average_pool}}

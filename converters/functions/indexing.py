"""Gathering, scattering and selecting."""

import torch
from torch import Tensor

from onnxprune.converters.signature import Function

REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


def wrapped(indices: Tensor, extent: int) -> Tensor:
    """Indices below zero count from the end."""
    return torch.where(indices < 0, indices + extent, indices)


def gather(data: Tensor, indices: int | Tensor, *, axis: int = 0) -> Tensor:
    axis = axis % data.dim()
    if not isinstance(indices, Tensor):
        return data.select(axis, indices)
    shape = (*data.shape[:axis], *indices.shape, *data.shape[axis + 1 :])
    return data.index_select(axis, wrapped(indices, data.shape[axis]).reshape(-1)).reshape(shape)


def gather_elements(data: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    return torch.gather(data, axis, wrapped(indices, data.shape[axis]).long())


def gather_nd(data: Tensor, indices: Tensor, *, batch_dims: int = 0) -> Tensor:
    rank = indices.dim() - 1
    batches = [
        torch.arange(indices.shape[axis], device=data.device).reshape([-1] + [1] * (rank - 1 - axis))
        for axis in range(batch_dims)
    ]
    return data[(*batches, *indices.long().unbind(-1))]


def scatter_elements(
    data: Tensor, indices: Tensor, updates: Tensor, *, axis: int = 0, reduction: str = "none"
) -> Tensor:
    indices = wrapped(indices, data.shape[axis]).long()
    if reduction == "none":
        return data.scatter(axis, indices, updates)
    return data.scatter_reduce(axis, indices, updates, REDUCTIONS[reduction], include_self=True)


def scatter_nd(data: Tensor, indices: Tensor, updates: Tensor, *, reduction: str = "none") -> Tensor:
    """`indices` (..., k) says where in the first k axes each part of `updates` goes."""
    parts = indices.long().unbind(-1)
    if reduction in ("none", "add"):
        return data.index_put(parts, updates, accumulate=reduction == "add")
    places = torch.zeros_like(parts[0])
    for index, extent in zip(parts, data.shape, strict=False):
        places = places * extent + wrapped(index, extent)
    rows = data.reshape(torch.Size(data.shape[: len(parts)]).numel(), -1)
    new = updates.reshape(places.numel(), -1)
    index = places.reshape(-1, 1).expand(new.shape)
    return rows.scatter_reduce(0, index, new, REDUCTIONS[reduction], include_self=True).reshape(data.shape)


def tensor_scatter(
    past_cache: Tensor,
    update: Tensor,
    write_indices: Tensor | None = None,
    *,
    axis: int = -2,
    mode: str = "linear",
) -> Tensor:
    """The update's steps in place of the cache's, from an index of each batch entry on."""
    axis = axis % past_cache.dim()
    steps = torch.arange(update.shape[axis], device=update.device)
    starts = write_indices if write_indices is not None else steps.new_zeros(update.shape[0])
    places = starts.long()[:, None] + steps  # (batch, steps)
    if mode == "circular":
        places = places.remainder(past_cache.shape[axis])
    shape = [1] * update.dim()
    shape[0], shape[axis] = places.shape
    return past_cache.scatter(axis, places.reshape(shape).expand(update.shape), update)


def nonzero(X: Tensor) -> Tensor:
    return torch.nonzero(X).T


def top_k(
    X: Tensor,
    K: int | None = None,
    *,
    k: int | None = None,
    axis: int = -1,
    largest: int = 1,
    sorted: int = 1,
) -> tuple[Tensor, Tensor]:
    """Of equal values the first comes first, which torch.topk does not promise."""
    values, indices = torch.sort(X, dim=axis, descending=bool(largest), stable=True)
    count = k if K is None else K
    assert count is not None
    return values.narrow(axis, 0, count), indices.narrow(axis, 0, count)


def unique(X: Tensor, *, axis: int | None = None, sorted: int = 1, _outputs: int) -> tuple[Tensor, ...]:
    """Values, the index of each one's first, where each went, and counts."""
    X, axis = (X.reshape(-1), 0) if axis is None else (X, axis)
    _, inverse, counts = torch.unique(X.detach(), return_inverse=True, return_counts=True, dim=axis)
    order = torch.arange(inverse.numel(), device=X.device)
    firsts = torch.full_like(counts, inverse.numel()).scatter_reduce(0, inverse, order, "amin")
    if not sorted:
        places = torch.argsort(firsts)
        inverse, counts, firsts = torch.argsort(places)[inverse], counts[places], firsts[places]
    return (X.index_select(axis, firsts), firsts, inverse, counts)[:_outputs]


def one_hot(indices: Tensor, depth: int, values: Tensor, *, axis: int = -1) -> Tensor:
    """Indices outside [-depth, depth) are hot nowhere."""
    axis = axis % (indices.dim() + 1)
    places = torch.arange(int(depth), device=indices.device)
    places = places.reshape([-1] + [1] * (indices.dim() - axis))
    hot = wrapped(indices.long(), int(depth)).unsqueeze(axis) == places
    return torch.where(hot, values[1], values[0])


def compress(input: Tensor, condition: Tensor, *, axis: int | None = None) -> Tensor:
    input, axis = (input.reshape(-1), 0) if axis is None else (input, axis)
    return input.index_select(axis, torch.nonzero(condition).reshape(-1))


def array_feature_extractor(X: Tensor, Y: Tensor) -> Tensor:
    X = X if X.dim() > 1 else X[None]
    return X.index_select(-1, Y.long().reshape(-1))


OPERATORS: dict[str, dict[int, Function]] = {
    "Compress": {9: compress},
    "Gather": {1: gather},
    "GatherElements": {11: gather_elements},
    "GatherND": {11: gather_nd},
    "NonZero": {9: nonzero},
    "OneHot": {9: one_hot},
    "Scatter": {9: scatter_elements},
    "ScatterElements": {11: scatter_elements},
    "ScatterND": {11: scatter_nd},
    "TensorScatter": {24: tensor_scatter},
    "TopK": {1: top_k},
    "Unique": {11: unique},
    "ai.onnx.ml::ArrayFeatureExtractor": {1: array_feature_extractor},
}

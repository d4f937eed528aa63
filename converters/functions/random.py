"""Random numbers and dropout."""

import struct
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from onnxprune.converters.signature import Function
from onnxprune.converters.types import TORCH_TYPES


def generator(seed: float | None, device: torch.device) -> torch.Generator | None:
    """A seeded node gives the same numbers in each run; others draw from torch's own generator."""
    if seed is None:
        return None
    (bits,) = struct.unpack("<I", struct.pack("<f", seed))
    return torch.Generator(device).manual_seed(bits)


def random_normal(
    *,
    shape: list[int],
    dtype: int = 1,
    mean: float = 0.0,
    scale: float = 1.0,
    seed: float | None = None,
    _device: torch.device,
) -> Tensor:
    normal = torch.randn(shape, generator=generator(seed, _device), dtype=TORCH_TYPES[dtype], device=_device)
    return normal * scale + mean


def random_uniform(
    *,
    shape: list[int],
    dtype: int = 1,
    high: float = 1.0,
    low: float = 0.0,
    seed: float | None = None,
    _device: torch.device,
) -> Tensor:
    uniform = torch.rand(shape, generator=generator(seed, _device), dtype=TORCH_TYPES[dtype], device=_device)
    return uniform * (high - low) + low


def random_normal_like(
    input: Tensor,
    *,
    dtype: int | None = None,
    mean: float = 0.0,
    scale: float = 1.0,
    seed: float | None = None,
) -> Tensor:
    of = input.dtype if dtype is None else TORCH_TYPES[dtype]
    drawn = torch.empty_like(input, dtype=of).normal_(generator=generator(seed, input.device))
    return drawn * scale + mean


def random_uniform_like(
    input: Tensor, *, dtype: int | None = None, high: float = 1.0, low: float = 0.0, seed: float | None = None
) -> Tensor:
    of = input.dtype if dtype is None else TORCH_TYPES[dtype]
    drawn = torch.empty_like(input, dtype=of).uniform_(generator=generator(seed, input.device))
    return drawn * (high - low) + low


def bernoulli(input: Tensor, *, dtype: int | None = None, seed: float | None = None) -> Tensor:
    drawn = torch.bernoulli(input, generator=generator(seed, input.device))
    return drawn if dtype is None else drawn.to(TORCH_TYPES[dtype])


def multinomial(input: Tensor, *, dtype: int = 6, sample_size: int = 1, seed: float | None = None) -> Tensor:
    """Log probabilities (batch, classes), which need not sum to one -> classes (batch, sample_size)."""
    drawn = torch.multinomial(
        torch.softmax(input, -1), sample_size, replacement=True, generator=generator(seed, input.device)
    )
    return drawn.to(TORCH_TYPES[dtype])


def dropout(
    data: Tensor,
    ratio: float | None = None,
    training_mode: bool | None = None,
    *,
    seed: int | None = None,
    _outputs: int,
) -> Any:
    """The node itself says whether it drops; what it drops by a seed is what onnx's own evaluator drops."""
    ratio = 0.5 if ratio is None else ratio
    if not training_mode or not ratio:
        return data if _outputs == 1 else (data, torch.ones_like(data, dtype=torch.bool))
    if seed is None and _outputs == 1:
        return F.dropout(data, ratio)
    kept = kept_by(seed, data) >= ratio
    return torch.where(kept, data / (1 - ratio), 0), kept


def kept_by(seed: int | None, data: Tensor) -> Tensor:
    """Numbers between 0 and 1."""
    if seed is None:
        return torch.rand_like(data)
    drawn = np.random.RandomState(seed).uniform(0, 1, tuple(data.shape))
    return torch.from_numpy(np.asarray(drawn)).to(data.device)


def dropout_by_module(data: Tensor, *, ratio: float = 0.5, _training: bool, _outputs: int) -> Any:
    """Before opset 12 the node leaves it to who runs it."""
    return dropout(data, ratio, _training, _outputs=_outputs)


def dropout_number_mask(data: Tensor, *, ratio: float = 0.5, _training: bool, _outputs: int) -> Any:
    """Before opset 10 the mask has the data's type."""
    return masked_by_number(dropout(data, ratio, _training, _outputs=_outputs), data)


def dropout_is_test(
    data: Tensor, *, is_test: int = 0, ratio: float = 0.5, _training: bool, _outputs: int
) -> Any:
    """Before opset 7 the node may say that it never drops."""
    return masked_by_number(dropout(data, ratio, _training and not is_test, _outputs=_outputs), data)


def masked_by_number(results: Any, data: Tensor) -> Any:
    return (results[0], results[1].to(data.dtype)) if isinstance(results, tuple) else results


OPERATORS: dict[str, dict[int, Function]] = {
    "Bernoulli": {15: bernoulli},
    "Dropout": {6: dropout_is_test, 7: dropout_number_mask, 10: dropout_by_module, 12: dropout},
    "Multinomial": {7: multinomial},
    "RandomNormal": {1: random_normal},
    "RandomNormalLike": {1: random_normal_like},
    "RandomUniform": {1: random_uniform},
    "RandomUniformLike": {1: random_uniform_like},
}

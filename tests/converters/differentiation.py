"""What an operator's function must let pass: finite differences, samples under vmap, half precision."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from onnxprune.converters.signature import Function


def numbers(*shape: int, low: float = -2.0, high: float = 2.0, seed: int = 0) -> Tensor:
    """Distinct float64 numbers, none near another, in random order: kinks lie between them."""
    count = int(torch.Size(shape).numel())
    ramp = torch.linspace(low, high, count + 2, dtype=torch.float64)[1:-1] + 1e-3
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return ramp[order].reshape(shape)


def bound(function: Function, keywords: dict[str, Any]) -> Callable[..., Any]:
    def call(*inputs: Any) -> Any:
        results = function(*inputs, **keywords)
        return results[0] if isinstance(results, tuple) else results

    return call


def differentiates(function: Function, inputs: Sequence[Any], **keywords: Any) -> bool:
    leaves = [x.clone().requires_grad_() if is_real(x) else x for x in inputs]
    return torch.autograd.gradcheck(bound(function, keywords), leaves)


def maps_samples(function: Function, inputs: Sequence[Any], **keywords: Any) -> bool:
    """Under vmap over a new first axis of the first input, each sample is as it is alone."""
    call, first = bound(function, keywords), inputs[0]
    several = torch.stack([first, first * 0.5, first + 0.25])
    mapped = torch.func.vmap(lambda x: call(x, *inputs[1:]))(several)
    return torch.allclose(mapped, torch.stack([call(x, *inputs[1:]) for x in several]))


def halves(function: Function, inputs: Sequence[Any], dtype: torch.dtype, **keywords: Any) -> bool:
    """In half precision the output has that type, and is near that of float32."""
    cast = [x.to(dtype) if is_real(x) else x for x in inputs]
    exact = [x.float() if is_real(x) else x for x in cast]
    got, want = bound(function, keywords)(*cast), bound(function, keywords)(*exact)
    near = 0.05 * (want.abs().max().item() + 1)
    return got.dtype == dtype and torch.allclose(got.float(), want, rtol=0.05, atol=near)


def is_real(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()

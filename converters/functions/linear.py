"""Matrix products."""

import torch
from torch import Tensor

from onnxprune.converters.signature import Function


def gemm(
    A: Tensor,
    B: Tensor,
    C: Tensor | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Tensor:
    """A (M, K), B (K, N), C broadcast to (M, N)."""
    A, B = A.T if transA else A, B.T if transB else B
    if not A.is_floating_point():
        Y = (A @ B) * int(alpha)
        return Y if C is None else Y + C * int(beta)
    if C is None:
        return A @ B if alpha == 1 else (A @ B) * alpha
    return torch.addmm(C, A, B, beta=beta, alpha=alpha)


OPERATORS: dict[str, dict[int, Function]] = {"Gemm": {7: gemm}}

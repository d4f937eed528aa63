"""Matrix products."""

import torch
from torch import Tensor

from onnxprune.converters.signature import Function


def mat_mul(A: Tensor, B: Tensor) -> Tensor:
    return torch.matmul(A, B)


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
        Y = (A @ B) * alpha
        return (Y if C is None else Y + C * beta).to(A.dtype)
    if C is None:
        return A @ B if alpha == 1 else (A @ B) * alpha
    return torch.addmm(C, A, B, beta=beta, alpha=alpha)


def gemm_limited(
    A: Tensor,
    B: Tensor,
    C: Tensor,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    broadcast: int = 0,
    transA: int = 0,
    transB: int = 0,
) -> Tensor:
    """Until opset 6, with leave to broadcast C."""
    return gemm(A, B, C, alpha=alpha, beta=beta, transA=transA, transB=transB)


def einsum(*Inputs: Tensor, equation: str) -> Tensor:
    return torch.einsum(equation, *Inputs)


def det(X: Tensor) -> Tensor:
    """X (..., M, M)."""
    exact = X if X.dtype in (torch.float32, torch.float64) else X.float()
    return torch.linalg.det(exact).to(X.dtype)


OPERATORS: dict[str, dict[int, Function]] = {
    "Det": {11: det},
    "Einsum": {12: einsum},
    "Gemm": {1: gemm_limited, 7: gemm},
    "MatMul": {1: mat_mul},
}

"""Contractions as matrix products: y = columns(x) @ matrix(w) + b, for groups side by side.

    Conv             (g, N*positions, C/g*taps) @ (g, C/g*taps, M/g)
    Gemm, MatMul     (1, rows, K)               @ (1, K, N)

A form is made of a node, the extents of its inputs by slot, and whether an input holds a weight.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxprune.calibration.windows import conv_columns, transposed_columns
from onnxprune.onnx_file import Node

Array = NDArray[Any]
Floats = NDArray[np.float64]


class NoForm(Exception):
    """A node is no such product; the message says why."""


@dataclass(frozen=True)
class Form:
    """One contraction as a product.

    Attributes:
        data, weight: Input slots.
        bias: Input slot, where the operator has one; None otherwise.
        axis: Of the output's channels.
        columns: (x, y) -> (g, rows, K); of y the extents alone matter.
        targets: y -> (g, rows, M).
        matrix: w -> (g, K, M).
        weight_of: (g, K, M) -> w.
        places: (extent of the data's channel axis,) -> (channels, k) columns of each input channel, counted
            over all groups one after the other.
        bias_scale: y contains this times the bias.
    """

    data: int
    weight: int
    bias: int | None
    axis: int
    columns: Callable[[Array, Array], Floats]
    targets: Callable[[Array], Floats]
    matrix: Callable[[Array], Floats]
    weight_of: Callable[[Floats], Array]
    places: Callable[[int], NDArray[np.int64]]
    bias_scale: float = 1.0


def form_of(node: Node, shapes: dict[int, tuple[int, ...]], constant: Callable[[int], bool]) -> Form:
    """The product that a node is.

    Args:
        node: A contraction.
        shapes: Extents of its inputs by slot, of its weight at least.
        constant: Whether an input slot holds a weight.

    Raises:
        NoForm: It is none that is known, or its weight is computed.
    """
    make = FORMS.get((node.domain, node.op_type))
    if make is None:
        raise NoForm(f"{node.op_type} is no matrix product with one weight")
    return make(node, shapes, constant)


def conv(node: Node, shapes: dict[int, tuple[int, ...]], constant: Callable[[int], bool]) -> Form:
    """Conv: X (N, C, ...), W (M, C/g, k...)."""
    require_weight(constant, 1)
    group, shape = int(node.attr("group", 1)), shapes[1]
    kernel = shape[2:]
    return Form(
        data=0,
        weight=1,
        bias=2,
        axis=1,
        columns=lambda x, _y: conv_columns(node, x, kernel),
        targets=lambda y: by_channel(y, group),
        matrix=lambda w: w.astype(np.float64).reshape(group, shape[0] // group, -1).transpose(0, 2, 1),
        weight_of=lambda m: m.transpose(0, 2, 1).reshape(shape),
        places=lambda extent: np.arange(extent * int(np.prod(kernel))).reshape(extent, -1),
    )


def conv_transpose(node: Node, shapes: dict[int, tuple[int, ...]], constant: Callable[[int], bool]) -> Form:
    """ConvTranspose: X (N, C, ...), W (C, M/g, k...)."""
    require_weight(constant, 1)
    group, shape = int(node.attr("group", 1)), shapes[1]
    kernel, outputs = shape[2:], shape[1]
    flip = (slice(None), slice(None), *[slice(None, None, -1)] * len(kernel))

    def matrix(w: Array) -> Floats:  # (C, M/g, k...) -> (g, C/g * k, M/g)
        rows = np.moveaxis(w[flip].astype(np.float64), 1, -1)
        return rows.reshape(group, -1, outputs)

    def weight_of(m: Floats) -> Array:
        rows = m.reshape(shape[0], *kernel, outputs)
        return np.moveaxis(rows, -1, 1)[flip]

    return Form(
        data=0,
        weight=1,
        bias=2,
        axis=1,
        columns=lambda x, y: transposed_columns(node, x, kernel, y.shape[2:]),
        targets=lambda y: by_channel(y, group),
        matrix=matrix,
        weight_of=weight_of,
        places=lambda extent: np.arange(extent * int(np.prod(kernel))).reshape(extent, -1),
    )


def gemm(node: Node, _shapes: dict[int, tuple[int, ...]], constant: Callable[[int], bool]) -> Form:
    """Gemm: alpha * A' B' + beta * C."""
    require_weight(constant, 1)
    alpha, beta = float(node.attr("alpha", 1.0)), float(node.attr("beta", 1.0))
    turn_a, turn_b = bool(node.attr("transA", 0)), bool(node.attr("transB", 0))
    if alpha == 0:
        raise NoForm("its factor alpha is 0")
    return Form(
        data=0,
        weight=1,
        bias=2,
        axis=1,
        columns=lambda x, _y: (x.T if turn_a else x).astype(np.float64)[None],
        targets=lambda y: y.astype(np.float64)[None],
        matrix=lambda w: alpha * (w.T if turn_b else w).astype(np.float64)[None],
        weight_of=lambda m: (m[0].T if turn_b else m[0]) / alpha,
        places=lambda extent: np.arange(extent).reshape(extent, 1),
        bias_scale=beta,
    )


def matmul(_node: Node, shapes: dict[int, tuple[int, ...]], constant: Callable[[int], bool]) -> Form:
    """MatMul: (..., K) times (K, N), or (M, K) times (..., K, N)."""
    right = constant(1)
    slot = 1 if right else 0
    require_weight(constant, slot)
    if len(shapes[slot]) != 2:
        raise NoForm(f"its weight has {len(shapes[slot])} axes, not 2")

    def rows(x: Array) -> Floats:  # (..., rows, features) -> (1, rows, features)
        ordered = x if right or x.ndim < 2 else np.swapaxes(x, -1, -2)
        return ordered.astype(np.float64).reshape(1, -1, ordered.shape[-1])

    return Form(
        data=1 - slot,
        weight=slot,
        bias=None,
        axis=-1 if right else -2,
        columns=lambda x, _y: rows(x),
        targets=rows,
        matrix=lambda w: (w if right else w.T).astype(np.float64)[None],
        weight_of=lambda m: m[0] if right else m[0].T,
        places=lambda extent: np.arange(extent).reshape(extent, 1),
    )


Make = Callable[[Node, dict[int, tuple[int, ...]], Callable[[int], bool]], Form]
FORMS: dict[tuple[str, str], Make] = {
    ("", "Conv"): conv,
    ("", "ConvTranspose"): conv_transpose,
    ("", "Gemm"): gemm,
    ("", "MatMul"): matmul,
}


def require_weight(constant: Callable[[int], bool], slot: int) -> None:
    """Raises: NoForm: the slot holds no weight."""
    if not constant(slot):
        raise NoForm("its weight is computed, or behind an operator that cannot be undone")


def by_channel(y: Array, group: int) -> Floats:
    """(N, M, ...) -> (g, N * positions, M/g)."""
    split = y.astype(np.float64).reshape(y.shape[0], group, y.shape[1] // group, -1)  # (N, g, M/g, P)
    return split.transpose(1, 0, 3, 2).reshape(group, -1, y.shape[1] // group)

"""Contractions as matrix products: y = columns(x) @ matrix(w) + b, for groups side by side.

    Conv             (g, N*positions, C/g*taps) @ (g, C/g*taps, M/g)
    Gemm, MatMul     (1, rows, K)               @ (1, K, N)

A form is made of a node, the extents of its inputs by slot, and whether an input holds a weight.
"""

from collections.abc import Callable, Set
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxprune.calibration.windows import Positions, conv_columns, singles, transposed_columns
from onnxprune.onnx_file import Node

Array = NDArray[Any]
Floats = NDArray[np.floating[Any]]


class NoForm(Exception):
    """A node is no such product; the message says why."""


@dataclass(frozen=True)
class Form:
    """One contraction as a product.

    Attributes:
        data, weight: Input slots.
        bias: Input slot, where the operator has one; None otherwise.
        axis: Of the output's channels.
        columns: (x, y, at) -> (g, rows, K) at some output positions; of y the extents alone matter.
        targets: (y, at) -> (g, rows, M).
        matrix: w -> (g, K, M).
        weight_of: (g, K, M) -> w.
        places: (extent of the data's channel axis,) -> (channels, k) columns of each input channel, counted
            over all groups one after the other.
        bias_scale: y contains this times the bias.
        spatial: The output has positions, all axes behind the channels.
    """

    data: int
    weight: int
    bias: int | None
    axis: int
    columns: Callable[[Array, Array, Positions], Floats]
    targets: Callable[[Array, Positions], Floats]
    matrix: Callable[[Array], Floats]
    weight_of: Callable[[Floats], Array]
    places: Callable[[int], NDArray[np.int64]]
    bias_scale: float = 1.0
    spatial: bool = False

    def positions(self, y: Array, most: int, rng: np.random.Generator) -> Positions:
        """At most so many places of an output, drawn; None: all."""
        there = prod(y.shape[2:]) if self.spatial else 0
        return rng.choice(there, most, replace=False) if there > most else None


def form_of(node: Node, shapes: dict[int, tuple[int, ...]], constant: Set[int]) -> Form:
    """The product that a node is.

    Args:
        node: A contraction.
        shapes: Extents of its inputs by slot, of its weight at least.
        constant: Input slots that hold a weight.

    Raises:
        NoForm: It is none that is known, or its weight is computed.
    """
    make = FORMS.get((node.domain, node.op_type))
    if make is None:
        raise NoForm(f"{node.op_type} is no matrix product with one weight")
    return make(node, shapes, constant)


def conv(node: Node, shapes: dict[int, tuple[int, ...]], constant: Set[int]) -> Form:
    """Conv: X (N, C, ...), W (M, C/g, k...)."""
    require_weight(constant, 1)
    group, shape = int(node.attr("group", 1)), shapes[1]
    kernel = shape[2:]
    return Form(
        data=0,
        weight=1,
        bias=2,
        axis=1,
        columns=lambda x, _y, at: conv_columns(node, x, kernel, at),
        targets=lambda y, at: by_channel(y, group, at),
        matrix=lambda w: w.astype(np.float64).reshape(group, shape[0] // group, -1).transpose(0, 2, 1),
        weight_of=lambda m: m.transpose(0, 2, 1).reshape(shape),
        places=lambda extent: np.arange(extent * prod(kernel)).reshape(extent, -1),
        spatial=True,
    )


def conv_transpose(node: Node, shapes: dict[int, tuple[int, ...]], constant: Set[int]) -> Form:
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
        columns=lambda x, y, at: transposed_columns(node, x, kernel, y, at),
        targets=lambda y, at: by_channel(y, group, at),
        matrix=matrix,
        weight_of=weight_of,
        places=lambda extent: np.arange(extent * prod(kernel)).reshape(extent, -1),
        spatial=True,
    )


def gemm(node: Node, _shapes: dict[int, tuple[int, ...]], constant: Set[int]) -> Form:
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
        columns=lambda x, _y, _at: singles(x.T if turn_a else x)[None],
        targets=lambda y, _at: singles(y)[None],
        matrix=lambda w: alpha * (w.T if turn_b else w).astype(np.float64)[None],
        weight_of=lambda m: (m[0].T if turn_b else m[0]) / alpha,
        places=lambda extent: np.arange(extent).reshape(extent, 1),
        bias_scale=beta,
    )


def matmul(_node: Node, shapes: dict[int, tuple[int, ...]], constant: Set[int]) -> Form:
    """MatMul: (..., K) times (K, N), or (M, K) times (..., K, N)."""
    right = 1 in constant
    slot = 1 if right else 0
    require_weight(constant, slot)
    if len(shapes[slot]) != 2:
        raise NoForm(f"its weight has {len(shapes[slot])} axes, not 2")

    def rows(x: Array, _at: Positions) -> Floats:  # (..., rows, features) -> (1, rows, features)
        ordered = x if right or x.ndim < 2 else np.swapaxes(x, -1, -2)
        return singles(ordered).reshape(1, -1, ordered.shape[-1])

    return Form(
        data=1 - slot,
        weight=slot,
        bias=None,
        axis=-1 if right else -2,
        columns=lambda x, _y, at: rows(x, at),
        targets=rows,
        matrix=lambda w: (w if right else w.T).astype(np.float64)[None],
        weight_of=lambda m: m[0] if right else m[0].T,
        places=lambda extent: np.arange(extent).reshape(extent, 1),
    )


Make = Callable[[Node, dict[int, tuple[int, ...]], Set[int]], Form]
FORMS: dict[tuple[str, str], Make] = {
    ("", "Conv"): conv,
    ("", "ConvTranspose"): conv_transpose,
    ("", "Gemm"): gemm,
    ("", "MatMul"): matmul,
}


def require_weight(constant: Set[int], slot: int) -> None:
    """Raises: NoForm: the slot holds no weight."""
    if slot not in constant:
        raise NoForm("its weight is computed, or behind an operator that cannot be undone")


def by_channel(y: Array, group: int, at: Positions) -> Floats:
    """(N, M, ...) -> (g, N * positions, M/g)."""
    split = y.reshape(y.shape[0], group, y.shape[1] // group, -1)  # (N, g, M/g, P)
    split = split if at is None else split[..., at]
    return singles(split.transpose(1, 0, 3, 2)).reshape(group, -1, y.shape[1] // group)

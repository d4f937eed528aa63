"""Least squares from sums alone: X^T X and X^T Y of batches, added up in double precision.

Nothing of the batches themselves is kept: (K + M) * K * 8 bytes a group of columns, however many there are.
Sums run over distances from the first batch's means: a column that hardly moves about a large mean would
drown in the rounding of its squares.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from onnxprune.errors import DataError

Floats = NDArray[np.float64]
Rows = NDArray[np.floating[Any]]
TINY = float(np.finfo(np.float64).tiny)


def not_finite(node: str) -> DataError:
    """What is wrong where sums of a node's values are no numbers."""
    return DataError(
        "E502",
        f"values at node {node} are NaN, or too large to square",
        hint="look at the samples (--mean, --std, --scale), and at the model in fp32",
    )


@dataclass
class Gram:
    """Sums over rows x (K,) and y (M,), for g groups of columns side by side, both less their origins.

    Attributes:
        xx, xy: (g, K, K), (g, K, M).
        x, y: (g, K), (g, M).
        yy: (g, M) sums of squares.
        count: Of rows.
        at_x, at_y: (g, K), (g, M) origins, exact in the precision of the rows.
    """

    xx: Floats
    xy: Floats
    x: Floats
    y: Floats
    yy: Floats
    count: int = 0
    at_x: Floats | float = 0.0
    at_y: Floats | float = 0.0

    @staticmethod
    def empty(groups: int, columns: int, targets: int) -> "Gram":
        k, m = columns, targets
        xx, xy = np.zeros((groups, k, k)), np.zeros((groups, k, m))
        return Gram(xx, xy, np.zeros((groups, k)), np.zeros((groups, m)), np.zeros((groups, m)))

    def add(self, x: Rows, y: Rows) -> None:
        """Rows x (g, n, K) and y (g, n, M), in place; products of one batch in its own precision."""
        if not self.count and x.shape[1]:
            self.at_x, self.at_y = middle(x), middle(y)
        x, y = less(x, self.at_x), less(y, self.at_y)
        for g in range(len(x)):  # one by one: numpy takes the symmetric product for x.T @ x
            self.xx[g] += x[g].T @ x[g]
            self.xy[g] += x[g].T @ y[g]
        self.x += x.sum(1, dtype=np.float64)
        self.y += y.sum(1, dtype=np.float64)
        self.yy += np.square(y).sum(1, dtype=np.float64)
        self.count += x.shape[1]

    def without_targets(self) -> "Gram":
        """The same columns; sums over y begin anew."""
        zero = np.zeros_like
        cleared = zero(self.xy), self.x, zero(self.y), zero(self.yy)
        return Gram(self.xx, *cleared, self.count, self.at_x, self.at_y)

    def add_targets(self, x: Rows, y: Rows) -> None:
        """Other y (g, n, M) for rows x that were added before, in place."""
        x, y = less(x, self.at_x), less(y, self.at_y)
        self.xy += x.transpose(0, 2, 1) @ y
        self.y += y.sum(1, dtype=np.float64)
        self.yy += np.square(y).sum(1, dtype=np.float64)

    @property
    def finite(self) -> bool:
        return all(bool(np.isfinite(part).all()) for part in (self.xx, self.xy, self.yy))

    def centred(self) -> "Gram":
        """The same of x and y without their means."""
        n = max(1, self.count)
        return Gram(
            self.xx - self.x[:, :, None] * self.x[:, None, :] / n,
            self.xy - self.x[:, :, None] * self.y[:, None, :] / n,
            np.zeros_like(self.x),
            np.zeros_like(self.y),
            self.yy - np.square(self.y) / n,
            self.count,
        )

    def whole(self) -> "Gram":
        """The same about zero."""
        x0, y0 = self.at_x + np.zeros_like(self.x), self.at_y + np.zeros_like(self.y)
        n, cross = self.count, self.x[:, :, None] * x0[:, None, :]
        return Gram(
            self.xx + cross + cross.transpose(0, 2, 1) + n * x0[:, :, None] * x0[:, None, :],
            self.xy + x0[:, :, None] * self.y[:, None, :] + (self.x + n * x0)[:, :, None] * y0[:, None, :],
            self.x + n * x0,
            self.y + n * y0,
            self.yy + 2 * y0 * self.y + n * np.square(y0),
            n,
        )

    def less(self, offset: Floats) -> "Gram":
        """The same of y - offset, (g, M), about zero."""
        sums = self.whole()
        return Gram(
            sums.xx,
            sums.xy - sums.x[:, :, None] * offset[:, None, :],
            sums.x,
            sums.y - sums.count * offset,
            sums.yy - 2 * offset * sums.y + sums.count * np.square(offset),
            sums.count,
        )

    def error(self, weight: Floats) -> float:
        """Sum of |y - x w|^2, of sums about zero."""
        cross = (self.xy * weight).sum((1, 2))
        square = (weight * (self.xx @ weight)).sum((1, 2))
        return float(max(0.0, (self.yy.sum(1) - 2 * cross + square).sum()))

    def relative_error(self, weight: Floats, bias: Floats) -> float:
        """Sum of |y - x w - b|^2 as a share of |y - mean(y)|^2."""
        return self.less(bias).error(weight) / max(self.spread(), TINY)

    def spread(self) -> float:
        """Sum of |y - mean(y)|^2."""
        return float(max(0.0, (self.yy - np.square(self.y) / max(1, self.count)).sum()))


def middle(rows: Rows) -> Floats:
    """(g, K) means of rows (g, n, K), rounded to their precision."""
    found: Floats = rows.mean(1, dtype=np.float64).astype(rows.dtype).astype(np.float64)
    return found


def less(rows: Rows, origin: Floats | float) -> Rows:
    """Rows (g, n, K) less an origin (g, K), in their own precision."""
    found: Rows = rows - np.asarray(origin, rows.dtype).reshape(len(rows), 1, -1)
    return found


Solution = tuple[Floats, Floats]  # weight (g, K, M) and bias (g, M) of y = x weight + bias


@dataclass(frozen=True, eq=False)
class Equations:
    """Least squares of y = x w + b, damped towards what is there; factored once for any y of the same rows.

        (X^T X + ridge * mean(diag X^T X) * I) (w - w0) = X^T (y - x w0)

    Attributes:
        prior: w0 and b0.
        solvers: For each group of columns, what takes a right side (K, M) to a solution.
        damping: (g, 1, 1).
        intercept: Whether the bias is fitted too; else it stays.
    """

    prior: Solution
    solvers: tuple[Callable[[Floats], Floats], ...]
    damping: Floats
    intercept: bool

    @staticmethod
    def of(gram: Gram, prior: Solution, *, ridge: float, intercept: bool) -> "Equations":
        """From sums over the rows; those over y are not looked at."""
        square = (gram.centred() if intercept else gram.whole()).xx
        damping = damp(square, ridge)[:, None, None]
        return Equations(prior, tuple(map(solver_of, square, prior[0])), damping, intercept)

    def solve(self, gram: Gram) -> Solution:
        """From sums over the same rows and some y."""
        count, (weight, bias) = max(1, gram.count), self.prior
        x, y = gram.x / count + gram.at_x, gram.y / count + gram.at_y
        right = gram.xy - gram.x[:, :, None] * gram.y[:, None, :] / count + self.damping * weight
        if not self.intercept:
            right += count * x[:, :, None] * (y - bias)[:, None, :]
        found = np.stack([solve(one) for solve, one in zip(self.solvers, right, strict=True)])
        return found, y - np.einsum("gk,gkm->gm", x, found) if self.intercept else bias


def damp(square: Floats, ridge: float) -> Floats:
    """Add a share of their mean diagonal to Gram matrices (..., K, K), in place; what was added (...)."""
    diagonal = np.einsum("...kk->...k", square)
    means = diagonal.mean(-1)
    damping: Floats = ridge * np.where(means > 0, means, 1.0)
    diagonal += damping[..., None]
    return damping


def solver_of(square: Floats, prior: Floats) -> Callable[[Floats], Floats]:
    """For right sides (K, M) of a damped Gram matrix (K, K).

    Products in single precision can leave it indefinite where the damping is small. Where it is singular, the
    solution nearest to the prior (K, M).
    """
    try:
        factor = cho_factor(square, lower=True, check_finite=False)
    except LinAlgError:
        return partial(solve_by_elimination, square, prior)
    return partial(cho_solve, factor, check_finite=False)


def solve_by_elimination(square: Floats, prior: Floats, right: Floats) -> Floats:
    try:
        return np.linalg.solve(square, right).astype(np.float64)
    except LinAlgError:
        rest = right - square @ prior
        return prior + np.linalg.lstsq(square, rest, rcond=None)[0].astype(np.float64)

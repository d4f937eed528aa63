"""Least squares from sums alone: X^T X and X^T Y of batches, added up in double precision.

Nothing of the batches themselves is kept: (K + M) * K * 8 bytes a group of columns, however many there are.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.floating[Any]]
TINY = float(np.finfo(np.float64).tiny)


@dataclass
class Gram:
    """Sums over rows x (K,) and y (M,), for g groups of columns side by side.

    Attributes:
        xx, xy: (g, K, K), (g, K, M).
        x, y: (g, K), (g, M).
        yy: (g, M) sums of squares.
        count: Of rows.
    """

    xx: Floats
    xy: Floats
    x: Floats
    y: Floats
    yy: Floats
    count: int = 0

    @staticmethod
    def empty(groups: int, columns: int, targets: int) -> "Gram":
        k, m = columns, targets
        xx, xy = np.zeros((groups, k, k)), np.zeros((groups, k, m))
        return Gram(xx, xy, np.zeros((groups, k)), np.zeros((groups, m)), np.zeros((groups, m)))

    def add(self, x: Rows, y: Rows) -> None:
        """Rows x (g, n, K) and y (g, n, M), in place; products of one batch in its own precision."""
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
        return Gram(self.xx, zero(self.xy), self.x, zero(self.y), zero(self.yy), self.count)

    def add_targets(self, x: Rows, y: Rows) -> None:
        """Other y (g, n, M) for rows x that were added before, in place."""
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

    def less(self, offset: Floats) -> "Gram":
        """The same of y - offset, (g, M)."""
        return Gram(
            self.xx,
            self.xy - self.x[:, :, None] * offset[:, None, :],
            self.x,
            self.y - self.count * offset,
            self.yy - 2 * offset * self.y + self.count * np.square(offset),
            self.count,
        )

    def error(self, weight: Floats) -> float:
        """Sum of |y - x w|^2."""
        cross = (self.xy * weight).sum((1, 2))
        square = (weight * (self.xx @ weight)).sum((1, 2))
        return float(max(0.0, (self.yy.sum(1) - 2 * cross + square).sum()))

    def relative_error(self, weight: Floats, bias: Floats) -> float:
        """Sum of |y - x w - b|^2 as a share of |y - mean(y)|^2."""
        return self.less(bias).error(weight) / max(self.spread(), TINY)

    def spread(self) -> float:
        """Sum of |y - mean(y)|^2."""
        return float(max(0.0, (self.yy - np.square(self.y) / max(1, self.count)).sum()))


@dataclass(frozen=True)
class Fit:
    """A solution: y = x weight + bias, with the relative errors of the prior and of itself.

    Attributes:
        weight: (g, K, M).
        bias: (g, M).
        before, after: |y - prediction|^2 / |y - mean(y)|^2.
    """

    weight: Floats
    bias: Floats
    before: float
    after: float


def least_squares(gram: Gram, weight: Floats, bias: Floats, *, ridge: float, intercept: bool) -> Fit:
    """The weight nearest to y = x w + b, damped towards the weight that is there.

        (X^T X + ridge * mean(diag X^T X) * I) (w - w0) = X^T (y - x w0)

    Args:
        gram: Sums over the rows.
        weight, bias: w0 (g, K, M) and b0 (g, M).
        ridge: Damping, as a share of the mean diagonal.
        intercept: Fit the bias too; else it stays.
    """
    used = gram.centred() if intercept else gram.less(bias)
    rest = used.xy - used.xx @ weight
    diagonal = np.einsum("gkk->gk", used.xx).mean(1)
    damped = used.xx + (ridge * np.where(diagonal > 0, diagonal, 1.0))[:, None, None] * np.eye(
        weight.shape[1]
    )
    found = weight + np.linalg.solve(damped, rest)
    shift = bias
    if intercept:
        shift = (gram.y - np.einsum("gk,gkm->gm", gram.x, found)) / max(1, gram.count)
    return Fit(found, shift, gram.relative_error(weight, bias), gram.relative_error(found, shift))

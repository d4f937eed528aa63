"""Greedy elimination of channels, where all others make up for each: by inverse Gram matrices.

Taking the columns k out of an inverse A subtracts A_:k (A_kk)^-1 A_k:, which is as large as A. As in blocked
Cholesky factorisations these wait as factors L, A = base - L L^T, until there are many, and what is gone is
dropped from base with them: the work is a few products of matrices, where else all of A would be read and
written for each channel.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.linalg.lapack import dpotrf, dpotri

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
STEPS = 512  # eliminations of a group after which all costs are computed anew, at most
WAITING = 256  # columns of L


def inverse_of(matrix: Floats) -> Floats:
    """(K, K) of a positive definite matrix, in half the time that one takes that need not be."""
    root, failed = dpotrf(matrix.T, lower=True)
    if not failed:
        inverse, failed = dpotri(root, lower=True, overwrite_c=True)
    if failed:
        return np.linalg.inv(matrix).astype(np.float64)
    inverse += np.tril(inverse, -1).T  # LAPACK leaves zeros there
    symmetric: Floats = inverse.T
    return symmetric


class Block:
    """The columns of one group in one product x W: those of its channels, k of each, and then all others.

    Attributes:
        scale: Costs are divided by it.
        width: k.
        channels: Those that are in `weight`, `base` and `own`, rising; some of them may be gone.
        weight: (K, M).
        base: (K, K); the inverse is base - L L^T.
        own: (channels, k, k) of the inverse; the identity where a channel is gone.
        gone: (channels,) which are.
        room, waiting: (K, n) and how many columns of it are L.
    """

    def __init__(self, weight: Floats, inverse: Floats, columns: Ints, scale: float) -> None:
        """From what a product is at first; copies are made of it.

        Args:
            weight: (K, M).
            inverse: (K, K) of the damped Gram matrix of x, positive definite: damped by a share d of the mean
                diagonal, its condition is K / d at most, far from what double precision could not hold.
            columns: (channels, k) of each channel.
            scale: See there.
        """
        order = np.concatenate([columns.ravel(), np.setdiff1d(np.arange(len(weight)), columns)])
        self.scale, self.width = scale, columns.shape[1]
        self.channels = np.arange(len(columns))
        self.weight, self.base = weight[order], inverse[np.ix_(order, order)]
        at = np.arange(columns.size).reshape(columns.shape)
        self.own = self.base[at[:, :, None], at[:, None, :]]
        self.gone = np.zeros(len(columns), bool)
        self.room: Floats = np.zeros((len(order), WAITING))
        self.waiting = 0

    def of_channels(self, rows: Floats) -> Floats:
        """(channels, k, n) the rows of channels in (K, n)."""
        return rows[: len(self.channels) * self.width].reshape(len(self.channels), self.width, -1)

    def costs(self, alive: Ints) -> Floats:
        """(n,) tr(W_k^T (A_kk)^-1 W_k) of each of these channels, over the scale."""
        weight = self.of_channels(self.weight)
        found: Floats = np.einsum("nij,nji->n", np.linalg.inv(self.own), weight @ weight.transpose(0, 2, 1))
        return found[np.searchsorted(self.channels, alive)] / self.scale

    def remove(self, channels: Ints) -> None:
        """Let all other columns make up for these channels, in place."""
        if self.waiting + len(channels) * self.width > self.room.shape[1]:
            self.settle(len(channels) * self.width)
        places = np.searchsorted(self.channels, channels)
        at = (places[:, None] * self.width + np.arange(self.width)).ravel()
        waiting = self.room[:, : self.waiting]
        side = self.base[at].T - waiting @ waiting[at].T  # A_:k
        root = np.linalg.cholesky(side[at])
        new = solve_triangular(root, side.T, lower=True, check_finite=False).T
        self.weight -= new @ solve_triangular(root, self.weight[at], lower=True, check_finite=False)
        rows = self.of_channels(new)
        self.own -= rows @ rows.transpose(0, 2, 1)
        self.own[places] = np.eye(self.width)
        self.gone[places] = True
        self.room[:, self.waiting : self.waiting + len(at)] = new
        self.waiting += len(at)

    def settle(self, wanted: int) -> None:
        """Subtract what waits and drop what is gone, in place; then there is room for so many columns."""
        stay = np.ones(len(self.base), bool)
        self.of_channels(stay[:, None])[self.gone] = False
        waiting = self.room[stay, : self.waiting]
        self.base = self.base[np.ix_(stay, stay)]
        self.base -= waiting @ waiting.T
        self.weight, self.own = self.weight[stay], self.own[~self.gone]
        self.channels = self.channels[~self.gone]
        self.gone = np.zeros(len(self.channels), bool)
        self.room, self.waiting = np.zeros((len(self.base), max(WAITING, wanted))), 0


def eliminate(readers: Sequence[Sequence[Block]], channels: int) -> Floats:
    """(channels,) the cost of each at its turn, where the cheapest goes first."""
    blocks = [block for of_reader in readers for block in of_reader if len(block.channels) == channels]
    scores, alive, reached = np.zeros(channels), np.arange(channels), 0.0
    at_once = max(1, channels // STEPS)
    while len(alive):
        costs: Any = sum((block.costs(alive) for block in blocks), np.zeros(len(alive)))
        going = np.argsort(costs, kind="stable")[:at_once]
        scores[alive[going]] = np.fmax.accumulate(np.fmax(costs[going], reached))
        reached = float(scores[alive[going[-1]]])
        for block in blocks:
            block.remove(alive[going])
        alive = np.delete(alive, going)
    return scores

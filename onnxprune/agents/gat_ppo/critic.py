"""What masks would be worth: a Gaussian process over all that were told.

Accuracy after pruning is nearly a sum of one curve for each group, of how much it keeps; beside that it
matters which channels stay, and how groups go together. So, with r the kept shares of G groups and x bits,

    k = ( sum_g exp(-(r_g - r'_g)^2 / 2 l^2) / G                           the groups' curves
          + JOINT exp(-|r - r'|^2 / 2 L^2)                                 groups together, L^2 = G / 6
          + w <x - r, x' - r'> / scale ) / total                           which channels, given how many

of standardised accuracies, with noise n on the diagonal, more where a candidate ran on fewer rows (Rasmussen
& Williams, Gaussian Processes for Machine Learning, 2006, equations 2.23, 2.24 and 2.30). l, w and n are the
likeliest of a small grid, so that nothing has to be tuned and equal outcomes give equal critics.
"""

from dataclasses import dataclass, field
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from onnxprune.agents.types import State
from onnxprune.masks import ChannelOrder

Floats = NDArray[np.float64]
Bits = NDArray[np.bool_]
JOINT = 0.5
WIDTHS = (0.2, 0.4, 0.8)  # l, of shares
CHANNELS = (0.1, 0.3, 1.0)  # w
NOISES = (0.02, 0.1, 0.3)  # n, as shares of the variance of the accuracies
JITTER = 1e-8


@dataclass(frozen=True)
class Fit:
    """What predictions need.

    Attributes:
        width, channels: l and w.
        factor: Cholesky factor of the kernel matrix with noise, as `cho_factor` gives it.
        solved: (N,) the inverse of that matrix times the standardised accuracies.
        centre, spread: Of the accuracies.
    """

    width: float
    channels: float
    factor: tuple[Floats, bool]
    solved: Floats
    centre: float
    spread: float


@dataclass
class Critic:
    """Remembers outcomes, and predicts those of other masks.

    Attributes:
        order: Of the channels.
        most: So many outcomes are remembered; then the oldest go.
        bits: (N, C) of the masks.
        accuracies: (N,).
        rows: (N,) samples that each accuracy stands for.
        fitted: What `fit` found; forgotten with every outcome.
    """

    order: ChannelOrder
    most: int
    bits: Bits = field(init=False)
    accuracies: Floats = field(init=False)
    rows: Floats = field(init=False)
    fitted: "Fit | None" = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.bits = np.zeros((0, len(self.order)), bool)
        self.accuracies, self.rows = np.zeros(0), np.zeros(0)

    def __len__(self) -> int:
        return len(self.accuracies)

    def add(self, bits: Bits, accuracy: float, rows: int) -> None:
        """Remember an outcome, in place: bits (C,), an accuracy from so many rows."""
        self.fitted = None
        self.bits = np.vstack([self.bits, bits[None]])[-self.most :]
        self.accuracies = np.append(self.accuracies, accuracy)[-self.most :]
        self.rows = np.append(self.rows, max(1, rows))[-self.most :]

    def shares(self, bits: Bits) -> Floats:
        """(N, C) -> (N, G) kept shares."""
        starts = self.order.starts
        found: Floats = np.add.reduceat(bits, starts[:-1], axis=1, dtype=np.float64) / np.diff(starts)
        return found

    def parts(self, first: Bits, second: Bits) -> tuple[Floats, Floats, Floats]:
        """Squared distances (A, B, G) of shares; their sums (A, B); products (A, B) of the rest."""
        mine, theirs = self.shares(first), self.shares(second)
        apart = np.square(mine[:, None] - theirs[None])
        group_of = self.order.group_of
        a = (first - mine[:, group_of]).astype(np.float32)
        b = (second - theirs[:, group_of]).astype(np.float32)
        scale = 0.1 * len(self.order)
        return apart, apart.sum(2), (a @ b.T).astype(np.float64) / scale

    @staticmethod
    def kernel(parts: tuple[Floats, Floats, Floats], width: float, channels: float) -> Floats:
        apart, together, products = parts
        groups = apart.shape[2]
        curves = np.exp(-apart / (2 * width**2)).mean(2)
        joint = JOINT * np.exp(-together * 3 / groups)
        found: Floats = (curves + joint + channels * products) / (1 + JOINT)
        return found

    def fit(self) -> Fit | None:
        """The likeliest of the grid; None where the outcomes tell nothing: fewer than two, or all alike."""
        if self.fitted is not None:
            return self.fitted
        if len(self) < 2 or (spread := float(self.accuracies.std())) < JITTER:
            return None
        centre = float(self.accuracies.mean())
        wanted = (self.accuracies - centre) / spread
        own = self.parts(self.bits, self.bits)
        doubt = self.rows.max() / self.rows
        likeliest = -np.inf
        for width, channels in product(WIDTHS, CHANNELS):
            matrix = self.kernel(own, width, channels)
            for noise in NOISES:
                try:
                    factor = cho_factor(matrix + np.diag(noise * doubt + JITTER), lower=True)
                except LinAlgError:
                    continue
                solved = cho_solve(factor, wanted)
                value = -0.5 * wanted @ solved - np.log(np.diagonal(factor[0])).sum()
                if value > likeliest:
                    likeliest = value
                    self.fitted = Fit(width, channels, factor, solved, centre, spread)
        return self.fitted

    def mean(self, fit: Fit, bits: Bits) -> Floats:
        """(M,) expected accuracies of masks (M, C)."""
        cross = self.kernel(self.parts(bits, self.bits), fit.width, fit.channels)
        found: Floats = fit.centre + fit.spread * (cross @ fit.solved)
        return found

    def draws(self, fit: Fit, bits: Bits, normals: Floats) -> Floats:
        """(K, M) accuracies of masks (M, C) as they may be, all M together: from standard normals (K, M)."""
        cross = self.kernel(self.parts(bits, self.bits), fit.width, fit.channels)
        own = self.kernel(self.parts(bits, bits), fit.width, fit.channels)
        left = own - cross @ cho_solve(fit.factor, cross.T)
        values, vectors = np.linalg.eigh((left + left.T) / 2)
        root = vectors * np.sqrt(np.maximum(values, 0))
        found: Floats = fit.centre + fit.spread * (cross @ fit.solved + normals @ root.T)
        return found

    def state(self) -> State:
        """All that `restore` needs, as tensors; eight bits to a byte."""
        return {
            "bits": torch.from_numpy(np.packbits(self.bits, axis=1)),
            "accuracies": torch.from_numpy(self.accuracies.copy()),
            "rows": torch.from_numpy(self.rows.copy()),
        }

    def restore(self, state: State) -> None:
        """Go on from such a state, in place."""
        self.fitted = None
        packed = state["bits"].numpy()
        self.bits = np.unpackbits(packed, axis=1, count=len(self.order)).astype(bool)
        self.accuracies, self.rows = state["accuracies"].numpy().copy(), state["rows"].numpy().copy()


def distinct_best(draws: Floats, allowed: Bits, count: int) -> list[int]:
    """Columns, each the best of one draw (K, M) among those that are allowed and not taken yet (Thompson)."""
    open_, chosen = allowed.copy(), []
    for row in draws[:count]:
        if not open_.any():
            break
        chosen.append(int(np.argmax(np.where(open_, row, -np.inf))))
        open_[chosen[-1]] = False
    return chosen

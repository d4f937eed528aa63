"""What masks would be worth: a Gaussian process over all that were told.

Accuracy after pruning is nearly a sum of one curve for each group, of how much it keeps; beside that it
matters which channels stay, and how groups go together. So, with r the kept shares of G groups, x bits, and
e the logarithms of what is still explained of what R nodes make (`Problem.explained`), standardised,

    k = ( sum_g exp(-(r_g - r'_g)^2 / 2 l^2) / G                           the groups' curves
          + JOINT exp(-|r - r'|^2 / 2 L^2)                                 groups together, L^2 = G / 6
          + w <x - r, x' - r'> / 0.1 C                                     which of C channels, given how many
          + v <e, e'> / R ) / (1 + JOINT)                                  what they explain, node after node

of standardised accuracies y, with noise on the diagonal (Rasmussen & Williams, Gaussian Processes for Machine
Learning, 2006, equations 2.23, 2.24 and 2.30),

    n (1 + NEAR (max y - y)^2) R / rows          R: the most rows of any outcome; max y among those that had R

so that what lies near the best is told apart finely: it is there that candidates are chosen, and wide misses
need not be explained as well. l, w, v and n are the likeliest of small grids, found one after the other, so
that nothing has to be tuned and equal outcomes give equal critics. e are logarithms because what is lost at
one node after another multiplies. What lies far below all others (a candidate that diverged) is taken for
just bad: else it would be all there is to tell.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from onnxprune.agents.types import State
from onnxprune.masks import ChannelOrder

Floats = NDArray[np.float64]
Bits = NDArray[np.bool_]
Place = tuple[int, ...]  # in the grids
JOINT = 0.5
WIDTHS = (0.2, 0.4, 0.8)  # l, of shares
CHANNELS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)  # w
EXPLAINED = (0.0, 0.3, 1.0, 3.0, 10.0)  # v
NOISES = (1e-4, 5e-4, 0.002, 0.01, 0.05, 0.2)  # n, as shares of the variance of the accuracies
GRIDS = (EXPLAINED, WIDTHS, CHANNELS, NOISES)
MIDDLE = (2, 1, 2, 2)  # of the grids, where the likeliest is looked for first
SWEEPS = 2  # over all grids
LEAST = 0.02  # explained: below it, a node makes nothing of use
NEAR = 3.0
JITTER = 1e-8
ALIKE = 1e-9  # of the largest accuracy: a spread below it tells nothing
FIRST = 16  # outcomes whose interquartile range is the usual spread
FAR = 6.0  # so many spreads below the median is as bad as it gets


@dataclass(frozen=True)
class Fit:
    """What predictions need.

    Attributes:
        weights: v, l, w and n.
        factor: Cholesky factor of the kernel matrix with noise, as `cho_factor` gives it.
        solved: (N,) the inverse of that matrix times the standardised accuracies.
        centre, spread: Of the accuracies.
    """

    weights: tuple[float, ...]
    factor: tuple[Floats, bool]
    solved: Floats
    centre: float
    spread: float


@dataclass(frozen=True)
class Likeness:
    """How alike masks A and masks B are, in what the kernel is made of.

    Attributes:
        curves: (W, A, B) mean over the groups of exp(-distance^2 / 2 l^2), for each width l.
        joint: (A, B) the same of all groups together.
        products: (A, B) of what is left of the bits, given the shares.
        explained: (A, B) mean products of what is explained.
    """

    curves: Floats
    joint: Floats
    products: Floats
    explained: Floats

    @staticmethod
    def of(order: ChannelOrder, first: "Looks", second: "Looks") -> "Likeness":
        """Of A and B masks."""
        mine, theirs, sizes = kept(order, first.bits), kept(order, second.bits), np.diff(order.starts)
        both = first.bits.astype(np.float32) @ second.bits.astype(np.float32).T  # exact
        products = both.astype(np.float64)
        curves, apart = np.zeros((len(WIDTHS), *products.shape)), np.zeros(products.shape)
        for a, b, size in zip(mine.T, theirs.T, sizes.tolist(), strict=True):
            squares = np.square((a[:, None] - b) / size)
            apart += squares
            products -= a[:, None] * b / size
            for number, width in enumerate(WIDTHS):
                curves[number] += np.exp(squares / (-2 * width**2))
        groups = len(sizes)
        explained = first.explained @ second.explained.T / max(1, first.explained.shape[1])
        joint, products = np.exp(-3 * apart / groups), products / (0.1 * len(order))
        return Likeness(curves / groups, joint, products, explained)

    def kernel(self, explained: float, width: float, channels: float) -> Floats:
        """(A, B) for v, l and w."""
        found: Floats = self.curves[WIDTHS.index(width)] + JOINT * self.joint
        found += channels * self.products + explained * self.explained
        return found / (1 + JOINT)


@dataclass(frozen=True)
class Looks:
    """What the kernel looks at of N masks: (N, C) bits, and (N, R) of what is explained, standardised."""

    bits: Bits
    explained: Floats


def kept(order: ChannelOrder, bits: Bits) -> Floats:
    """(N, C) bits -> (N, G) kept counts."""
    found: Floats = np.add.reduceat(bits, order.starts[:-1], axis=1, dtype=np.float64)
    return found


@dataclass
class Critic:
    """Remembers outcomes, and predicts those of other masks.

    Attributes:
        order: Of the channels.
        most: So many outcomes are remembered; then the oldest go.
        explains: As in `Problem`.
        bits: (N, C) of the masks.
        explained: (N, R) logarithms of what is explained.
        accuracies: (N,).
        rows: (N,) samples that each accuracy stands for.
        fitted: What `fit` found; forgotten with every outcome.
    """

    order: ChannelOrder
    most: int
    explains: Callable[[Bits], Floats] | None = None
    bits: Bits = field(init=False)
    explained: Floats = field(init=False)
    accuracies: Floats = field(init=False)
    rows: Floats = field(init=False)
    fitted: Fit | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.bits = np.zeros((0, len(self.order)), bool)
        self.explained = self.logarithms(self.bits)
        self.accuracies, self.rows = np.zeros(0), np.zeros(0)

    def __len__(self) -> int:
        return len(self.accuracies)

    def add(self, bits: Bits, accuracy: float, rows: int) -> None:
        """Remember an outcome, in place: bits (C,), an accuracy from so many rows."""
        self.fitted = None
        self.bits = np.vstack([self.bits, bits[None]])[-self.most :]
        self.explained = np.vstack([self.explained, self.logarithms(bits[None])])[-self.most :]
        self.accuracies = np.append(self.accuracies, accuracy)[-self.most :]
        self.rows = np.append(self.rows, max(1, rows))[-self.most :]

    def logarithms(self, bits: Bits) -> Floats:
        """(N, C) bits -> (N, R) of what is explained."""
        if self.explains is None:
            return np.zeros((len(bits), 0))
        return np.log(np.maximum(self.explains(bits), LEAST))

    def looks(self, bits: Bits, explained: Floats) -> Looks:
        """Of N masks; what is explained in units of how much it differs among all that are remembered."""
        if not self.explained.size:
            return Looks(bits, np.zeros((len(bits), 0)))
        spread = float(self.explained.std(0).mean())
        return Looks(bits, (explained - self.explained.mean(0)) / (spread or 1.0))

    @property
    def known(self) -> Looks:
        """Of all that is remembered."""
        return self.looks(self.bits, self.explained)

    def asked(self, bits: Bits) -> Looks:
        """Of other masks."""
        return self.looks(bits, self.logarithms(bits))

    def fit(self) -> Fit | None:
        """The likeliest of the grids; None where the outcomes tell nothing: fewer than two, or all alike."""
        if self.fitted is None and len(self) > 1 and self.differ():
            self.fitted = self.likeliest()
        return self.fitted

    def differ(self) -> bool:
        """Whether the accuracies are not all alike."""
        return bool(self.accuracies.std() > ALIKE * np.abs(self.accuracies).max())

    @property
    def spread(self) -> float:
        """Interquartile range of the first outcomes that are remembered."""
        return float(np.subtract(*np.percentile(self.accuracies[:FIRST], [75, 25]))) if len(self) else 0.0

    def held(self) -> Floats:
        """(N,) the accuracies, none of them further below the median than so many spreads."""
        if not self.spread:
            return self.accuracies
        return np.maximum(self.accuracies, np.median(self.accuracies) - FAR * self.spread)

    def likeliest(self) -> Fit | None:
        """None where no kernel matrix can be factored."""
        accuracies = self.held()
        centre, spread = float(accuracies.mean()), float(accuracies.std())
        wanted = (accuracies - centre) / spread
        own, doubt = Likeness.of(self.order, self.known, self.known), self.doubts(wanted)

        def fitted(place: Place) -> tuple[float, Fit | None]:
            weights = tuple(grid[at] for grid, at in zip(GRIDS, place, strict=True))
            try:
                matrix = own.kernel(*weights[:3]) + np.diag(weights[3] * doubt + JITTER)
                factor = cho_factor(matrix, lower=True)
            except LinAlgError:
                return -np.inf, None
            solved = cho_solve(factor, wanted)
            likelihood = -0.5 * wanted @ solved - np.log(np.diagonal(factor[0])).sum()
            return float(likelihood), Fit(weights, factor, solved, centre, spread)

        @cache
        def likelihood(place: Place) -> float:
            return fitted(place)[0]

        place: Place = MIDDLE
        for axis in [*range(len(GRIDS))] * SWEEPS:
            line = [(*place[:axis], at, *place[axis + 1 :]) for at in range(len(GRIDS[axis]))]
            place = max(line, key=likelihood)
        return fitted(place)[1]

    def doubts(self, accuracies: Floats) -> Floats:
        """(N,) by how much each of these is noisier than the best that ran on all rows."""
        best = accuracies[self.rows == self.rows.max()].max()
        return (1 + NEAR * np.square(np.maximum(0, best - accuracies))) * self.rows.max() / self.rows

    def mean(self, fit: Fit, bits: Bits) -> Floats:
        """(M,) expected accuracies of masks (M, C)."""
        cross = Likeness.of(self.order, self.asked(bits), self.known).kernel(*fit.weights[:3])
        found: Floats = fit.centre + fit.spread * (cross @ fit.solved)
        return found

    def draws(self, fit: Fit, bits: Bits, normals: Floats) -> Floats:
        """(K, M) accuracies of masks (M, C) as they may be, all M together: from standard normals (K, M)."""
        looks = self.asked(bits)
        cross = Likeness.of(self.order, looks, self.known).kernel(*fit.weights[:3])
        own = Likeness.of(self.order, looks, looks).kernel(*fit.weights[:3])
        left = own - cross @ cho_solve(fit.factor, cross.T)
        values, vectors = np.linalg.eigh((left + left.T) / 2)
        root = vectors * np.sqrt(np.maximum(values, 0))
        found: Floats = fit.centre + fit.spread * (cross @ fit.solved + normals @ root.T)
        return found

    def state(self) -> State:
        """All that `restore` needs, as tensors; eight bits to a byte."""
        return {
            "bits": torch.from_numpy(np.packbits(self.bits, axis=1)),
            "explained": torch.from_numpy(self.explained.copy()),
            "accuracies": torch.from_numpy(self.accuracies.copy()),
            "rows": torch.from_numpy(self.rows.copy()),
        }

    def restore(self, state: State) -> None:
        """Go on from such a state, in place."""
        self.fitted = None
        packed = state["bits"].numpy()
        self.bits = np.unpackbits(packed, axis=1, count=len(self.order)).astype(bool)
        self.explained = state["explained"].numpy().copy()
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

"""Weights that make up for removed channels, from sums over the original: no forward pass for a mask.

A reader of columns S (kept) and R (removed) with weight W, Gram matrix G and column means m gets

    W'_S = W_S + (G_SS + ridge * mean(diag G_SS) * I)^-1 G_SR W_R
    b'   = b + m_R W_R - m_S (W'_S - W_S)

the least squares of its own output, as in `reconstruct`, but on what it reads in the original: what nodes
before it could not repair is not made up for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from onnxprune.evaluation.grams import Grams, Sums
from onnxprune.evaluation.readers import Reader, find_readers
from onnxprune.groups import Groups

Array = NDArray[Any]
Bits = NDArray[np.bool_]
Floats = NDArray[np.float64]
Method = Literal["none", "bias", "least-squares"]
METHODS: tuple[Method, ...] = ("none", "bias", "least-squares")


@dataclass(frozen=True, eq=False)
class Part:
    """One reader with its sums, and what was last made of it.

    Attributes:
        reader, sums: See there.
        last: The key of the last masks, and the constants that they led to; changed in place.
    """

    reader: Reader
    sums: Sums
    last: list[tuple[bytes, dict[str, Array]]] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Repairs:
    """What every mask of a model is repaired with.

    Attributes:
        groups: Of the original.
        parts: The readers that can be repaired.
        method: least-squares; bias, the means alone; none.
        ridge: Damping, as a share of the mean diagonal.
    """

    groups: Groups
    parts: Sequence[Part]
    method: Method
    ridge: float

    @staticmethod
    def of(
        groups: Groups, grams: Grams, *, method: Method = "least-squares", ridge: float = 1e-4
    ) -> "Repairs":
        """Repairs from sums that `gather` gave for the same groups."""
        wanted = () if method == "none" else find_readers(groups)
        parts = [Part(reader, grams[reader.node]) for reader in wanted if reader.node in grams]
        return Repairs(groups, parts, method, ridge)

    def weights(self, masks: Mapping[str, Bits]) -> dict[str, Array]:
        """Constants of the original with other values, in their own shape and type: for `prune`."""
        keep = self.groups.keep_labels(dict(masks))
        changed: dict[str, Array] = {}
        for part in self.parts:
            changed.update(self.changes(part, keep))
        return changed

    def changes(self, part: Part, keep: Bits) -> dict[str, Array]:
        """What one reader's constants become; the last result is kept for masks that leave it alone."""
        reader = part.reader
        kept = keep[reader.inputs]
        if kept.all():
            return {}
        made = np.ones(reader.bias.shape, bool) if reader.outputs is None else keep[reader.outputs]
        key = np.packbits(kept).tobytes() + np.packbits(made).tobytes()
        for before, changes in part.last:
            if before == key:
                return changes
        fit = self.fit(part, kept, made)
        part.last[:] = [(key, changes := stored_values(reader, fit))]
        return changes

    def fit(self, part: Part, kept: Bits, made: Bits) -> "Fit":
        """The repaired weight of the kept columns and outputs (g, K), (g, M); all else stays."""
        reader, sums = part.reader, part.sums
        solves = self.method == "least-squares" and sums.square is not None and reader.weight is not None
        matrix = reader.matrix.copy() if solves else None
        shift = np.zeros(reader.bias.shape)
        for g in range(len(kept)):
            stay, go, out = np.flatnonzero(kept[g]), np.flatnonzero(~kept[g]), np.flatnonzero(made[g])
            lost = reader.matrix[g][np.ix_(go, out)]
            shift[g, out] = sums.mean[g, go] @ lost
            if matrix is None or sums.square is None or not len(stay) or not len(out):
                continue
            change = correction(sums.square[g], stay, go, lost, ridge=self.ridge)
            if change is not None:
                matrix[g][np.ix_(stay, out)] += change
                shift[g, out] -= sums.mean[g, stay] @ change
        return Fit(matrix, shift)


@dataclass(frozen=True, eq=False)
class Fit:
    """What became of a reader: its weight (g, K, M), None where that stays; a shift (g, M) of its output."""

    matrix: Floats | None
    shift: Floats


Indices = NDArray[np.int64]


def correction(square: Floats, stay: Indices, go: Indices, lost: Floats, *, ridge: float) -> Floats | None:
    """(S, M) what the columns that stay take over of those that go; None where that cannot be solved."""
    left = square[np.ix_(stay, stay)]
    level = float(np.diagonal(left).mean())
    left.reshape(-1)[:: len(stay) + 1] += ridge * (level if level > 0 else 1.0)
    right = square[np.ix_(stay, go)] @ lost
    try:
        factor = cho_factor(left, lower=True, overwrite_a=True, check_finite=False)
    except LinAlgError:
        return None
    found: Floats = cho_solve(factor, right, overwrite_b=True, check_finite=False)
    return found


def stored_values(reader: Reader, fit: Fit) -> dict[str, Array]:
    """The constants that hold a fit; none where its weight would overflow its type."""
    changes: dict[str, Array] = {}
    if fit.matrix is not None and reader.weight is not None:
        weight = reader.weight.encoded(reader.form.weight_of(fit.matrix))
        if weight is None:
            return {}
        changes[reader.weight.source.name] = weight
    place = reader.place
    if place is not None:
        old = place.stored.read()
        shifted = old + (place.factor * fit.shift.reshape(-1)).reshape(old.shape)
        values = place.stored.encoded(shifted)
        if values is not None:
            changes[place.stored.source.name] = values
    return changes

"""Giving up on a candidate once it can hardly be good enough, after part of the rows.

A candidate runs on growing parts of the rows, and after each the figure that it could reach on all of them
is bounded from above; under the level that counts it is given up: the races of Maron & Moore (Hoeffding
Races, NeurIPS 1993), with the figures of an incumbent on the same rows beside them (as in BRACE, Moore &
Lee, ICML 1994): rows that are hard for both no longer add to the variance.

    seen        c - b * i + b * mean of i on all rows,  c the candidate's figures, i the incumbent's
    normal      mean + z * sqrt(variance / n * (1 - n / N))
    bernstein   mean + sqrt(2 variance L / n) + 3 range L / n,  L = ln(3 / delta)

For normal, b is that of the regression estimator (Cochran, Sampling Techniques, 1977, section 7.3): plain
differences, b = 1, blame a candidate for rows on which the incumbent was lucky. bernstein takes b = 1.

bernstein is the bound of Audibert, Munos & Szepesvári (2007), equation 1, as in Mnih et al., Empirical
Bernstein Stopping (ICML 2008); it holds for any distribution and any n, and needs figures of a known range.
The error probability is divided among the looks. In both the parts are drawn from N rows without
replacement, for which the bounds hold all the more (Hoeffding 1963, theorem 4).
"""

from dataclasses import dataclass
from math import log, sqrt
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Bound = Literal["normal", "bernstein"]
SHARES = (1 / 8, 1 / 4, 1 / 2, 1.0)  # of the rows, at which a candidate is looked at
FEWEST = 16  # rows at the first look


@dataclass(frozen=True)
class Race:
    """How candidates are bounded.

    Attributes:
        confidence: That a candidate that reaches the level on all rows is not given up on the way.
        bound: See above.
        spread: Largest minus smallest figure of a row; None where that is not known.
    """

    confidence: float = 0.99
    bound: Bound = "normal"
    spread: float | None = None


@dataclass(frozen=True)
class Reach:
    """What is known of a figure after some rows: an estimate, and what it can reach with confidence."""

    estimate: float
    most: float


def looks_of(rows: int) -> list[int]:
    """Numbers of rows after which candidates are looked at, the last one being all."""
    early = {round(share * rows) for share in SHARES[:-1]}
    return [*sorted(n for n in early if FEWEST <= n < rows), rows]


def reach_of(figures: Floats, incumbent: Floats | None, rows: int, race: Race) -> Reach:
    """What a candidate can reach on all rows.

    Args:
        figures: (n,) of the first rows, larger is better.
        incumbent: (rows,) of a candidate that ran on all of them, in the same order; None: there is none.
        rows: In all.
        race: The bound.
    """
    count = len(figures)
    beside = None if incumbent is None else incumbent[:count]
    exact = race.bound == "bernstein" and race.spread is not None
    if beside is None or incumbent is None:
        seen = figures.astype(np.float64)
    else:
        slope = 1.0 if exact else slope_of(figures, beside)
        seen = figures - slope * (beside - incumbent.mean(dtype=np.float64))
    estimate = float(seen.mean())
    if count >= rows:
        return Reach(float(figures.mean()), float(figures.mean()))
    delta = (1 - race.confidence) / max(1, len(looks_of(rows)) - 1)
    if exact:
        spread = (race.spread or 0.0) * (1 if beside is None else 2)
        return Reach(estimate, estimate + bernstein(seen, spread, delta))
    spread = float(np.ptp(figures)) if race.spread is None else race.spread
    return Reach(estimate, estimate + normal(seen, rows, delta, spread=spread))


def slope_of(figures: Floats, beside: Floats) -> float:
    """How much of what the incumbent gains on a row a candidate gains too, from 0 to 1."""
    variance = float(beside.var())
    if variance == 0:
        return 0.0
    covariance = float((figures * beside).mean() - figures.mean() * beside.mean())
    return min(1.0, max(0.0, covariance / variance))


def bernstein(seen: Floats, spread: float, delta: float) -> float:
    """How far a mean of n values of such a range lies above theirs at most, with probability 1 - delta."""
    scale = log(3 / delta) / len(seen)
    return sqrt(2 * float(seen.var()) * scale) + 3 * spread * scale


def normal(seen: Floats, rows: int, delta: float, *, spread: float) -> float:
    """The same by the normal approximation for n of N rows.

    One more row as far above, and one as far below the mean as a figure may lie is counted in (as in the
    interval of Agresti & Coull, 1998): without, a few rows that are all alike would leave no doubt.
    """
    count = len(seen)
    variance = (count * float(seen.var()) + 2 * spread**2) / (count + 2)
    z = NormalDist().inv_cdf(1 - delta)
    return z * sqrt(variance / count * (1 - count / rows))

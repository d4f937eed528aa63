"""From times to figures, and to a claim only where the noise allows one."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from onnxprune.measurement.timing import Times

Verdict = Literal["faster", "slower", "no claim"]
BLOCKS = 10
BLOCK_RUNS = 10  # at least so many in a block, else its median is noise itself


@dataclass(frozen=True)
class Percentiles:
    """Of the times of one model, in milliseconds; `cv` is the standard deviation as a part of the mean."""

    p10_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    mean_ms: float
    cv: float


@dataclass(frozen=True)
class Band:
    """Ratios of a model to itself (A/A) in blocks of time: what noise alone does."""

    low: float
    high: float


def percentiles(times: Times) -> Percentiles:
    """The figures of some times.

    Args:
        times: Milliseconds, (runs,).
    """
    p10, p50, p90, p99 = (float(figure) for figure in np.percentile(times, (10, 50, 90, 99)))
    mean = float(times.mean())
    return Percentiles(p10, p50, p90, p99, mean, float(times.std()) / mean if mean else 0.0)


def ratio(times: Times, baseline: Times) -> float:
    """Median by median; below 1 is faster than the baseline."""
    below = float(np.median(baseline))
    return float(np.median(times)) / below if below else float("nan")


def control_band(times: Times, baseline: Times) -> Band:
    """The ratios of the same model timed twice, over all and in up to ten blocks of time.

    control_band(times of A', times of A)  ->  Band(low=0.99, high=1.01) on a quiet machine
    """
    blocks = max(1, min(BLOCKS, len(times) // BLOCK_RUNS))
    pairs = zip(np.array_split(times, blocks), np.array_split(baseline, blocks), strict=True)
    ratios = [ratio(times, baseline), *(ratio(mine, theirs) for mine, theirs in pairs)]
    return Band(min(ratios), max(ratios))


def verdict(figure: float, band: Band) -> Verdict:
    """Which claim a ratio supports: none where the model differs from itself as much.

    verdict(0.75, Band(0.99, 1.01))  ->  "faster"
    verdict(0.90, Band(0.85, 1.40))  ->  "no claim"
    """
    if not (figure < min(band.low, 1.0) or figure > max(band.high, 1.0)):
        return "no claim"
    return "faster" if figure < 1 else "slower"

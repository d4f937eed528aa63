"""The learning rate of a training over its steps."""

import math


def warm_up_and_cosine(step: int, *, peak: float, warm_up: float, total: float) -> float:
    """Linearly up to the peak, then half a cosine down to 0, where it stays.

    Args:
        step: Counted from 0.
        peak: The largest rate, which is never exceeded.
        warm_up: Steps on the way up; a fraction of a step will do.
        total: Steps in all.

    Reference: SGDR (arXiv 1608.03983), equation 5.
    """
    if step < warm_up:
        return peak * min(1.0, (step + 1) / warm_up)
    progress = min(1.0, (step - warm_up) / max(1.0, total - warm_up))
    return peak * 0.5 * (1 + math.cos(math.pi * progress))

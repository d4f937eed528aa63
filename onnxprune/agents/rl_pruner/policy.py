"""The policy: what share of a step each group bears. Actions are drawn around it, and it moves to good ones.

There is no network and no gradient: the shares themselves are learned, as in an evolution strategy. With PD
the policy, xi normal, u even in [0, 1) and one for all groups (equations 11 and 12, u from the code):

    a    = PD + nu u xi                           clamped, normalised
    PD'  = PD + lambda (a* - PD)                  equation 18
    PD'' = PD clip(PD' / PD, 1 - delta, 1 + delta)   equations 19 and 20; clamped, normalised
"""

import numpy as np
from numpy.typing import NDArray

from onnxprune.agents.types import Floats

Bits = NDArray[np.bool_]
LEAST = 1e-5  # a share below it would never be drawn again


def normalised(shares: Floats, able: Bits) -> Floats:
    """(G,) shares, none below the least, that sum to 1; 0 for groups that are not able to bear any.

    Where no group is able, all are 0.
    """
    clamped = np.where(able, np.maximum(shares, LEAST), 0.0)
    total = clamped.sum()
    return np.asarray(clamped / total if total else clamped)


def drawn(policy: Floats, rng: np.random.Generator, *, deviations: Floats, able: Bits) -> Floats:
    """(G,) an action around the policy.

    Args:
        policy: (G,) shares.
        rng: Of the draw.
        deviations: (G,) of the noise, at most.
        able: (G,) groups that can lose channels.
    """
    scale = rng.random()
    return normalised(policy + deviations * scale * rng.standard_normal(len(policy)), able)


def updated(policy: Floats, action: Floats, *, rate: float, clip: float) -> Floats:
    """(G,) the policy after a step of `rate` to an action, no share changed by more than the clip.

    >>> updated(np.array([0.5, 0.5]), np.array([0.9, 0.1]), rate=0.25, clip=0.2).round(3)
    array([0.6, 0.4])
    >>> updated(np.array([0.5, 0.5]), np.array([0.9, 0.1]), rate=1.0, clip=0.2).round(3)
    array([0.6, 0.4])
    """
    moved = policy + rate * (action - policy)
    ratios = np.clip(moved / policy, 1 - clip, 1 + clip)
    return normalised(policy * ratios, np.ones(len(policy), np.bool_))

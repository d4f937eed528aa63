"""Scores of criteria as features."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from onnxprune.masks import ChannelOrder
from onnxprune.observation.scaling import Columns, log_standardised, ranks

Floats = NDArray[np.float64]
Scores = Mapping[str, Mapping[str, Floats]]

# Every observation has these, given or not, so that a policy can go from one model to another.
ALWAYS = (
    "l1", "l2", "group-l2", "fpgm", "bn-scale", "wanda", "act-mean-abs", "apoz", "obs", "hrank",
)  # fmt: skip


def put_criteria(columns: Columns, order: ChannelOrder, scores: Scores) -> None:
    """Three features a criterion, in place: logarithm, rank in the group, and whether it is missing."""
    for name in (*ALWAYS, *sorted(set(scores) - set(ALWAYS))):
        values = joined(order, scores.get(name, {}))
        known = np.isfinite(values)
        columns.put(name, log_standardised(np.where(known, values, 0.0), known))
        columns.put(
            f"{name} rank", np.where(known, ranks(np.where(known, values, np.inf), order.group_of), 0.0)
        )
        columns.put(f"{name} missing", ~known)


def joined(order: ChannelOrder, by_group: Mapping[str, Floats]) -> Floats:
    """(C,) scores, NaN where there are none."""
    values = np.full(len(order), np.nan)
    for name, start, end in zip(
        order.names, order.starts[:-1].tolist(), order.starts[1:].tolist(), strict=True
    ):
        if name in by_group:
            values[start:end] = by_group[name]
    return values

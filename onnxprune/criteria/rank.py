"""HRank: the rank of feature maps."""

import numpy as np

from onnxprune.calibration.cuts import prunable_cuts, value_of
from onnxprune.calibration.probe import Totals, collect
from onnxprune.criteria.activations import Array, required_inputs
from onnxprune.criteria.options import Options, Scores
from onnxprune.criteria.readers import ChannelTable
from onnxprune.groups import Groups
from onnxprune.operators.findings import Cut


def hrank(groups: Groups, options: Options) -> Scores:
    """Mean rank of a channel's feature map over the calibration inputs, where the first contraction reads it.

    Lin et al., HRank, CVPR 2020. A map with fewer than two spatial axes has rank 0 or 1; one with more is a
    matrix of its first against all others. One singular value decomposition a map and sample: some tens of
    samples are enough (ranks hardly depend on the input, says the paper), and more are slow.
    """
    cuts = first_cuts(groups)
    totals = collect(groups, cuts, required_inputs(options, "hrank"), ranks)
    table = ChannelTable(groups)
    for cut in cuts:
        found = totals[value_of(groups.graph, cut), cut.axis]
        table.add(cut, found.sums / max(1, found.count))
    return table.means()


def first_cuts(groups: Groups) -> list[Cut]:
    """For each prunable group the first contraction that reads it."""
    seen: set[int] = set()
    chosen = []
    for cut in prunable_cuts(groups):
        fresh = set(np.unique(groups.components.group[cut.labels]).tolist()) - seen - {-1}
        if fresh:
            seen |= fresh
            chosen.append(cut)
    return chosen


def ranks(value: Array, axis: int) -> Totals:
    """Ranks of the maps of each channel, added up over the batch axis."""
    if axis == 0:
        value, axis = value[None], 1  # no batch axis
    maps = np.moveaxis(value, axis, 1)  # (N, C, ...)
    count, channels = maps.shape[:2]
    if maps.ndim < 4:
        found = (maps != 0).reshape(count, channels, -1).any(axis=2)
    else:
        found = np.linalg.matrix_rank(maps.reshape(count, channels, maps.shape[2], -1))
    return Totals(found.sum(axis=0, dtype=np.float64), count)

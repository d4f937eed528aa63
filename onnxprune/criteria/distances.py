"""Filters that others could stand in for."""

from collections.abc import Iterator

import numpy as np

from onnxprune.calibration.dequantised import Floats
from onnxprune.criteria.options import Options, Scores
from onnxprune.criteria.weights import blocks, producers
from onnxprune.groups import Groups, Member
from onnxprune.onnx_file import Graph


def fpgm(groups: Groups, _options: Options) -> Scores:
    """Sum of the distances of a filter to all others of its group; the most replaceable goes first.

    He et al., Filter Pruning via Geometric Median, CVPR 2019: s_j = sum_i ||F_i - F_j||_2. A channel that
    several filters produce takes the mean over them. O(C^2) memory in the channels of a group.
    """
    scores = {group.name: np.zeros(group.channels) for group in groups.prunable}
    for group in groups.prunable:
        own = producers(group)
        for member in own:
            scores[group.name] += distance_sums(groups.graph, member) / len(own)
    return scores


def distance_sums(graph: Graph, member: Member) -> Floats:
    """(channels,) sums of the distances between the slices of one member."""
    total = np.zeros((len(member.positions), len(member.positions)))
    for part in slices(graph, member):  # (channels, features)
        part = part - part.mean(axis=0)  # distances stay; the products below lose fewer digits
        squares = np.square(part).sum(axis=1)
        total += squares[:, None] + squares[None, :] - 2 * part @ part.T
    np.fill_diagonal(total, 0)
    result: Floats = np.sqrt(np.maximum(total, 0)).sum(axis=1)
    return result


def slices(graph: Graph, member: Member) -> Iterator[Floats]:
    """Parts (channels, features) whose squared distances add up to those of whole slices."""
    count = len(member.positions)
    if member.axis == 0:
        rows = [block for _, block in blocks(graph, member.tensor)]
        yield np.concatenate(rows)[member.positions].reshape(count, -1)
        return
    for _, block in blocks(graph, member.tensor):
        yield np.moveaxis(block, member.axis, 0)[member.positions].reshape(count, -1)

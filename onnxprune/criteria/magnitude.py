"""Criteria that look at the size of weights."""

import numpy as np

from onnxprune.criteria.options import Options, Scores
from onnxprune.criteria.weights import channel_sums, learned, producers, slice_sums
from onnxprune.errors import UnsupportedError
from onnxprune.groups import Group, Groups, Member
from onnxprune.onnx_file import Graph
from onnxprune.operators.slots import NORMALISATION_SCALE


def l1(groups: Groups, _options: Options) -> Scores:
    """Sum of |w| over the filters that produce a channel.

    Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017, section 3.1: s_j = sum |F_j|.
    """
    members = {group.name: producers(group) for group in groups.prunable}
    return summed(groups, members, np.abs)


def l2(groups: Groups, _options: Options) -> Scores:
    """Euclidean norm of all filters that produce a channel: s_j = sqrt(sum F_j^2).

    He et al., Soft Filter Pruning, IJCAI 2018, equation 2 with p = 2.
    """
    members = {group.name: producers(group) for group in groups.prunable}
    return {name: np.sqrt(values) for name, values in summed(groups, members, np.square).items()}


def group_l2(groups: Groups, _options: Options) -> Scores:
    """Sum of w^2 over all coupled sites: producers, consumers, biases and normalisation parameters.

    Fang et al., DepGraph, CVPR 2023: I(g, k) = sum over w in g of ||w[k]||^2. Running statistics
    and quantisation parameters are no weights and do not count.
    """
    members = {group.name: learned(groups, group) for group in groups.prunable}
    return summed(groups, members, np.square)


def bn_scale(groups: Groups, _options: Options) -> Scores:
    """Mean of |gamma| over the BatchNormalizations that a channel runs through.

    Liu et al., Learning Efficient Convolutional Networks through Network Slimming, ICCV 2017. Groups without
    a BatchNormalization have no score, and so lose nothing.

    Raises:
        UnsupportedError: E403, where the model has none: exporters fold it into the convolutions.
    """
    members = {group.name: scales(groups, group) for group in groups.prunable}
    members = {name: found for name, found in members.items() if found}
    if groups.prunable and not members:
        raise UnsupportedError(
            "E403",
            "criterion bn-scale needs BatchNormalization nodes, and no prunable group runs through one",
            cause="exporters fold them into the convolutions before them",
            hint="use l2 or group-l2, or export with training=PRESERVE, do_constant_folding=False",
        )
    sums = summed(groups, members, np.abs)
    return {name: values / sum(m.positions.shape[1] for m in members[name]) for name, values in sums.items()}


def scales(groups: Groups, group: Group) -> tuple[Member, ...]:
    """Members that are the factor of a normalisation by statistics."""
    return tuple(member for member in group.members if is_scale(groups.graph, member.tensor))


def is_scale(graph: Graph, name: str) -> bool:
    readers = [(graph.nodes[edge.node], edge.slot) for edge in graph.consumers.get(name, ())]
    return any(NORMALISATION_SCALE.get((node.domain, node.op_type)) == slot for node, slot in readers)


def random(groups: Groups, options: Options) -> Scores:
    """Uniform numbers from [0, 1): what every other criterion has to beat."""
    rng = np.random.default_rng(options.seed)
    return {group.name: rng.random(group.channels) for group in groups.prunable}


def summed(groups: Groups, members: dict[str, tuple[Member, ...]], elementwise: np.ufunc) -> Scores:
    """Sum of `elementwise(w)` over these members, by group and channel."""
    every = [member for own in members.values() for member in own]
    sums = slice_sums(groups.graph, every, elementwise)
    return {name: channel_sums(own, sums, groups[name].channels) for name, own in members.items()}

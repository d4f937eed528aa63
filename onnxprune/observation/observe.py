"""The observation of a model, put together from its groups, its costs and the scores of its channels."""

from collections.abc import Mapping

import numpy as np

from onnxprune.cost import CostModel
from onnxprune.groups import Groups
from onnxprune.observation.channel_features import Parts, channel_columns
from onnxprune.observation.criteria import Floats
from onnxprune.observation.node_features import node_columns
from onnxprune.observation.relations import find_relations
from onnxprune.observation.rows import ChannelRows
from onnxprune.observation.site_features import find_sites
from onnxprune.observation.types import FLOWS_TO, MADE_BY, PARTNER, READ_BY, ObservationGraph
from onnxprune.observation.vertices import find_vertices
from onnxprune.observation.weights import read_weights


def observe(
    groups: Groups, cost_model: CostModel, scores: Mapping[str, Mapping[str, Floats]] = {}
) -> ObservationGraph:
    """What a policy sees of a model, before any channel is gone.

    Args:
        groups: From `find_groups`.
        cost_model: Of these groups.
        scores: Results of criteria: by criterion, by group, (channels,). What is missing is told to be so;
            "l1" and "l2" are computed where they are missing.

    Returns:
        Features and edges. Nothing in it is random, and everything follows its channels: a model with its
        channels in another order gives the same rows in that order. Time and memory are linear in the
        sites and the weights; a weight is read once, in pieces.
    """
    rows = ChannelRows.of(groups)
    vertices = find_vertices(rows)
    slices, partners = read_weights(rows)
    relations = find_relations(rows, vertices, slices)
    sites = find_sites(rows, vertices)
    parts = Parts(rows, vertices, slices, relations, sites)
    channels = channel_columns(parts, cost_model, scores)
    nodes = node_columns(rows, vertices, sites, cost_model)
    return ObservationGraph(
        channels=channels.table(len(rows)),
        channel_features=tuple(channels.names),
        nodes=nodes.table(len(vertices.nodes)),
        node_features=tuple(nodes.names),
        node_names=tuple(node.name for node in vertices.nodes),
        group_of=rows.group_of.astype(np.int64),
        group_names=rows.order.names,
        edges={
            MADE_BY: relations.made_by,
            READ_BY: relations.read_by,
            FLOWS_TO: vertices.flows,
            PARTNER: partners,
        },
    )

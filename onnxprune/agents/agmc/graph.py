"""The simplified computation graph: feature maps as vertices, operations as edges.

Yu, Mazaheri and Jannesari, AGMC, ICCV 2021, section 3.1. There is one source and one sink; vertex v + 1 is
the map that node v of the observation makes, and the edges that lead to it are that node, so that the type of
an edge is the family of its operator. Single filters, where they are wanted, are vertices between the maps
that a contraction reads and the map in which its filters come together. Vertices that are alike add nothing
to a mean, so only the paper's random features, which tell them apart, have them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxprune.agents.types import Problem
from onnxprune.observation.families import CONTRACTION, FAMILIES, LAYOUT, family_of
from onnxprune.observation.node_features import node_columns
from onnxprune.observation.rows import ChannelRows
from onnxprune.observation.site_features import find_sites
from onnxprune.observation.vertices import Vertices, find_vertices

Counts = NDArray[np.int64]
Singles = NDArray[np.float32]
RANDOM_FEATURES = 50
PASSED_ON = len(FAMILIES)  # kind of the edges that lead to the sink
KINDS = PASSED_ON + 1


@dataclass(frozen=True)
class MapGraph:
    """Feature maps and what leads from one to the next.

    Attributes:
        features: (V, F) the source first, then a map for each node, then the sink, then single filters.
        names: (F,) of the features.
        edges: (2, E) sources and targets.
        kinds: (E,) below `KINDS`.
        makers: (G, V) weights that average over the maps in which each prunable group is made.
    """

    features: Singles
    names: tuple[str, ...]
    edges: Counts
    kinds: Counts
    makers: Singles


def map_graph(problem: Problem) -> MapGraph:
    """With structural features: those of the nodes in an observation, and flags of both ends."""
    rows = ChannelRows.of(problem.groups)
    vertices = find_vertices(rows)
    columns = node_columns(rows, vertices, find_sites(rows, vertices), problem.cost_model)
    count = len(vertices.nodes)
    table = np.zeros((count + 2, len(columns.names) + 2), np.float32)
    table[1:-1, :-2] = columns.table(count)
    table[0, -2] = table[-1, -1] = 1
    edges, kinds = map_edges(vertices, families(rows, vertices))
    names = (*columns.names, "source", "sink")
    return MapGraph(table, names, edges, kinds, makers_of(rows, vertices))


def random_graph(problem: Problem) -> MapGraph:
    """With random features, drawn once by the seed, and a vertex for every filter."""
    rows = ChannelRows.of(problem.groups)
    vertices = find_vertices(rows)
    found = families(rows, vertices)
    edges, kinds = map_edges(vertices, found)
    outputs = find_sites(rows, vertices).outputs.astype(np.int64)
    filters = np.where(found == FAMILIES.index(CONTRACTION), np.maximum(1, outputs), 0)
    edges, kinds = with_filters(edges, kinds, filters)
    makers = makers_of(rows, vertices)
    count = makers.shape[1] + int(filters.sum())
    makers = np.pad(makers, ((0, 0), (0, count - makers.shape[1])))
    drawn = np.random.default_rng(problem.seed).standard_normal((count, RANDOM_FEATURES))
    names = tuple(f"random {number}" for number in range(RANDOM_FEATURES))
    return MapGraph(drawn.astype(np.float32), names, edges, kinds, makers)


def families(rows: ChannelRows, vertices: Vertices) -> Counts:
    """(nodes,) number of each one's family."""
    contracting = {term.node for term in rows.groups.findings.macs}
    found = [family_of(node, contracts=node.name in contracting) for node in vertices.nodes]
    return np.array([FAMILIES.index(family) for family in found], np.int64)


def map_edges(vertices: Vertices, families: Counts) -> tuple[Counts, Counts]:
    """Edges (2, E) between maps, with their kinds (E,); what nothing leads to begins at the source."""
    flows, nodes = vertices.flows.index, np.arange(len(vertices.nodes))
    first = np.setdiff1d(nodes, flows[1])
    last = np.setdiff1d(nodes, flows[0])
    sources = np.concatenate([flows[0] + 1, np.zeros(len(first), np.int64), last + 1])
    targets = np.concatenate([flows[1] + 1, first + 1, np.full(len(last), len(nodes) + 1)])
    kinds = np.concatenate([families[flows[1]], families[first], np.full(len(last), PASSED_ON)])
    return np.stack([sources, targets]), kinds


def with_filters(edges: Counts, kinds: Counts, filters: Counts) -> tuple[Counts, Counts]:
    """The edges that lead to each node's map run through so many filters, new vertices at the end.

    Args:
        edges, kinds: Of maps; the map of node v is vertex v + 1.
        filters: (nodes,) 0 where the edges stay as they are.
    """
    begins = len(filters) + 2 + np.concatenate([[0], np.cumsum(filters)])
    of_target = np.concatenate([[0], filters, [0]])[edges[1]]
    stays = of_target == 0
    parts, found = [edges[:, stays]], [kinds[stays]]
    for (source, target), kind in zip(edges[:, ~stays].T.tolist(), kinds[~stays].tolist(), strict=True):
        own = np.arange(begins[target - 1], begins[target])
        parts.append(np.stack([np.full(len(own), source), own]))
        found.append(np.full(len(own), kind))
    for node in np.flatnonzero(filters).tolist():
        own = np.arange(begins[node], begins[node + 1])
        parts.append(np.stack([own, np.full(len(own), node + 1)]))
        found.append(np.full(len(own), FAMILIES.index(LAYOUT)))
    return np.concatenate(parts, axis=1), np.concatenate(found)


def makers_of(rows: ChannelRows, vertices: Vertices) -> Singles:
    """(G, V) averages over the maps in which prunable groups are made, of all maps where none is."""
    weights = np.zeros((len(rows.order.names), len(vertices.nodes) + 2), np.float32)
    for name, labels in rows.groups.produced_at.items():
        if name in vertices.of_name:
            for own in labels:
                weights[np.unique(rows.group_of[rows.rows(own)]), vertices.of_name[name] + 1] = 1
    weights[~weights.any(axis=1), 1:-1] = 1
    return weights / np.maximum(1, weights.sum(axis=1, keepdims=True))

"""What is told of a channel beside the scores of criteria."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxprune.cost import CostModel
from onnxprune.observation.criteria import Scores, put_criteria
from onnxprune.observation.relations import Relations
from onnxprune.observation.rows import ChannelRows
from onnxprune.observation.scaling import Columns, log_standardised, logarithms, ranks, standardised
from onnxprune.observation.site_features import Sites
from onnxprune.observation.vertices import Vertices
from onnxprune.observation.weights import Bits, Slices

Floats = NDArray[np.float64]
ROWS = 1 << 22  # extents that are counted at once


@dataclass(frozen=True)
class Parts:
    """What the features of channels are made of."""

    rows: ChannelRows
    vertices: Vertices
    slices: Slices
    relations: Relations
    sites: Sites


def channel_columns(parts: Parts, cost_model: CostModel, scores: Scores) -> Columns:
    """Features of every channel: (C,) each."""
    columns = Columns()
    put_criteria(columns, parts.rows.order, own_scores(parts) | dict(scores))
    put_sizes(columns, parts)
    put_cost(columns, parts.rows, cost_model)
    put_place(columns, parts)
    put_roles(columns, parts)
    return columns


def own_scores(parts: Parts) -> dict[str, dict[str, Floats]]:
    """L1 and L2 of the weights that make each channel, in case nobody hands them in."""
    slices, split = parts.slices, parts.rows.order.split
    if not len(parts.rows):
        return {}
    where = makers(parts)
    l1 = slices.by_row(parts.rows, slices.absolute, where)
    l2 = np.sqrt(slices.by_row(parts.rows, slices.squared, where))
    return {"l1": split(l1), "l2": split(l2)}


def makers(parts: Parts) -> Bits:
    """(labels,) of the weights that make each channel; of its readers where none does; else of all."""
    rows, slices = parts.rows, parts.slices
    none = np.ones(len(rows) + 1, bool)
    found = np.zeros(len(slices.known), bool)
    for candidates in (slices.made, slices.read, np.ones_like(slices.made)):
        own = slices.known & candidates & none[rows.of_label]
        found |= own
        none[rows.of_label[own]] = False
    return found


def put_sizes(columns: Columns, parts: Parts) -> None:
    """Of the weights that read a channel, and of the numbers added to it, in place."""
    rows, slices = parts.rows, parts.slices
    reader = np.sqrt(slices.by_row(rows, slices.squared, slices.read))
    columns.put("reader l2", log_standardised(reader))
    columns.put("reader l2 rank", ranks(reader, rows.group_of))
    shift = slices.by_row(rows, slices.signed, ~(slices.made | slices.read))
    columns.put("bias", log_standardised(shift))
    columns.put("bias rank", ranks(shift, rows.group_of))


def put_cost(columns: Columns, rows: ChannelRows, cost_model: CostModel) -> None:
    """The share of the model's cost that goes with one channel, in place."""
    for name, shares in cost_shares(rows, cost_model).items():
        columns.put(f"{name.removesuffix('_ns')} share", log_standardised(shares[rows.group_of]))


def cost_shares(rows: ChannelRows, cost_model: CostModel) -> dict[str, Floats]:
    """(G,) by kind of cost, what one channel of each prunable group takes of the whole."""
    whole = cost_model.channels[None]
    places = np.flatnonzero(np.isin(cost_model.names, rows.order.names))
    every = cost_model.count_kept(whole)
    shares = {name: np.zeros(len(places)) for name in vars(every)}
    size = max(1, ROWS // (1 + sum(len(group.members) for group in cost_model.groups)))
    for start in range(0, len(places), size):
        chosen = places[start : start + size]
        kept = np.repeat(whole, len(chosen), axis=0)
        kept[np.arange(len(chosen)), chosen] -= 1
        costs = cost_model.count_kept(kept)
        for name, values in shares.items():
            total = int(getattr(every, name)[0])
            values[start : start + size] = (total - getattr(costs, name)) / max(1, total)
    return shares


def put_place(columns: Columns, parts: Parts) -> None:
    """Where in the model a channel is made, and how, in place."""
    rows, vertices, sites = parts.rows, parts.vertices, parts.sites
    first = first_maker(parts)
    made = first >= 0
    sizes = np.diff(rows.order.starts).astype(np.float64)
    columns.put("group size", standardised(logarithms(sizes)[rows.group_of]))
    columns.put("depth", np.where(made, np.append(vertices.depth, 0.0)[first], 0.0))
    columns.put("kernel", np.where(made, np.append(sites.kernel, 0.0)[first], 0.0))
    columns.put("stride", np.where(made, np.append(sites.stride, 0.0)[first], 0.0))
    readers = np.bincount(parts.relations.read_by.index[0], minlength=len(rows))
    columns.put("readers", standardised(np.log1p(readers)))


def first_maker(parts: Parts) -> NDArray[np.int64]:
    """(C,) the first vertex that makes each channel, -1 where none does."""
    sources, targets = parts.relations.made_by.index  # sorted by source, then by target
    first = np.full(len(parts.rows), -1)
    first[sources[::-1]] = targets[::-1]
    return first


def put_roles(columns: Columns, parts: Parts) -> None:
    """What removing a channel involves, in place: several may hold, and it is plain where none does."""
    rows, relations = parts.rows, parts.relations
    made, read = (
        pairs(edges.index, len(parts.vertices.nodes)) for edges in (relations.made_by, relations.read_by)
    )
    grouped = parts.sites.grouped[relations.made_by.index[1]]
    through = np.isin(made, read) & grouped  # in and out of one grouped node: depthwise
    sources = relations.made_by.index[0]
    depthwise = np.bincount(sources[through], minlength=len(rows)) > 0
    residual = np.bincount(sources[~through], minlength=len(rows)) > 1
    shared = sharing(rows)
    dense = np.append(parts.sites.dense, False)[first_maker(parts)]
    columns.put("plain", ~(depthwise | residual | shared | dense))
    columns.put("residual", residual)
    columns.put("depthwise", depthwise)
    columns.put("shared axis", shared)
    columns.put("dense", dense)
    inexact = np.array([group.inexact for group in rows.groups.prunable] + [False])
    columns.put("inexact", inexact[rows.group_of])


def pairs(index: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """One number for each edge between a channel and one of so many nodes."""
    return np.asarray(index[0] * count + index[1], np.int64)


def sharing(rows: ChannelRows) -> Bits:
    """(C,) the channel lies beside channels of another group on an axis of a weight, as behind a Concat."""
    graph, shared = rows.groups.graph, np.zeros(len(rows.groups) + 1, bool)
    for name, _, labels in rows.groups.findings.store.sites():
        if name in graph.initializers and rows.carries(labels):
            found = np.unique(rows.groups.components.group[labels])
            shared[found] |= len(found) > 1
    places = [number for number, group in enumerate(rows.groups) if group.frozen is None]
    return np.asarray(shared[places][rows.group_of], bool)

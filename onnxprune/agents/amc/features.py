"""What AMC is told of a group: extents of the node that makes it, and where the budget stands.

The paper's state of layer t is (t, n, c, h, w, stride, k, FLOPs[t], reduced, rest, a_{t-1}) (He et al.,
section 3.1), that of the code (t, dense, c, n, stride, k, weights, reduced, rest, a_{t-1}). A layer is
here a group: its extents are those of the node that makes it first, its cost all that goes with its channels.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from onnxprune.agents.ddpg.shares import own_costs
from onnxprune.agents.space import Space
from onnxprune.observation.rows import ChannelRows
from onnxprune.observation.site_features import Sites, find_sites
from onnxprune.observation.vertices import Vertices, find_vertices

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
FEATURES = {
    "paper": ("index", "outputs", "inputs", "height", "width", "stride", "kernel", "cost"),
    "code": ("index", "dense", "inputs", "outputs", "stride", "kernel", "params"),
}


def static_features(space: Space, kind: str, quantity: str) -> Floats:
    """(G, F) of the prunable groups, each feature scaled to [0, 1] over the groups.

    Args:
        space: Of the groups.
        kind: Of `FEATURES`.
        quantity: Which cost is told.
    """
    table = columns(space, quantity)
    return np.stack([scaled(table[name]) for name in FEATURES[kind]], axis=1)


def columns(space: Space, quantity: str) -> Mapping[str, Floats]:
    """(G,) by name, unscaled."""
    rows = ChannelRows.of(space.problem.groups)
    vertices = find_vertices(rows)
    sites, makers = find_sites(rows, vertices), first_makers(rows, vertices)
    extents = {name: getattr(sites, name)[makers].astype(np.float64) for name in Sites.__annotations__}
    return extents | {
        "index": np.arange(len(makers), dtype=np.float64),
        "cost": own_costs(space, quantity),
        "stride": 2 ** extents["stride"],
        "kernel": 2 ** extents["kernel"],
    }


def first_makers(rows: ChannelRows, vertices: Vertices) -> Counts:
    """(G,) vertex that makes each prunable group first, or has it first where none contracts into it."""
    of_name = vertices.of_name
    found = [
        of_name[group.anchor] if group.anchor in of_name else first_with(rows, vertices, number)
        for number, group in enumerate(rows.groups.prunable)
    ]
    return np.array(found, np.int64)


def first_with(rows: ChannelRows, vertices: Vertices, number: int) -> int:
    """The first vertex that a prunable group runs through; the first of all where there is none."""
    for vertex, node in enumerate(vertices.nodes):
        for value in filter(None, (*node.outputs, *node.inputs)):
            for labels in rows.groups.axis_labels(value):
                if labels is not None and (rows.group_of[rows.rows(labels)] == number).any():
                    return vertex
    return 0


def scaled(values: Floats) -> Floats:
    """To [0, 1]; zeros where all are alike."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros(len(values))

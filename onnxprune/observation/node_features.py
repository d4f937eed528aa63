"""What is told of a node that is a vertex."""

import numpy as np
from numpy.typing import NDArray

from onnxprune.cost import CostModel
from onnxprune.observation.families import FAMILIES, family_of
from onnxprune.observation.rows import ChannelRows
from onnxprune.observation.scaling import Columns, standardised
from onnxprune.observation.site_features import Sites
from onnxprune.observation.vertices import Vertices

Floats = NDArray[np.float64]


def node_columns(rows: ChannelRows, vertices: Vertices, sites: Sites, cost_model: CostModel) -> Columns:
    """Features of every vertex: (V,) each."""
    columns = Columns()
    contracting = {term.node for term in rows.groups.findings.macs}
    families = np.array([family_of(node, contracts=node.name in contracting) for node in vertices.nodes], str)
    for family in FAMILIES:
        columns.put(family, families == family)
    for name in ("inputs", "outputs", "height", "width", "group"):
        columns.put(f"log {name}", standardised(np.log(np.maximum(1.0, getattr(sites, name)))))
    columns.put("kernel", sites.kernel)
    columns.put("stride", sites.stride)
    put_cost(columns, vertices, sites, cost_model)
    columns.put("depth", vertices.depth)
    shares = np.array([prunable_share(rows, node.outputs) for node in vertices.nodes], np.float64)
    columns.put("prunable output", shares)
    touched = [any(rows.touch(v) for v in (*n.inputs, *n.outputs) if v) for n in vertices.nodes]
    columns.put("prunable", np.array(touched, bool))
    return columns


def put_cost(columns: Columns, vertices: Vertices, sites: Sites, cost_model: CostModel) -> None:
    """Logarithms and shares of the whole, in place."""
    by_name = cost_model.macs_by_node({})
    macs = np.array([by_name.get(node.name, 0) for node in vertices.nodes], np.float64)
    whole = cost_model.count({})
    for name, values, total in (("macs", macs, whole.macs), ("params", sites.params, whole.params)):
        columns.put(f"log {name}", standardised(np.log1p(values)))
        columns.put(f"{name} share", np.minimum(1.0, values / max(1, total)))


def prunable_share(rows: ChannelRows, outputs: tuple[str, ...]) -> float:
    """The largest part of an axis of the outputs that may go."""
    return max(
        (
            float((rows.of_label[labels] >= 0).mean())
            for output in outputs
            if output
            for labels in rows.groups.axis_labels(output)
            if labels is not None and rows.carries(labels)
        ),
        default=0.0,
    )

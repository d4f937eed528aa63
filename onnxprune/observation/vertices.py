"""Which nodes are vertices, and how data flows between them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxprune.calibration.cuts import computed_from_data
from onnxprune.groups import Groups
from onnxprune.observation.rows import ChannelRows
from onnxprune.observation.types import Edges, merged
from onnxprune.onnx_file import Graph, Node
from onnxprune.onnx_file.ordering import captures


@dataclass(frozen=True)
class Vertices:
    """Nodes that contract, that prunable channels run through, or in which several flows meet.

    Attributes:
        nodes: In the order of the graph.
        of_node: Number of the vertex by the node's index in the graph.
        of_name: The same by the node's name.
        flows: From each vertex to those that read what it makes, whatever lies between them left out.
        depth: (V,) in [0, 1], vertices on the longest way to each from where the model begins.
    """

    nodes: tuple[Node, ...]
    of_node: dict[int, int]
    of_name: dict[str, int]
    flows: Edges
    depth: NDArray[np.float64]


def find_vertices(rows: ChannelRows) -> Vertices:
    """The vertices of a model, in one pass over its nodes.

    A node that is none passes on at most one vertex, because a node in which two meet is one itself. So
    edges are linear in the nodes.
    """
    groups = rows.groups
    contracting = {term.node for term in groups.findings.macs}
    behind: dict[str, int] = {}  # value -> the vertex that it comes from
    chosen: list[Node] = []
    depth: list[int] = []
    edges: list[tuple[int, int]] = []
    for node in data_nodes(groups):
        sources = {behind[name] for name in read_by(node) if name in behind}
        touched = any(rows.touch(value) for value in (*node.inputs, *node.outputs) if value)
        if node.name in contracting or touched or len(sources) > 1:
            edges.extend((source, len(chosen)) for source in sources)
            depth.append(1 + max((depth[source] for source in sources), default=-1))
            sources = {len(chosen)}
            chosen.append(node)
        for source in sources:
            behind.update(dict.fromkeys(filter(None, node.outputs), source))
    pairs = np.array(edges, np.int64).reshape(-1, 2)
    return Vertices(
        tuple(chosen),
        {node.index: vertex for vertex, node in enumerate(chosen)},
        {node.name: vertex for vertex, node in enumerate(chosen)},
        merged(pairs[:, 0], pairs[:, 1], np.ones(len(pairs))),
        np.array(depth, np.float64) / max(1, *depth, 1),
    )


def data_nodes(groups: Groups) -> list[Node]:
    """Nodes that work on data: neither on weights alone, nor on numbers such as extents."""
    data, numbers = computed_from_data(groups.graph), groups.host.found
    return [
        node
        for node in groups.graph.nodes
        if any(name in data and name not in numbers for name in node.outputs if name)
    ]


def read_by(node: Node) -> list[str]:
    """Values that a node reads, inside its subgraphs too."""
    return [*filter(None, node.inputs), *captures(node.proto)]


def constants_behind(graph: Graph) -> dict[str, tuple[str, ...]]:
    """By value that no input of the graph has a part in: the weights that it is made of."""
    data = computed_from_data(graph)
    found: dict[str, tuple[str, ...]] = {
        name: (name,) for name, i in graph.initializers.items() if i.is_weight
    }
    for node in graph.nodes:
        if not data.intersection(node.inputs):
            own = {name for value in node.inputs for name in found.get(value, ())}
            found.update({output: tuple(sorted(own)) for output in node.outputs if output and own})
    return found

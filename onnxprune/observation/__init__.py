"""What a policy sees of a model: its channels and nodes as the vertices of one graph.

    graph = observe(groups, cost_model, {"l2": score(groups, "l2")})
    graph.channels                                   # (C, Fc) float32, rows as in ChannelOrder
    graph.edges["channel", "read_by", "node"].index  # (2, E)

types.py            ObservationGraph, Edges
rows.py             labels as rows of ChannelOrder
blocks.py           weights piece by piece, dequantised
weights.py          sums over the slices of weights, and the channels that weights join, in one reading
vertices.py         which nodes are vertices, and how data flows between them
relations.py        which node makes a channel, and which reads it
scaling.py          logarithms, standardisation, ranks
criteria.py         scores of criteria as features
site_features.py    extents, kernels and sizes of each node
families.py         families of operators, told from their coupling functions
channel_features.py what is told of a channel
node_features.py    what is told of a node
observe.py          all of it, put together
"""

from onnxprune.observation.observe import observe
from onnxprune.observation.types import EdgeKind, Edges, ObservationGraph

__all__ = ["EdgeKind", "Edges", "ObservationGraph", "observe"]

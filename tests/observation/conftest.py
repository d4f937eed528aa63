"""`observation_of(signature, body, **weights)`: the observation of a small model stated as text."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from onnxprune.cost import CostModel
from onnxprune.groups import Groups, find_groups
from onnxprune.observation import Edges, ObservationGraph, observe
from onnxprune.onnx_file import load_graph
from tests.law.build import Weight, model, save


@dataclass(frozen=True)
class Observed:
    """Groups, and what is seen of them."""

    groups: Groups
    graph: ObservationGraph

    def feature(self, name: str) -> np.ndarray:
        """(C,)"""
        return self.graph.channels[:, self.graph.channel_features.index(name)]

    def node_feature(self, name: str) -> dict[str, float]:
        """By the first output of the node."""
        column = self.graph.nodes[:, self.graph.node_features.index(name)]
        return dict(zip(self.graph.node_names, column.tolist(), strict=True))

    def edges(self, relation: str) -> Edges:
        return next(edges for kind, edges in self.graph.edges.items() if kind[1] == relation)

    def nodes_of(self, relation: str, channel: int) -> list[str]:
        """Names of the nodes at the other end of a channel's edges."""
        index = self.edges(relation).index
        return [self.graph.node_names[node] for node in index[1, index[0] == channel]]


Observe = Callable[..., Observed]


@pytest.fixture
def observation_of(tmp_path: Path) -> Observe:
    def build(signature: str, body: str, *, opset: int = 21, ir: int = 10, **weights: Weight) -> Observed:
        groups = find_groups(
            load_graph(save(model(signature, body, opset=opset, ir=ir, **weights), tmp_path))
        )
        return Observed(groups, observe(groups, CostModel(groups)))

    return build

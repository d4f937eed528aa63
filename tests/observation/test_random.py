"""The observation of random models built from the supported operators."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import HealthCheck, given, settings
from onnx import ModelProto

from onnxprune.cost import CostModel
from onnxprune.groups import find_groups
from onnxprune.masks import ChannelOrder
from onnxprune.observation import observe
from onnxprune.observation.types import FLOWS_TO, MADE_BY
from onnxprune.onnx_file import load_graph
from tests.law.build import save
from tests.law.random_models import random_models

RELAXED = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@RELAXED
@given(random_models(decorated=True))
def test_random_models_are_seen_whole(made: ModelProto) -> None:
    with TemporaryDirectory() as folder:
        groups = find_groups(load_graph(save(made, Path(folder))))
        graph = observe(groups, CostModel(groups))
    count = len(ChannelOrder.of(groups))
    sizes = {"channel": count, "node": len(graph.node_names)}
    assert graph.channels.shape == (count, len(graph.channel_features))
    assert np.isfinite(graph.channels).all()
    assert np.isfinite(graph.nodes).all()
    for (source, _, target), edges in graph.edges.items():
        assert (edges.index[0] < sizes[source]).all()
        assert (edges.index[1] < sizes[target]).all()
        assert (edges.weight > 0).all()
        assert np.isfinite(edges.weight).all()
    assert set(graph.edges[MADE_BY].index[0]) == set(range(count))
    sources, targets = graph.edges[FLOWS_TO].index
    assert (sources < targets).all()

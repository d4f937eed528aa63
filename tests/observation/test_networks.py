"""What holds for the observation of every network."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from onnxprune.cost import CostModel
from onnxprune.criteria import score
from onnxprune.groups import Groups, find_groups
from onnxprune.masks import ChannelOrder
from onnxprune.observation import ObservationGraph, observe
from onnxprune.observation.types import FLOWS_TO, MADE_BY, PARTNER, READ_BY
from onnxprune.onnx_file import load_graph
from tests.exported import export_case

FAST = (
    "residual_option_a", "inverted_residual", "densenet", "grouped_shuffle", "spatial_flatten",
    "squeeze_excite", "encoder_split", "vision_transformer", "token_encoder", "lstm",
)  # fmt: skip
CASES = [
    *((name, "torchscript") for name in FAST),
    *(
        pytest.param((name, exporter), marks=pytest.mark.slow)
        for name, exporter in (
            ("inverted_residual", "dynamo_bn"),
            ("squeeze_excite", "dynamo_raw"),
            ("mixer", "dynamo"),
        )
    ),
]


def permuted(groups: Groups, folder: Path) -> tuple[Groups, np.ndarray]:
    """The same function with its channels in another order, and the old row of each new one."""
    rng = np.random.default_rng(1)
    order = ChannelOrder.of(groups)
    orders = {group.name: rng.permutation(group.channels) for group in groups.prunable}
    arrays = {name: np.array(i.array()) for name, i in groups.graph.initializers.items()}
    for group in groups.prunable:
        for member in group.members:
            index = np.arange(arrays[member.tensor].shape[member.axis])
            index[member.positions.reshape(-1)] = member.positions[orders[group.name]].reshape(-1)
            arrays[member.tensor] = arrays[member.tensor].take(index, axis=member.axis)
    model = onnx.ModelProto()
    model.CopyFrom(groups.graph.model)
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(arrays[tensor.name], tensor.name))
    onnx.save(model, folder / "permuted.onnx")
    starts = dict(zip(order.names, order.starts.tolist(), strict=False))
    rows = order.join({name: starts[name] + own for name, own in orders.items()})
    return find_groups(load_graph(folder / "permuted.onnx")), rows


def observed(groups: Groups) -> ObservationGraph:
    return observe(groups, CostModel(groups), {"l2": score(groups, "l2"), "fpgm": score(groups, "fpgm")})


def as_set(graph: ObservationGraph, rows: np.ndarray) -> dict[str, dict[tuple[int, int], float]]:
    """Edges by kind and ends, channels numbered by `rows`."""
    found = {}
    for (source, relation, target), edges in graph.edges.items():
        ends = [
            rows[index] if kind == "channel" else index
            for kind, index in ((source, edges.index[0]), (target, edges.index[1]))
        ]
        found[relation] = {(int(a), int(b)): float(w) for a, b, w in zip(*ends, edges.weight, strict=True)}
    return found


@pytest.fixture(params=CASES, ids="-".join)
def groups(request: pytest.FixtureRequest, exported_folder: Path) -> Groups:
    name, exporter = request.param
    return find_groups(load_graph(export_case(name, exporter, exported_folder)))


def test_shapes_fit_and_everything_is_finite(groups: Groups) -> None:
    graph = observed(groups)
    count = len(ChannelOrder.of(groups))
    assert graph.channels.shape == (count, len(graph.channel_features))
    assert graph.nodes.shape == (len(graph.node_names), len(graph.node_features))
    assert graph.group_of.shape == (count,)
    assert len(set(graph.channel_features)) == len(graph.channel_features)
    for table in (graph.channels, graph.nodes):
        assert table.dtype == np.float32
        assert np.isfinite(table).all()
        assert np.abs(table).max(initial=0) <= 64
    sizes = {"channel": count, "node": len(graph.node_names)}
    for (source, _, target), edges in graph.edges.items():
        assert edges.index.shape == (2, len(edges.weight))
        assert edges.index.dtype == np.int64
        assert edges.weight.dtype == np.float32
        assert (edges.index >= 0).all()
        assert (edges.index[0] < sizes[source]).all()
        assert (edges.index[1] < sizes[target]).all()
        assert np.isfinite(edges.weight).all()
        assert (edges.weight > 0).all()
        assert len(np.unique(edges.index, axis=1).T) == len(edges)


def test_every_channel_is_made_and_read_somewhere(groups: Groups) -> None:
    graph = observed(groups)
    for kind in (MADE_BY, READ_BY):
        assert set(graph.edges[kind].index[0]) == set(range(len(graph.channels)))


def test_the_order_of_the_channels_does_not_matter(groups: Groups, tmp_path: Path) -> None:
    other, rows = permuted(groups, tmp_path)
    before, after = observed(groups), observed(other)
    np.testing.assert_allclose(after.channels, before.channels[rows], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(after.nodes, before.nodes, rtol=1e-5, atol=1e-6)
    ours, theirs = as_set(before, np.arange(len(rows))), as_set(after, rows)
    for relation, edges in ours.items():
        assert edges.keys() == theirs[relation].keys(), relation
        for ends, weight in edges.items():
            assert theirs[relation][ends] == pytest.approx(weight, rel=1e-4)


def test_data_flows_onward_and_partners_are_few(groups: Groups) -> None:
    graph = observed(groups)
    sources, targets = graph.edges[FLOWS_TO].index
    assert (sources < targets).all()
    partners = graph.edges[PARTNER].index
    assert np.bincount(partners[0], minlength=1).max() <= 8
    assert (graph.group_of[partners[0]] != graph.group_of[partners[1]]).all()


def test_observing_twice_gives_the_same(groups: Groups) -> None:
    first, second = observed(groups), observed(groups)
    np.testing.assert_array_equal(first.channels, second.channels)
    np.testing.assert_array_equal(first.nodes, second.nodes)
    for kind, edges in first.edges.items():
        np.testing.assert_array_equal(edges.index, second.edges[kind].index)
        np.testing.assert_array_equal(edges.weight, second.edges[kind].weight)


def test_reversed_edges_are_the_same_edges_from_the_other_end(groups: Groups) -> None:
    graph = observed(groups)
    every = graph.reversed_edges()
    assert len(every) == 2 * len(graph.edges)
    back = every["node", "reads", "channel"]
    there = graph.edges[READ_BY]
    assert sorted(zip(*back.index[::-1].tolist(), back.weight.tolist(), strict=True)) == sorted(
        zip(*there.index.tolist(), there.weight.tolist(), strict=True)
    )

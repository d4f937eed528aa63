"""Files whose nodes are out of order, as ONNX Runtime takes them: seen, trained and written in order."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import GraphProto, ModelProto, helper

from onnxprune.converters import to_onnx, to_torch
from onnxprune.errors import ModelError
from onnxprune.onnx_file import load_graph
from onnxprune.onnx_file.ordering import sort_nodes, subgraphs
from tests.converters.against_ort import in_ort
from tests.onnx_file.small_models import BUILDERS, attention, chain, nested, parsed, residual

Builder = type(chain)


def out_of_order(graph: GraphProto, rng: np.random.Generator) -> None:
    """Shuffle the nodes of a graph and of its subgraphs, in place."""
    order = iter(rng.permutation(len(graph.node)).tolist())
    graph.node.sort(key=lambda _: next(order))
    for node in graph.node:
        for inner in subgraphs(node):
            out_of_order(inner, rng)


def is_ordered(model: ModelProto) -> bool:
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError:
        return False
    return True


BRANCH = """<ir_version: 8, opset_import: ["" : 17]>
    branch (float[2, 4] x, bool flag) => (float[2, 4] y) {
        y = If(flag) <
            then_branch = yes () => (float[2, 4] u) { u = Neg(v) v = Add(t, t) },
            else_branch = no () => (float[2, 4] u2) { u2 = Identity(t) }
        >
        t = Mul(x, x)
    }"""


@pytest.mark.parametrize("build", [chain, residual, attention])
@pytest.mark.parametrize("seed", range(3))
def test_a_shuffled_model_is_sorted_and_computes_the_same(build: Builder, seed: int, tmp_path: Path) -> None:
    model = build(np.random.default_rng(seed))
    feeds = {i.name: random_for(i) for i in model.graph.input}
    want = in_ort(model, feeds)
    out_of_order(model.graph, np.random.default_rng(seed))
    assert not is_ordered(model)
    onnx.save(model, tmp_path / "m.onnx")
    graph = load_graph(tmp_path / "m.onnx")
    assert is_ordered(graph.model)
    assert any("topological order" in warning for warning in graph.warnings)
    for got, expected in zip(in_ort(graph.model, feeds), want, strict=True):
        np.testing.assert_array_equal(got, expected)


def random_for(value: onnx.ValueInfoProto) -> np.ndarray:
    shape = [dim.dim_value or 2 for dim in value.type.tensor_type.shape.dim]
    numbers = np.random.default_rng(9).normal(size=shape)
    return np.asarray(numbers).astype(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))


@pytest.mark.parametrize("build", BUILDERS)
def test_nodes_in_order_stay_where_they_are(build: Builder, tmp_path: Path) -> None:
    model = build(np.random.default_rng(0))
    before = model.SerializeToString(deterministic=True)
    assert not sort_nodes(model.graph, tmp_path)
    assert model.SerializeToString(deterministic=True) == before


def test_subgraphs_are_sorted_too(tmp_path: Path) -> None:
    model = parsed(BRANCH)
    assert not is_ordered(model)
    assert sort_nodes(model.graph, tmp_path)
    assert is_ordered(model)


def test_free_nodes_keep_the_order_of_the_file(tmp_path: Path) -> None:
    model = parsed(
        """<ir_version: 8, opset_import: ["" : 17]>
        free (float[2] x) => (float[2] d) { c = Neg(b) a = Abs(x) b = Exp(x) e = Sin(x) d = Add(c, a) }"""
    )
    sort_nodes(model.graph, tmp_path)
    assert [node.output[0] for node in model.graph.node] == ["a", "b", "c", "e", "d"]


def test_nodes_that_wait_for_each_other_are_an_error(tmp_path: Path) -> None:
    model = parsed(
        """<ir_version: 8, opset_import: ["" : 17]>
        cycle (float[2] x) => (float[2] b) { a = Add(x, b) b = Neg(a) }"""
    )
    with pytest.raises(ModelError, match="waits for itself") as caught:
        sort_nodes(model.graph, tmp_path)
    assert caught.value.code == "E309"


@pytest.mark.parametrize("build", [chain, nested])
def test_the_round_trip_through_torch_takes_a_shuffled_model(build: Builder, tmp_path: Path) -> None:
    model = build(np.random.default_rng(1))
    out_of_order(model.graph, np.random.default_rng(2))
    onnx.save(model, tmp_path / "m.onnx")
    graph = load_graph(tmp_path / "m.onnx")
    module = to_torch(graph).eval()
    feeds = {i.name: random_for(i) for i in graph.model.graph.input}
    with torch.no_grad():
        got = module(*(torch.from_numpy(feeds[name]) for name in module.input_names))
        for _, weight in module.weights():
            weight.mul_(0.5)
    np.testing.assert_allclose(got.numpy(), in_ort(model, feeds)[0], rtol=1e-4, atol=1e-5)
    assert is_ordered(to_onnx(module, graph))

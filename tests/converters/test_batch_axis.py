"""Freeing a batch of 1: each pattern in which exporters bake it in, by hand; ONNX Runtime is the oracle."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxprune.converters.batch_axis import follow_and_free, free_batch
from onnxprune.onnx_file import Graph, load_graph
from tests.converters.batch_random import random_model
from tests.converters.batch_runs import TOLERANCE, free_and_compare, load

HEAD = '<ir_version: 8, opset_import: ["" : 17]>'

FREED = {
    "a constant target [1, k]": """g (float[1,4,2,2] x) => (float[1,16] y)
        <int64[2] s = {1, 16}> { a = Relu(x)  y = Reshape(a, s) }""",
    "a target in a Constant node": """g (float[1,4,2,2] x) => (float[1,16] y)
        { s = Constant <value_ints = [1, 16]> ()  y = Reshape(x, s) }""",
    "a target [1, -1]": """g (float[1,4,2,2] x) => (float[1,16] y)
        <int64[2] s = {1, -1}> { y = Reshape(x, s) }""",
    "a target that copies the channels": """g (float[1,4,2,2] x) => (float[1,4,4] y)
        <int64[3] s = {1, 0, -1}> { y = Reshape(x, s) }""",
    "heads merged with the batch": """g (float[1,5,12] x) => (float[1,5,12] y)
        <int64[4] split = {1, 5, 3, 4}, int64[3] merged = {3, 5, 4}, int64[4] apart = {1, 3, 5, 4},
         int64[3] joined = {1, 5, 12}> {
            h = Reshape(x, split)  t = Transpose <perm = [0, 2, 1, 3]> (h)  q = Reshape(t, merged)
            k = Transpose <perm = [0, 2, 1]> (q)  p = MatMul(q, k)  w = Softmax <axis = -1> (p)
            v = MatMul(w, q)  u = Reshape(v, apart)  r = Transpose <perm = [0, 2, 1, 3]> (u)
            y = Reshape(r, joined) }""",
    "sequence first, merged with the batch behind it": """g (float[1,3,2] x) => (float[1,3,2] y)
        <int64[2] flat = {3, 2}, int64[3] back = {3, 1, 2}, float[2,2] w = {1, 2, 3, 4}> {
            t = Transpose <perm = [1, 0, 2]> (x)  f = Reshape(t, flat)  m = MatMul(f, w)
            b = Reshape(m, back)  y = Transpose <perm = [1, 0, 2]> (b) }""",
    "a class token": """g (float[1,2,3] x) => (float[1,3,3] y)
        <float[1,1,3] token = {1, 2, 3}> { y = Concat <axis = 1> (token, x) }""",
    "a class token expanded to the batch of 1": """g (float[1,2,3] x) => (float[1,3,3] y)
        <float[1,1,3] token = {1, 2, 3}, int64[3] s = {1, 1, 3}> {
            t = Expand(token, s)  y = Concat <axis = 1> (t, x) }""",
    "a mask with an entry for each head": """g (float[1,2,3] x) => (float[1,2,3] y)
        <int64[2] merged = {2, 3}, int64[3] apart = {1, 2, 3}, float[2,3] mask = {1, 2, 3, 4, 5, 6}> {
            m = Reshape(x, merged)  a = Add(m, mask)  y = Reshape(a, apart) }""",
    "sizes of a Resize": """g (float[1,2,2,2] x) => (float[1,2,4,4] y)
        <int64[4] sizes = {1, 2, 4, 4}> { y = Resize <mode = "nearest"> (x, , , sizes) }""",
    "scales of a Resize": """g (float[1,2,2,2] x) => (float[1,2,4,4] y)
        <float[4] scales = {1, 1, 2, 2}> { y = Resize <mode = "nearest"> (x, , scales) }""",
    "channels last, as Keras exports them": """g (float[1,4,4,3] x) => (float[1,12] y)
        <float[3,3,1,1] w = {1, 2, 3, 4, 5, 6, 7, 8, 9}, int64[4] s = {1, 3, 4, 4}, int64[2] t = {-1, 12}> {
            n = Transpose <perm = [0, 3, 1, 2]> (x)  c = Conv(n, w)  l = Transpose <perm = [0, 2, 3, 1]> (c)
            p = ReduceMean <axes = [1], keepdims = 0> (l)  y = Reshape(p, t) }""",
    "channels last with a reshape for the transpose": """g (float[1,4,4,1] x) => (float[1,16] y)
        <int64[4] s = {1, 1, 4, 4}, int64[2] t = {1, 16}> { n = Reshape(x, s)  y = Reshape(n, t) }""",
    "a squeeze of every axis of 1": """g (float[1,3,1,1] x) => (float[1,3] y)
        <int64[2] s = {1, 3}> { a = Squeeze(x)  b = Relu(a)  y = Reshape(b, s) }""",
    "a squeeze of the batch": """g (float[1,2,3] x) => (float[1,2,2] y)
        <int64[1] zero = {0}, float[3,2] w = {1, 2, 3, 4, 5, 6}> {
            a = Squeeze(x, zero)  b = MatMul(a, w)  y = Unsqueeze(b, zero) }""",
    "the first sample taken out": """g (float[1,2,3] x) => (float[1,2,2] y)
        <int64 first = {0}, int64[1] zero = {0}, float[3,2] w = {1, 2, 3, 4, 5, 6}> {
            a = Gather <axis = 0> (x, first)  b = MatMul(a, w)  y = Unsqueeze(b, zero) }""",
    "the first sample as a batch of one": """g (float[1,2] x) => (float[1,2] y)
        <int64[1] first = {0}> { y = Gather <axis = 0> (x, first) }""",
    "a slice that ends at 1": """g (float[1,2,4] x) => (float[1,2,2] y)
        <int64[2] from = {0, 1}, int64[2] to = {1, 3}, int64[2] axes = {0, 2}> {
            y = Slice(x, from, to, axes) }""",
    "a shape chain in which only the batch is baked in": """g (float[1,4,2,3] x) => (float[1,2,12] y)
        <int64 two = {2}, int64[1] zero = {0}, int64[1] one = {1}, int64[1] rest = {-1}> {
            s = Shape(x)  h = Gather <axis = 0> (s, two)  hs = Unsqueeze(h, zero)
            t = Concat <axis = 0> (one, hs, rest)  y = Reshape(x, t) }""",
    "a shape chain that follows the batch": """g (float[1,4,3] x) => (float[1,12] y)
        <int64 first = {0}, int64[1] zero = {0}, int64[1] rest = {-1}> {
            s = Shape(x)  b = Gather <axis = 0> (s, first)  bs = Unsqueeze(b, zero)
            t = Concat <axis = 0> (bs, rest)  y = Reshape(x, t) }""",
    "zeros in the shape of the input": """g (float[1,2,3] x) => (float[1,4,3] y)
        { s = Shape(x)  z = ConstantOfShape(s)  y = Concat <axis = 1> (x, z) }""",
    "one value at two places of the memory": """g (float[1,2,3] x) => (float[1,6] y)
        <int64[3] a = {2, 1, 3}, int64[2] s = {1, 6}> {
            t = Transpose <perm = [1, 0, 2]> (x)  y = Reshape(t, s) }""",
    "a product of two values that have the batch": """g (float[1,4] x) => (float[1,4] y)
        <int64[3] row = {1, 1, 4}, int64[3] column = {1, 4, 1}, int64[2] s = {1, 4}> {
            r = Reshape(x, row)  c = Reshape(x, column)  m = MatMul(c, r)
            p = ReduceMax <axes = [2], keepdims = 0> (m)  y = Reshape(p, s) }""",
    "an equation": """g (float[1,2,3] x) => (float[1,2,2] y)
        { y = Einsum <equation = "blc,bmc->blm"> (x, x) }""",
    "a table of embeddings": """g (int64[1,3] x) => (float[1,6] y)
        <int64[2] s = {1, 6},
         float[10,2] table = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9}> {
            e = Gather <axis = 0> (table, x)  y = Reshape(e, s) }""",
    "a scale that is no sample": """g (float[1,4] x, float[1] scale) => (float[1,4] y)
        { y = Mul(x, scale) }""",
}

GIVEN_UP = {
    "a softmax over the batch": ("y = Softmax <axis = 0> (x)", "Softmax"),
    "one scale for all samples": (
        "q, s, z = DynamicQuantizeLinear(x)  y = DequantizeLinear(q, s, z)",
        "DynamicQuantizeLinear",
    ),
    "positions of what is not zero": ("p = NonZero(x)  y = Cast <to = 1> (p)", "NonZero"),
    "a sum over the batch": ("y = ReduceSum <keepdims = 1> (x)", "ReduceSum"),
    "a sum against itself": ("t = Transpose (x)  y = MatMul(x, t)", "MatMul"),
    "the batch as a number": ("s = Shape(x)  f = Cast <to = 1> (s)  y = Div(x, f)", "used as data"),
    "an output that no input reaches": ("z = Shape(x)  y = Cast <to = 1> (c)", "output 'y'"),
}


@pytest.mark.parametrize("text", FREED.values(), ids=FREED)
def test_three_samples_at_once_give_what_each_gives_alone(text: str, tmp_path: Path) -> None:
    free, error = free_and_compare(load(HEAD + text, tmp_path))
    assert free.model is not None, free.reason
    assert error <= TOLERANCE


@pytest.mark.parametrize(("body", "reason"), GIVEN_UP.values(), ids=GIVEN_UP)
def test_what_mixes_samples_is_given_up_with_the_node(body: str, reason: str, tmp_path: Path) -> None:
    text = f"g (float[1,2] x) => (float[1,2] y) <float[1,2] c = {{1, 2}}> {{ {body} }}"
    free, _ = free_and_compare(load(HEAD + text, tmp_path))
    assert free.model is None
    assert reason in free.reason


def test_a_batch_of_eight_is_none_of_one(tmp_path: Path) -> None:
    graph = load(HEAD + "g (float[8,2] x) => (float[8,2] y) { y = Relu(x) }", tmp_path)
    assert free_batch(graph) is None
    assert "axis 0" in follow_and_free(graph).reason


def test_inputs_of_a_setting_keep_their_extent(tmp_path: Path) -> None:
    free, _ = free_and_compare(load(HEAD + FREED["a scale that is no sample"], tmp_path))
    assert free.inputs == ("x",)
    assert free.model.graph.input[1].type.tensor_type.shape.dim[0].dim_value == 1


def test_a_constant_keeps_its_values_for_its_other_readers(tmp_path: Path) -> None:
    text = """g (float[1,4] x) => (float[1,4] y, float[1,2,2] z)
        <int64[3] s = {1, 2, 2}, float[4] w = {1, 2, 3, 4}, int64[2] t = {1, 4}> {
            z = Reshape(x, s)  c = Reshape(w, s)  d = Add(z, c)  y = Reshape(d, t) }"""
    free, error = free_and_compare(load(HEAD + text, tmp_path))
    assert error <= TOLERANCE
    kept = {t.name: numpy_helper.to_array(t) for t in free.model.graph.initializer}
    assert kept["s"].tolist() == [1, 2, 2]
    assert kept["w"].tolist() == [1, 2, 3, 4]


def test_declared_shapes_follow_the_batch(tmp_path: Path) -> None:
    text = """g (float[1,4,2] x) => (float[1,8] y) <int64[2] s = {1, 8}, float[1,4,2] v> {
        v = Relu(x)  y = Reshape(v, s) }"""
    model = free_batch(load(HEAD + text, tmp_path))
    assert not model.graph.value_info
    for value in (model.graph.input[0], model.graph.output[0]):
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"
    onnx.checker.check_model(model, full_check=True)


def test_other_free_extents_stay_free(tmp_path: Path) -> None:
    text = """g (float[1,4,H,W] x) => (float[1,4,N] y) <int64[3] s = {1, 4, -1}> { y = Reshape(x, s) }"""
    model = free_batch(load(HEAD + text, tmp_path))
    session = onnx.reference.ReferenceEvaluator(model)
    assert session.run(None, {"x": np.zeros((3, 4, 5, 7), np.float32)})[0].shape == (3, 4, 35)


@pytest.mark.parametrize(("operator", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_initial_states_are_repeated_for_each_sample(operator: str, gates: int, tmp_path: Path) -> None:
    graph = recurrent_graph(operator, gates, tmp_path)
    free, error = free_and_compare(graph)
    assert free.model is not None, free.reason
    assert error <= TOLERANCE


def recurrent_graph(operator: str, gates: int, folder: Path) -> Graph:
    """x (1, 5, 3) -> transpose -> operator with initial states -> last hidden state (1, 2)."""
    rng = np.random.default_rng(0)
    states = ["h", "c"] if operator == "LSTM" else ["h"]
    shapes = {"w": (1, gates * 2, 3), "r": (1, gates * 2, 2), **dict.fromkeys(states, (1, 1, 2))}
    constants = [numpy_helper.from_array(rng.standard_normal(s).astype("f"), n) for n, s in shapes.items()]
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        helper.make_node(operator, ["t", "w", "r", "", "", *states], ["", "last"], hidden_size=2),
        helper.make_node("Squeeze", ["last", "zero"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        operator,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 5, 3))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 2))],
        [*constants, numpy_helper.from_array(np.array([0]), "zero")],
    )
    path = folder / "recurrent.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return load_graph(path)


def right_or_given_up(seed: int, folder: Path) -> bool:
    """Whether a random graph was freed; where it was, it must be right."""
    path = folder / "random.onnx"
    onnx.save(random_model(seed), path)
    free, error = free_and_compare(load_graph(path))
    assert free.model is None or error <= TOLERANCE, seed
    return free.model is not None


def test_a_random_graph_is_right_or_given_up(tmp_path: Path) -> None:
    freed = sum(right_or_given_up(seed, tmp_path) for seed in range(60))
    assert freed > 20


@pytest.mark.slow
def test_many_random_graphs_are_right_or_given_up(tmp_path: Path) -> None:
    freed = sum(right_or_given_up(seed, tmp_path) for seed in range(5000))
    assert freed > 2000

"""Branches, loops and sequences: ONNX Runtime says what comes out, finite differences what gradients do."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import parser

from onnxprune.converters import to_onnx, to_torch
from onnxprune.onnx_file.graph import view
from tests.converters.against_ort import same

HEADER = '<ir_version: 8, opset_import: ["" : 17]>'
LOOP = (
    HEADER
    + """
g (int64 trips, bool go, float[3] start, float[3] w) => (float[3] last, float[k, 3] all, int64[k] counts) {
  two = Constant<value_float = 2.0>()
  last, all, counts = Loop(trips, go, start) <body = b (int64 i, bool c, float[3] v)
      => (bool on, float[3] next, float[3] given, int64 count) {
    scaled = Mul(v, w)
    next = Add(scaled, start)
    given = Sub(next, two)
    total = ReduceSum<keepdims = 0>(next)
    limit = Constant<value_float = 30.0>()
    on = Less(total, limit)
    count = Identity(i)
  }>
}"""
)
BRANCHES = (
    HEADER
    + """
g (bool c, float[2] x) => (float[2] y) <float[2] outer = {9., 9.}> {
  z = Add(x, outer)
  y = If(c) <
    then_branch = a () => (float[2] r) <float[2] w = {1., 2.}> {
      k = Constant<value_floats = [3.0, 4.0]>()
      t = Mul(z, w)
      r = Add(t, k)
    },
    else_branch = b () => (float[2] r) <float[2] w = {5., 6.}> {
      k = Neg(z)
      t = Mul(k, w)
      r = Add(t, k)
    }>
}"""
)
X = np.array([1.0, -2.0], np.float32)


@pytest.mark.parametrize("trips", [0, 1, 4, 9])
@pytest.mark.parametrize("go", [True, False])
def test_a_loop_ends_by_its_count_or_its_condition(trips, go):
    start, w = np.array([1, 2, 3], np.float32), np.array([1, 0.5, 1.5], np.float32)
    same(LOOP, {"trips": np.array(trips), "go": np.array(go), "start": start, "w": w})


def test_gradients_pass_a_loop():
    module = to_torch(view(parser.parse_model(LOOP), Path("model.onnx")))
    w = torch.tensor([1.0, 0.5, 1.5], dtype=torch.float64, requires_grad=True)
    start = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64, requires_grad=True)

    def run(start, w):
        return module(torch.tensor(3), torch.tensor(True), start, w)[:2]

    assert torch.autograd.gradcheck(run, [start, w])


@settings(max_examples=25, deadline=None)
@given(
    inward=st.integers(-2, 1),
    outward=st.integers(-2, 1),
    reverse=st.tuples(st.integers(0, 1), st.integers(0, 1)),
)
def test_a_scan_takes_and_gives_along_any_axis_in_either_direction(inward, outward, reverse):
    text = f"""{HEADER}
    g (float[2] start, float[2, 2] rows) => (float[2] last, float[a, b] all) {{
      last, all = Scan<num_scan_inputs = 1, scan_input_axes = [{inward}], scan_output_axes = [{outward}],
        scan_input_directions = [{reverse[0]}], scan_output_directions = [{reverse[1]}],
        body = b (float[2] state, float[2] row) => (float[2] next, float[2] given) {{
          next = Mul(state, row)
          given = Add(state, row)
        }}>(start, rows)
    }}"""
    same(text, {"start": X, "rows": np.array([[1, 2], [3, 4]], np.float32)})


def test_a_scan_of_opset_8_goes_through_each_sample():
    text = """<ir_version: 4, opset_import: ["" : 8]>
    g (float[2, 2] start, float[2, 3, 2] rows) => (float[2, 2] last, float[2, 3, 2] all) {
      last, all = Scan<num_scan_inputs = 1, body = b (float[2] state, float[2] row)
        => (float[2] next, float[2] given) {
          next = Add(state, row)
          given = Identity(next)
        }>( , start, rows)
    }"""
    rows = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    same(text, {"start": rows[:, 0], "rows": rows})


@pytest.mark.parametrize("condition", [True, False])
def test_branches_may_name_their_values_alike(condition):
    same(BRANCHES, {"c": np.array(condition), "x": X})


def test_trained_weights_go_back_into_their_branches():
    graph = view(parser.parse_model(BRANCHES), Path("model.onnx"))
    module = to_torch(graph)
    assert {name for name, _ in module.weights()} == {"outer", "w", "w@2", "k"}
    module(torch.tensor(False), torch.tensor(X)).sum().backward()
    reached = {name for name, weight in module.weights() if weight.grad is not None}
    assert reached == {"outer", "w@2"}
    with torch.no_grad():
        for number, (_, weight) in enumerate(module.weights()):
            weight += number + 1
    trained = to_onnx(module, graph)
    for condition in (True, False):
        expected = module(torch.tensor(condition), torch.tensor(X)).detach().numpy()
        again = to_torch(view(trained, Path("model.onnx")))
        np.testing.assert_array_equal(
            again(torch.tensor(condition), torch.tensor(X)).detach().numpy(), expected
        )
        same(trained, {"c": np.array(condition), "x": X})


def test_sequences_grow_shrink_and_join():
    text = f"""{HEADER}
    g (float[4, 2] x, int64 at) => (float[a, b] y, int64 n) {{
      empty = SequenceEmpty()
      parts = SplitToSequence<axis = 0>(x, at)
      longer = SequenceInsert(parts, x, at)
      shorter = SequenceErase(longer, at)
      first = SequenceAt(shorter, at)
      again = SequenceInsert(shorter, first)
      y = ConcatFromSequence<axis = 0>(again)
      n = SequenceLength(again)
    }}"""
    same(text, {"x": np.arange(8, dtype=np.float32).reshape(4, 2), "at": np.array(1)})

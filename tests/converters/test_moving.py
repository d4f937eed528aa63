"""Shapes, cuts, gathers and scatters: gradients, samples under vmap, ONNX Runtime as oracle, older opsets."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxprune.converters.functions import casting, cutting, filling, indexing, shaping
from tests.converters.against_ort import node_agrees
from tests.converters.differentiation import differentiates, maps_samples, numbers

X = numbers(3, 4, 5)
PLACES = torch.tensor([[2, 0], [-1, 1]])
ALONG = torch.tensor([[[2, 0, 1, -1, 0]] * 4] * 2)
SPOTS = torch.tensor([[0, 1], [2, -1], [1, 0]])
UPDATES = numbers(2, 4, 5, seed=1)
CASES: dict[str, tuple[Any, list[Any], dict[str, Any]]] = {
    "Reshape": (shaping.reshape, [X, [0, -1]], {}),
    "Transpose": (shaping.transpose, [X], {"perm": [2, 0, 1]}),
    "Concat": (shaping.concat, [X, X * 2], {"axis": 1}),
    "Split": (shaping.split_, [X, [1, 3]], {"axis": 1, "_outputs": 2}),
    "Expand": (shaping.expand, [X, [2, 3, 1, 5]], {}),
    "Tile": (shaping.tile, [X, [1, 2, 3]], {}),
    "Slice backwards": (cutting.slice_, [X, [-1, 3], [-9, 0], [2, 1], [-2, -1]], {}),
    "Pad": (cutting.pad, [X, [1, 0, -1, 0, 2, 1]], {}),
    "Pad by reflection": (cutting.pad, [X, [0, 3, 0, 2], None, [0, 1]], {"mode": "reflect"}),
    "Pad by edges": (cutting.pad, [X, [1, -1, 2, 3, 0, 0]], {"mode": "edge"}),
    "Pad around": (cutting.pad, [X, [1, 5, 2, 3, 0, 0]], {"mode": "wrap"}),
    "Trilu": (filling.trilu, [X, 1], {"upper": 0}),
    "ReverseSequence": (filling.reverse_sequence, [X, torch.tensor([2, 1, 3, 2])], {}),
    "Gather": (indexing.gather, [X, PLACES], {"axis": 1}),
    "Gather one": (indexing.gather, [X, -1], {"axis": 2}),
    "GatherElements": (indexing.gather_elements, [X, ALONG], {"axis": 0}),
    "GatherND": (indexing.gather_nd, [X, SPOTS], {}),
    "GatherND in batches": (indexing.gather_nd, [X, SPOTS[:, :1]], {"batch_dims": 1}),
    **{
        f"Scatter {how}": (indexing.scatter_elements, [X, UNIQUE, UPDATES], {"reduction": how})
        for UNIQUE in [torch.tensor([[[2, 0, 1, -1, 0]] * 4, [[0, 1, 2, 0, -1]] * 4])]
        for how in ("none", "add", "mul", "max", "min")
    },
    **{
        f"ScatterND {how}": (indexing.scatter_nd, [X, SPOTS, numbers(3, 5, seed=2)], {"reduction": how})
        for how in ("none", "add", "mul", "max", "min")
    },
    "TensorScatter": (
        indexing.tensor_scatter,
        [X, numbers(3, 2, 5, seed=1), torch.tensor([0, 2, 1])],
        {"axis": 1},
    ),
    "TopK": (indexing.top_k, [X, 2], {"axis": 1, "largest": 0}),
    "OneHot": (indexing.one_hot, [PLACES, 3, numbers(2)], {"axis": 1}),
    "Compress": (indexing.compress, [X, torch.tensor([True, False, True])], {"axis": 1}),
    "Unique": (indexing.unique, [X], {"axis": 1, "_outputs": 1}),
    "Cast": (casting.cast, [X], {"to": 11}),
}
BY_DATA = {"Compress", "Unique", "OneHot"}  # the shape depends on values, or the first input has no gradient


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_those_of_finite_differences(case: str) -> None:
    function, inputs, keywords = CASES[case]
    assert differentiates(function, inputs, **keywords)


@pytest.mark.parametrize("case", [case for case in CASES if case not in BY_DATA])
def test_samples_map(case: str) -> None:
    function, inputs, keywords = CASES[case]
    assert maps_samples(function, inputs, **keywords)


def ints(*values: int) -> Any:
    return np.array(values, np.int64)


def ramp(*shape: int) -> Any:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


@settings(max_examples=60)
@given(st.data())
def test_pad_does_what_onnx_runtime_does(data: Any) -> None:
    mode = data.draw(st.sampled_from(["constant", "reflect", "edge", "wrap"]))
    shape = data.draw(st.lists(st.integers(3, 5), min_size=1, max_size=4))
    pads = data.draw(st.lists(st.integers(0, 2), min_size=2 * len(shape), max_size=2 * len(shape)))
    node_agrees("Pad", [ramp(*shape), ints(*pads)], opset=19, mode=mode)


@settings(max_examples=60)
@given(st.data())
def test_slice_does_what_onnx_runtime_does(data: Any) -> None:
    steps = data.draw(st.lists(st.sampled_from([-3, -2, -1, 1, 2]), min_size=2, max_size=2))
    starts = data.draw(st.lists(st.integers(-9, 9), min_size=2, max_size=2))
    furthest = [2**63 - 1 if step > 0 else -(2**63) + 1 for step in steps]
    ends = [data.draw(st.integers(-9, 9) | st.just(far)) for far in furthest]
    node_agrees("Slice", [ramp(3, 6, 7), ints(*starts), ints(*ends), ints(-1, 1), ints(*steps)], opset=13)


@settings(max_examples=40)
@given(st.data())
def test_top_k_does_what_onnx_runtime_does_with_ties(data: Any) -> None:
    values = data.draw(st.lists(st.integers(0, 3), min_size=24, max_size=24))
    x, axis = np.array(values, np.float32).reshape(2, 3, 4), data.draw(st.integers(-3, 2))
    k, largest = data.draw(st.integers(1, x.shape[axis])), data.draw(st.integers(0, 1))
    node_agrees("TopK", [x, ints(k)], opset=11, outputs=2, axis=axis, largest=largest)


OLD: dict[str, tuple[str, list[Any], dict[str, Any]]] = {
    "Slice of opset 9": ("Slice", [ramp(4, 5)], {"opset": 9, "starts": [1], "ends": [-1], "axes": [1]}),
    "Pad of opset 2": (
        "Pad",
        [ramp(2, 3)],
        {"opset": 10, "pads": [0, 1, 1, -1], "mode": "constant", "value": 2.5},
    ),
    "Squeeze of opset 11": ("Squeeze", [ramp(1, 3, 1)], {"opset": 11, "axes": [0]}),
    "Squeeze of all": ("Squeeze", [ramp(1, 3, 1)], {"opset": 13}),
    "Unsqueeze of opset 11": ("Unsqueeze", [ramp(3)], {"opset": 11, "axes": [0, -1]}),
    "Split of opset 11": ("Split", [ramp(5, 2)], {"opset": 11, "outputs": 2, "split": [2, 3]}),
    "Split, even": ("Split", [ramp(4, 6)], {"opset": 13, "outputs": 3, "axis": 1}),
    "Split, uneven": ("Split", [ramp(7, 2)], {"opset": 18, "outputs": 3, "num_outputs": 3}),
    "TopK of opset 9": ("TopK", [ramp(3, 5)], {"opset": 9, "outputs": 2, "k": 2, "axis": 1}),
    "Scatter": ("Scatter", [ramp(3, 3), ints(0, 2)[None], ramp(1, 2)], {"opset": 10, "axis": 1}),
    "Flatten": ("Flatten", [ramp(2, 3, 4)], {"opset": 13, "axis": -1}),
    "Unique": ("Unique", [ints(2, 1, 1, 3, 2)], {"opset": 11, "outputs": 4, "sorted": 0}),
    "Cast": ("Cast", [ramp(3) - 1.5], {"opset": 13, "to": 9}),
}


@pytest.mark.parametrize("case", OLD)
def test_older_forms_do_what_onnx_runtime_does(case: str) -> None:
    op_type, inputs, keywords = OLD[case]
    node_agrees(op_type, inputs, **keywords)

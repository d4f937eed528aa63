"""Repairs from sums are the least squares of `reconstruct` where one node alone lost inputs."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, ValueInfoProto, numpy_helper

from onnxprune.evaluation import GramOptions, Repairs, gather
from onnxprune.groups import Groups, find_groups
from onnxprune.onnx_file import load_graph
from onnxprune.pruning import prune
from onnxprune.reconstruction import Method, ReconstructOptions, reconstruct
from tests.law.build import Weight, model, save

Array = NDArray[Any]
RNG = np.random.default_rng(11)
ALONE = {"residual": False, "downstream": False, "passes": 0}


def groups_of(folder: Path, signature: str, body: str, **weights: Weight) -> Groups:
    return find_groups(load_graph(save(model(signature, body, **weights), folder)))  # type: ignore[arg-type]


def normal(*shape: int) -> NDArray[np.float32]:
    return RNG.standard_normal(shape).astype(np.float32)


IMAGES = "float[N,3,7,7] x => float[N,M,P,Q] y"
CASES: dict[str, tuple[str, str, dict[str, Weight], tuple[int, ...]]] = {
    "conv": (
        IMAGES,
        "c = Conv(x, w1, b1)\nr = Relu(c)\nd = Conv<pads=[1,1,1,1]>(r, w2, b2)\ny = Relu(d)",
        {"w1": (8, 3, 3, 3), "b1": 8, "w2": (6, 8, 3, 3), "b2": 6},
        (24, 3, 7, 7),
    ),
    "conv without a bias": (
        IMAGES,
        "c = Conv(x, w1, b1)\nr = Relu(c)\nd = Conv<pads=[1,1,1,1]>(r, w2)\ny = Relu(d)",
        {"w1": (8, 3, 3, 3), "b1": 8, "w2": (6, 8, 3, 3)},
        (24, 3, 7, 7),
    ),
    "conv with a normalisation": (
        IMAGES,
        "c = Conv(x, w1, b1)\nr = Relu(c)\nd = Conv(r, w2)\ny = BatchNormalization(d, s, b, m, var)",
        {"w1": (8, 3, 3, 3), "b1": 8, "w2": (6, 8, 3, 3), "s": 6, "b": 6, "m": 6, "var": 6},
        (24, 3, 7, 7),
    ),
    "grouped conv": (
        IMAGES,
        "c = Conv(x, w1, b1)\nr = Relu(c)\nd = Conv<group=2>(r, w2, b2)\ny = Relu(d)",
        {"w1": (8, 3, 3, 3), "b1": 8, "w2": (6, 4, 3, 3), "b2": 6},
        (24, 3, 7, 7),
    ),
    "transposed conv": (
        IMAGES,
        "c = Conv(x, w1, b1)\nr = Relu(c)\nd = ConvTranspose<strides=[2,2]>(r, w2, b2)\ny = Relu(d)",
        {"w1": (8, 3, 3, 3), "b1": 8, "w2": (8, 6, 3, 2), "b2": 6},
        (24, 3, 7, 7),
    ),
    "gemm": (
        "float[N,7] x => float[N,5] y",
        "c = Gemm(x, w1, b1)\nr = Relu(c)\ny = Gemm<alpha=0.5, beta=2.0, transB=1>(r, w2, b2)",
        {"w1": (7, 8), "b1": 8, "w2": (5, 8), "b2": 5},
        (200, 7),
    ),
    "matmul": (
        "float[N,3,7] x => float[N,3,5] y",
        "a = MatMul(x, w1)\nc = Add(a, b1)\nr = Relu(c)\nd = MatMul(r, w2)\ny = Add(b2, d)",
        {"w1": (7, 8), "b1": 8, "w2": (8, 5), "b2": 5},
        (80, 3, 7),
    ),
    "stored in half precision, turned": (
        "float[N,3,7] x => float[N,3,5] y",
        "a = MatMul(x, w1)\nf = Cast<to=1>(w2)\nt = Transpose(f)\nd = MatMul(a, t)\ny = Add(b2, d)",
        {"w1": (7, 8), "w2": normal(5, 8).astype(np.float16), "b2": 5},
        (80, 3, 7),
    ),
}


def constants(made: ModelProto) -> dict[str, Array]:
    return {t.name: numpy_helper.to_array(t).astype(np.float64) for t in made.graph.initializer}


def setting(folder: Path, case: str) -> tuple[Groups, dict[str, NDArray[np.bool_]], dict[str, Array]]:
    signature, body, weights, shape = CASES[case]
    groups = groups_of(folder, signature, body, **weights)
    group = groups.prunable[0]
    kept = np.arange(group.channels) % 3 != 1
    return groups, {group.name: kept}, {"x": normal(*shape)}


@pytest.mark.parametrize("case", CASES)
def test_least_squares_from_sums_is_that_of_reconstruct(tmp_path: Path, case: str) -> None:
    groups, masks, feed = setting(tmp_path, case)
    repairs = Repairs.of(groups, gather(groups, [feed]), stretch=False)
    found = constants(prune(groups, masks, weights=repairs.weights(masks)))
    plain = constants(prune(groups, masks))
    expected = constants(reconstruct(groups, masks, [feed], options=ReconstructOptions(**ALONE)))  # type: ignore[arg-type]
    assert any(np.abs(expected[name] - plain[name]).max() > 1e-2 for name in plain)
    for name, wanted in expected.items():
        np.testing.assert_allclose(found[name], wanted, atol=1e-3 if "half" in case else 2e-5)


@pytest.mark.parametrize("case", ["conv", "grouped conv", "transposed conv", "gemm", "matmul"])
def test_the_shift_of_the_means_is_that_of_reconstruct(tmp_path: Path, case: str) -> None:
    groups, masks, feed = setting(tmp_path, case)
    repairs = Repairs.of(groups, gather(groups, [feed]), method="bias")
    found = constants(prune(groups, masks, weights=repairs.weights(masks)))
    method: Method = "bias"
    options = ReconstructOptions(method, downstream=False)
    expected = constants(reconstruct(groups, masks, [feed], options=options))
    for name, wanted in expected.items():
        np.testing.assert_allclose(found[name], wanted, atol=2e-5)


def test_nothing_changes_where_nothing_goes(tmp_path: Path) -> None:
    groups, masks, feed = setting(tmp_path, "conv")
    repairs = Repairs.of(groups, gather(groups, [feed]))
    assert repairs.weights({name: np.ones_like(bits) for name, bits in masks.items()}) == {}
    none = Repairs.of(groups, {}, method="none")
    assert none.weights(masks) == {}


def test_what_is_too_wide_gets_the_shift_alone(tmp_path: Path) -> None:
    groups, masks, feed = setting(tmp_path, "conv")
    narrow = Repairs.of(groups, gather(groups, [feed], options=GramOptions(widest=8))).weights(masks)
    bias = Repairs.of(groups, gather(groups, [feed]), method="bias").weights(masks)
    assert narrow.keys() == bias.keys() == {"b2"}
    np.testing.assert_allclose(narrow["b2"], bias["b2"], atol=1e-6)


def test_a_weight_that_two_nodes_read_is_left_alone(tmp_path: Path) -> None:
    groups = groups_of(
        tmp_path, "float[N,3,7,7] x => float[N,6,3,3] y",
        "c = Conv(x, w1, b1)\nr = Relu(c)\nt = Tanh(c)\nd = Conv(r, w2, b2)\ne = Conv(t, w2, b3)\n"
        "y = Add(d, e)",
        w1=(8, 3, 3, 3), b1=8, w2=(6, 8, 3, 3), b2=6, b3=6,
    )  # fmt: skip
    group = groups.prunable[0]
    masks = {group.name: np.arange(8) < 5}
    changed = Repairs.of(groups, gather(groups, [{"x": normal(9, 3, 7, 7)}])).weights(masks)
    assert changed.keys() == {"b2", "b3"}


def test_sums_in_several_passes_are_the_same(tmp_path: Path) -> None:
    groups, _, feed = setting(tmp_path, "conv")
    at_once = gather(groups, [feed])
    in_turn = gather(groups, [feed], options=GramOptions(memory=1))
    for node, sums in at_once.items():
        np.testing.assert_array_equal(sums.mean, in_turn[node].mean)
        assert sums.square is not None
        np.testing.assert_array_equal(sums.square, sums.square.transpose(0, 2, 1))


def test_a_repeated_mask_gives_the_same_weights(tmp_path: Path) -> None:
    groups, masks, feed = setting(tmp_path, "conv")
    repairs = Repairs.of(groups, gather(groups, [feed]))
    first = repairs.weights(masks)
    repairs.weights({name: ~bits for name, bits in masks.items()})
    again = repairs.weights(masks)
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name])


@pytest.mark.parametrize("method", ["moments", "least-squares"])
@pytest.mark.parametrize(
    "case", ["conv", "grouped conv", "transposed conv", "conv with a normalisation", "gemm"]
)
def test_outputs_keep_their_means_and_variances(
    tmp_path: Path, case: str, method: Literal["moments"]
) -> None:
    groups, masks, feed = setting(tmp_path, case)
    masks = {name: np.arange(len(bits)) != 1 for name, bits in masks.items()}  # few: no stretch is cut off
    weights = Repairs.of(groups, gather(groups, [feed]), method=method).weights(masks)
    name = {"conv with a normalisation": "y", "gemm": "y"}.get(case, "d")
    before = value(groups.graph.model, name, feed)
    after = value(prune(groups, masks, weights=weights), name, feed)
    axes = tuple(axis for axis in range(before.ndim) if axis != 1)
    np.testing.assert_allclose(after.mean(axes), before.mean(axes), atol=1e-4)
    np.testing.assert_allclose(after.std(axes), before.std(axes), rtol=1e-3)


def value(made: ModelProto, name: str, feed: dict[str, Array]) -> Array:
    looked_at = ModelProto()
    looked_at.CopyFrom(made)
    del looked_at.graph.output[:]
    looked_at.graph.output.append(ValueInfoProto(name=name))
    session = ort.InferenceSession(looked_at.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, feed)[0], np.float64)

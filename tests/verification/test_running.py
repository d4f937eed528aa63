"""Faults that only a run can show, and the inputs that show them."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxprune.groups import find_groups
from onnxprune.onnx_file import load_graph
from onnxprune.pruning import prune
from onnxprune.verification import compare, law
from onnxprune.verification.compare import Tolerance, distance
from onnxprune.verification.feeds import batch_shapes, index_bounds, random_feeds
from onnxprune.verification.types import VerifyOptions
from tests.law.build import ints, model, save
from tests.verification.cases import Case, change, cnn, random_masks, shuffle, tokens

TOLERANCE = Tolerance(1e-4, 1e-6)


def test_indices_in_the_wrong_order_break_the_law_only(tmp_path: Path) -> None:
    case = shuffle(tmp_path)
    report = case.verify(change(case.pruned, "order", lambda order: order[::-1]))
    assert [check.name for check in report.failed] == [law.LAW]
    assert "max|d|" in report[law.LAW].detail


def test_a_shape_that_fits_one_sample_only_fails_with_three(tmp_path: Path) -> None:
    case = cnn(tmp_path)
    report = case.verify(change(case.pruned, "target", lambda t: np.array([1, t[1]], np.int64)))
    assert [check.name for check in report.failed] == [law.RUNS]
    assert "Reshape" in report[law.RUNS].detail


def test_one_changed_weight_breaks_the_law(tmp_path: Path) -> None:
    case = cnn(tmp_path)
    report = case.verify(change(case.pruned, "w3", lambda w: w * np.float32(1.01)))
    assert [check.name for check in report.failed] == ["kept weights are bit-identical", law.LAW]


def test_outputs_that_are_no_longer_finite_are_caught(tmp_path: Path) -> None:
    case = cnn(tmp_path)
    report = case.verify(change(case.pruned, "w3", lambda w: w * np.float32(np.nan)))
    assert "not finite" in report[law.RUNS].detail


def test_other_masks_than_those_used_break_the_law(tmp_path: Path) -> None:
    case = cnn(tmp_path)
    name, bits = next((name, bits) for name, bits in case.masks.items() if bits.sum() > 1)
    swapped = bits.copy()
    swapped[0], swapped[-1] = False, True
    report = Case(case.groups, case.masks | {name: swapped}, case.pruned).verify()
    assert {check.name for check in report.failed} == {"kept weights are bit-identical", law.LAW}


def test_optimisations_that_differ_are_measured_against_the_originals_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = cnn(tmp_path)
    assert case.verify(rtol=0.0, atol=1e-12)[law.RUNS].status == "PASS"  # as much as in the original
    monkeypatch.setattr(law, "noise", lambda _: compare.Distance())
    assert case.verify(rtol=0.0, atol=1e-12)[law.RUNS].status == "FAIL"


# --- inputs ------------------------------------------------------------------------------------------


def test_token_numbers_stay_inside_the_tables_that_they_index(tmp_path: Path) -> None:
    graph = tokens(tmp_path).groups.graph
    assert index_bounds(graph) == {"ids": 11}
    for seed in range(5):
        feed = random_feeds(graph, {"ids": (3, 64)}, np.random.default_rng(seed))
        assert (int(feed["ids"].min()), int(feed["ids"].max())) == (0, 10)


def test_indices_are_followed_through_casts_and_the_shortest_table_counts(tmp_path: Path) -> None:
    body = """
        wide = Cast<to=7>(ids)
        flat = Reshape(wide, shape)
        a = Gather(long, flat)
        b = Gather(short, flat)
        y = Add(a, b)
    """
    weights = {"shape": ints(-1), "long": (9, 4), "short": (5, 4)}
    made = model("int32[2,3] ids => float[6,4] y", body, **weights)
    assert index_bounds(load_graph(save(made, tmp_path))) == {"ids": 5}


def test_booleans_pixels_and_floats_get_values_of_their_kind(tmp_path: Path) -> None:
    body = "f = Cast<to=1>(pixels)\n s = Add(f, x)\n y = Where(flags, s, x)"
    made = model("bool[64] flags, uint8[64] pixels, float[64] x => float[64] y", body)
    graph = load_graph(save(made, tmp_path))
    feed = random_feeds(graph, batch_shapes(graph)[0], np.random.default_rng(0))
    assert set(feed["flags"].tolist()) == {True, False}
    assert feed["pixels"].max() > 200
    assert feed["x"].dtype == np.float32


def test_the_batch_is_found_by_its_name_wherever_it_stands(tmp_path: Path) -> None:
    body = "t = Transpose<perm=[1,0]>(b)\n y = Add(a, t)"
    graph = load_graph(save(model("float[B,4] a, float[4,B] b => float[B,4] y", body), tmp_path))
    assert batch_shapes(graph)[1] == {"a": (3, 4), "b": (4, 3)}


def test_an_image_of_a_fixed_size_has_one_shape(tmp_path: Path) -> None:
    graph = load_graph(save(model("float[2,4] a => float[2,4] y", "y = Relu(a)"), tmp_path))
    assert batch_shapes(graph) == [{"a": (2, 4)}]


# --- tolerance ---------------------------------------------------------------------------------------


def test_distance_is_relative_to_the_largest_output() -> None:
    big = [[np.array([1000.0, 0.0], np.float32)]]
    near = [[np.array([1000.0, 0.05], np.float32)]]
    far = [[np.array([1000.0, 0.5], np.float32)]]
    assert distance(near, big, TOLERANCE).fault == ""
    assert "max|d| 0.5, allowed 0.1" in distance(far, big, TOLERANCE).fault


def test_nan_equals_nan_and_nothing_else() -> None:
    nan, number = [[np.array([np.nan, 1.0])]], [[np.array([0.0, 1.0])]]
    assert distance(nan, nan, TOLERANCE).fault == ""
    assert distance(nan, number, TOLERANCE).fault
    assert distance(number, nan, TOLERANCE).fault


def test_extents_and_types_of_outputs_must_be_the_same() -> None:
    a = [[np.zeros((2, 3), np.float32)]]
    assert "instead of" in distance([[np.zeros((3, 2), np.float32)]], a, TOLERANCE).fault
    assert "instead of" in distance([[np.zeros((2, 3), np.float64)]], a, TOLERANCE).fault
    assert "outputs instead of" in distance([[]], a, TOLERANCE).fault


def test_an_integer_output_may_flip_in_a_tie_of_thousands_only() -> None:
    labels = np.arange(5000)
    flipped = labels.copy()
    flipped[:4] = -1
    assert distance([[flipped]], [[labels]], TOLERANCE).fault == ""
    assert "4 of 40 elements differ" in distance([[flipped[:40]]], [[labels[:40]]], TOLERANCE).fault


@pytest.mark.parametrize(
    ("kind", "rtol"), [(TensorProto.DOUBLE, 1e-8), (TensorProto.FLOAT, 1e-4), (TensorProto.FLOAT16, 1e-2)]
)
def test_the_tolerance_follows_the_least_precise_type(kind: int, rtol: float, tmp_path: Path) -> None:
    x, y = (helper.make_tensor_value_info(name, kind, [2]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    onnx.save(
        helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]),
        tmp_path / "m.onnx",
    )
    tolerance = compare.tolerance_of(load_graph(tmp_path / "m.onnx"), VerifyOptions())
    assert tolerance.rtol == rtol


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_float_types_are_verified(dtype: type[np.floating], tmp_path: Path) -> None:
    kind = "float16" if dtype is np.float16 else "double"
    body = "a = Gemm(x, w1, b1)\n r = Relu(a)\n y = MatMul(r, w2)"
    made = model(f"{kind}[N,6] x => {kind}[N,3] y", body, w1=(6, 16), b1=16, w2=(16, 3))
    for weight in made.graph.initializer:
        weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight).astype(dtype), weight.name))
    groups = find_groups(load_graph(save(made, tmp_path)))
    masks = random_masks(groups, np.random.default_rng(1), 0.6)
    report = Case(groups, masks, prune(groups, masks)).verify()
    assert report.ok, report
    assert report[law.LAW].status == "PASS"

"""Extents that depend on values: compared where weights are as they were, left alone where they changed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

from onnxprune.masks import all_true
from onnxprune.pruning import prune
from onnxprune.verification import channels
from onnxprune.verification.allowed import allowed
from onnxprune.verification.lens import see, see_further
from onnxprune.verification.value_extents import Axes, value_dependent
from tests.law.build import Weight, ints, model
from tests.verification.cases import Case, case, change, quantised, statuses

CLASSIFIER = """
    a = Conv(x, w1)
    b = Conv(a, w2)
    p = GlobalAveragePool(b)
    f = Flatten(p)
    y = Gemm<transB=1>(f, fc, fcb)
    positive = Greater(y, zero)
    row = Reshape(y, flat)
"""
CLASSIFIER_WEIGHTS: dict[str, Weight] = {
    "w1": (7, 3, 1, 1),
    "w2": (6, 7, 1, 1),
    "fc": (5, 6),
    "fcb": np.array([1, -1, 2, -2, 3], np.float32),  # what comes out for an input of zeros
    "zero": np.array(0, np.float32),
    "flat": ints(-1),
}
COUNT = "c = Cast<to=7>(positive)\ns = ReduceSum<keepdims=0>(c)\n"
TAILS = {
    "NonZero": "z = NonZero(positive)",
    "Compress": "c = Reshape(positive, flat)\nz = Compress(row, c)",
    "TopK": COUNT + "k = Reshape(s, flat)\nz, i = TopK(row, k)",
    "Unique": "z = Unique(row)",
    "Range": COUNT + "z = Range(start, s, step)",
}

DETECTOR = """
    a = Conv(x, w1)
    r = Relu(a)
    bm = Conv(r, wb, bb)
    br = Reshape(bm, boxes)
    bt = Transpose<perm=[0,2,1]>(br)
    sm = Conv(r, ws, sb)
    st = Reshape(sm, scores)
    picked = NonMaxSuppression(bt, st, most, overlap, threshold)
    index = Gather<axis=1>(picked, two)
    fm = Conv(r, wf)
    fr = Reshape(fm, features)
    ft = Transpose(fr)
    of_boxes = Gather(ft, index)
    h = MatMul(of_boxes, m1)
    g = Relu(h)
    y = MatMul(g, m2)
"""
DETECTOR_WEIGHTS: dict[str, Weight] = {
    "w1": (6, 3, 1, 1),
    "wb": (4, 6, 1, 1),
    "bb": np.array([0, 0, 1, 1], np.float32),
    "ws": (2, 6, 1, 1),
    "sb": np.array([1, -1], np.float32),  # for an input of zeros: one box of the first class
    "wf": (8, 6, 1, 1),
    "m1": (8, 7),
    "m2": (7, 5),
    "boxes": ints(1, 4, 64),
    "scores": ints(1, 2, 64),
    "features": ints(8, 64),
    "most": ints(3),
    "overlap": np.array([0.5], np.float32),
    "threshold": np.array([0.1], np.float32),
    "two": np.array(2),
}


def classifier(folder: Path, op_type: str = "NonZero") -> Case:
    numbers: dict[str, Weight] = {"start": np.array(0), "step": np.array(1)} if op_type == "Range" else {}
    kind = "float" if op_type in ("Compress", "TopK", "Unique") else "int64"
    extents = "D,K" if op_type == "NonZero" else "K"
    signature = f"float[N,3,8,8] x => float[N,5] y, {kind}[{extents}] z"
    made = model(signature, CLASSIFIER + TAILS[op_type], **CLASSIFIER_WEIGHTS, **numbers)
    return case(made, folder)


def detector(folder: Path) -> Case:
    made = model("float[1,3,8,8] x => float[K,5] y, int64[K,3] picked", DETECTOR, **DETECTOR_WEIGHTS)
    return case(made, folder)


def loose(case: Case, pruned: ModelProto) -> Axes:
    seen = see_further(see(pruned, case.groups.graph))
    return value_dependent(case.groups, seen, allowed(case.groups, case.masks).constants)


REPAIRED = dict.fromkeys(("channels", "contract", "kept", "onnx", "cost", "runs"), "PASS") | {
    "masked": "SKIP"
}


@pytest.mark.parametrize("op_type", TAILS)
def test_how_many_there_are_may_change_with_the_weights(op_type: str, tmp_path: Path) -> None:
    case = classifier(tmp_path, op_type)
    repaired = change(case.pruned, "fcb", lambda bias: np.full_like(bias, 2))
    assert statuses(case.verify(repaired, retrained=True)) == REPAIRED


@pytest.mark.parametrize("bias", [[1, 1], [-1, -1]])
def test_a_detector_may_find_other_boxes_and_what_they_cost_is_as_promised(
    bias: list[float], tmp_path: Path
) -> None:
    case = detector(tmp_path)
    assert {member.tensor for group in case.groups.prunable for member in group.members} >= {"w1", "m1"}
    repaired = change(case.pruned, "sb", lambda _: np.array(bias, np.float32))
    assert statuses(case.verify(repaired, retrained=True)) == REPAIRED


def test_pruning_alone_may_change_how_many_there_are(tmp_path: Path) -> None:
    """The law compares them: both models run on the same inputs."""
    case = detector(tmp_path)
    assert set(statuses(case.verify()).values()) == {"PASS"}
    spoilt = change(case.pruned, "sb", lambda _: np.array([1, 1], np.float32))
    assert statuses(case.verify(spoilt))["masked"] == "FAIL"


def test_only_the_axis_that_depends_on_values_is_left_out(tmp_path: Path) -> None:
    case = classifier(tmp_path)
    assert loose(case, case.pruned) == {("z", 1)}
    found = detector(tmp_path)
    rows = ("picked", "index", "of_boxes", "h", "g", "y")
    assert loose(found, found.pruned) == {(name, 0) for name in rows}


@pytest.mark.parametrize("build", [classifier, detector])
def test_where_no_weight_changed_all_extents_are_compared(
    build: Callable[[Path], Case], tmp_path: Path
) -> None:
    groups = build(tmp_path).groups
    masks = all_true(groups)
    assert loose(Case(groups, masks, prune(groups, masks)), prune(groups, masks)) == frozenset()


def test_what_depends_on_the_values_of_inputs_alone_is_compared(tmp_path: Path) -> None:
    body = CLASSIFIER + "marked = Greater(x, zero)\nz = NonZero(marked)"
    made = model("float[N,3,8,8] x => float[N,5] y, int64[4,K] z", body, **CLASSIFIER_WEIGHTS)
    pruned = case(made, tmp_path)
    assert loose(pruned, pruned.pruned) == frozenset()


def test_extents_that_only_a_run_tells_are_compared_where_no_values_decide_them(tmp_path: Path) -> None:
    case = quantised(tmp_path)
    assert loose(case, case.pruned) == frozenset()


@pytest.mark.parametrize("name", ["m1", "m2", "wf"])
def test_wrong_slices_beside_other_boxes_are_still_caught(name: str, tmp_path: Path) -> None:
    case = detector(tmp_path)
    repaired = change(case.pruned, "sb", lambda _: np.array([1, 1], np.float32))
    spoilt = change(repaired, name, lambda weight: weight[:-1])
    assert statuses(case.verify(spoilt, retrained=True))["channels"] == "FAIL"


def test_an_output_of_other_width_is_a_fault_however_many_boxes_there_are(tmp_path: Path) -> None:
    case = detector(tmp_path)
    spoilt = change(case.pruned, "m2", lambda weight: weight[:, :-1])
    seen = see_further(see(spoilt, case.groups.graph))
    check = channels.check_channels(case.groups.graph, seen, loose=loose(case, spoilt))
    assert any("graph output 'y'" in fault for fault in check.faults)

"""Masks that nobody wrote down, read off the weights."""

from pathlib import Path

import numpy as np
import pytest

from onnxprune.groups import find_groups
from onnxprune.masks import Masks
from onnxprune.onnx_file import load_graph
from onnxprune.pruning import prune
from onnxprune.verification import CannotRecover, recover_masks, verify
from onnxprune.verification.lens import see
from tests.law.build import model, save
from tests.verification.cases import CNN, CNN_WEIGHTS, Case, change, cnn, random_masks, shuffle, tokens


def recovered(case: Case) -> Masks:
    return recover_masks(case.groups, see(case.pruned, case.groups.graph))


@pytest.mark.parametrize("build", [cnn, shuffle, tokens])
def test_masks_are_recovered_exactly(build: type[Case], tmp_path: Path) -> None:
    case = build(tmp_path)
    found = recovered(case)
    assert found.keys() == case.masks.keys()
    assert all(np.array_equal(found[name], bits) for name, bits in case.masks.items())


def test_recovered_masks_prove_the_law(tmp_path: Path) -> None:
    check = cnn(tmp_path).verify(masks=False)["masked"]
    assert check.status == "PASS"


def test_channels_that_are_equal_bit_for_bit_are_taken_in_order(tmp_path: Path) -> None:
    """Dead channels: any of them is as good as the other."""
    weights = {name: np.zeros(8, np.float32) for name in ("b1", "bias", "mean", "db")}
    made = model("float[N,3,6,6] x => float[N,5] y", CNN, **CNN_WEIGHTS | weights)
    for name in ("w1", "dw"):
        made = change(made, name, lambda w: np.concatenate([w[:4], np.zeros_like(w[4:])]))
    for name in ("scale", "var"):
        made = change(made, name, np.ones_like)
    for name in ("w2", "w3"):
        made = change(made, name, lambda w: np.concatenate([w[:, :4], np.zeros_like(w[:, 4:])], axis=1))
    groups = find_groups(load_graph(save(made, tmp_path)))
    masks = random_masks(groups, np.random.default_rng(0), 0.5)
    wide = next(group.name for group in groups.prunable if group.channels == 8)
    masks[wide] = np.array([1, 0, 1, 0, 0, 1, 0, 1], bool)
    found = recovered(Case(groups, masks, prune(groups, masks)))
    assert found[wide][:4].tolist() == [True, False, True, False]
    assert found[wide].sum() == 4


def test_channels_of_two_groups_on_one_axis_are_told_apart(tmp_path: Path) -> None:
    body = "a = Conv(x, w1)\n b = Conv(x, w2)\n c = Concat<axis=1>(a, b)\n y = Conv(c, w3)"
    weights = {"w1": (6, 3, 1, 1), "w2": (5, 3, 1, 1), "w3": (2, 11, 1, 1)}
    groups = find_groups(
        load_graph(save(model("float[1,3,4,4] x => float[1,2,4,4] y", body, **weights), tmp_path))
    )
    masks = random_masks(groups, np.random.default_rng(3), 0.5)
    found = recovered(Case(groups, masks, prune(groups, masks)))
    assert all(np.array_equal(found[name], bits) for name, bits in masks.items())


def test_changed_weights_cannot_be_recovered_and_the_law_is_skipped(tmp_path: Path) -> None:
    case = cnn(tmp_path)
    trained = change(case.pruned, "w1", lambda w: w + np.float32(0.01))
    with pytest.raises(CannotRecover):
        recover_masks(case.groups, see(trained, case.groups.graph))
    report = case.verify(trained, masks=False)
    assert {check.name.split()[0] for check in report.skipped} == {"kept", "masked"}
    assert "cannot be recovered" in report["masked"].detail


def test_whole_heads_are_recovered_without_being_told(tmp_path: Path) -> None:
    body = """
        q = MatMul(x, wq)
        k = MatMul(x, wk)
        v = MatMul(x, wv)
        q4 = Reshape(q, split)
        k4 = Reshape(k, split)
        v4 = Reshape(v, split)
        qh = Transpose<perm=[0,2,1,3]>(q4)
        kh = Transpose<perm=[0,2,3,1]>(k4)
        vh = Transpose<perm=[0,2,1,3]>(v4)
        s = MatMul(qh, kh)
        p = Softmax(s)
        o = MatMul(p, vh)
        t = Transpose<perm=[0,2,1,3]>(o)
        f = Reshape(t, join)
        y = MatMul(f, wo)
    """
    weights = {
        "wq": (6, 12),
        "wk": (6, 12),
        "wv": (6, 12),
        "wo": (12, 6),
        "split": np.array([0, 0, 4, 3]),
        "join": np.array([0, 0, 12]),
    }
    path = save(model("float[N,5,6] x => float[N,5,6] y", body, **weights), tmp_path)
    groups = find_groups(load_graph(path), heads=True)
    masks = {group.name: np.arange(group.channels) != 1 for group in groups.prunable if group.channels == 4}
    assert masks
    report = verify(path, prune(groups, masks))
    assert report["masked"].status == "PASS", report

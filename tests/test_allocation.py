"""Allocations: how the share that stays is spread over the groups."""

from pathlib import Path

import numpy as np
import pytest

from onnxprune.allocation import ALLOCATIONS, allocate, pattern
from onnxprune.cost import CostModel
from onnxprune.errors import UsageError
from onnxprune.groups import find_groups
from onnxprune.masks import Masks
from onnxprune.onnx_file import load_graph
from onnxprune.target import Alignment, Constraints, Scores, parse_target
from tests.exported import export_case
from tests.law.build import model, save

FREE = Constraints(Alignment(1, 1), min_keep=1)
HALF = parse_target(["macs=50%"])


@pytest.fixture(scope="module")
def cost_model(exported_folder: Path) -> CostModel:
    return CostModel(find_groups(load_graph(export_case("resnet20", "torchscript", exported_folder))))


@pytest.fixture(scope="module")
def scores(cost_model: CostModel) -> Scores:
    """Log-normal scores whose scale differs wildly between groups."""
    rng = np.random.default_rng(0)
    return {
        group.name: np.exp(rng.standard_normal(group.channels) + 5 * rng.standard_normal())
        for group in cost_model.groups.prunable
    }


def keep_ratios(masks: Masks) -> list[float]:
    return [float(bits.mean()) for bits in masks.values()]


def run(how: str, scores: Scores, cost_model: CostModel, constraints: Constraints = FREE) -> Masks:
    return allocate(scores, cost_model, target=HALF, constraints=constraints, how=how)


@pytest.mark.parametrize("how", ALLOCATIONS)
@pytest.mark.parametrize("align", [Alignment(1, 1), Alignment(4, 4), Alignment(4, 16)])
def test_every_allocation_meets_the_target_and_keeps_the_best_of_each_group(
    how: str, align: Alignment, scores: Scores, cost_model: CostModel
) -> None:
    masks = run(how, scores, cost_model, Constraints(align))
    cost, whole = cost_model.count(masks), cost_model.count({})
    assert 0.45 * whole.macs < cost.macs <= 0.5 * whole.macs
    for name, bits in masks.items():
        assert bits.all() or scores[name][bits].min() >= scores[name][~bits].max()


def test_uniform_keeps_the_same_share_everywhere(scores: Scores, cost_model: CostModel) -> None:
    masks = run("uniform", scores, cost_model)
    lower = [(bits.sum() - 1) / len(bits) for bits in masks.values()]
    upper = [(bits.sum() + 1) / len(bits) for bits in masks.values()]
    assert max(lower) <= min(upper)  # one share fits all groups to one channel


@pytest.mark.parametrize(("how", "scale"), [("global", np.mean), ("global-max", np.max)])
def test_global_has_one_threshold_over_normalised_scores(
    how: str, scale: np.ufunc, scores: Scores, cost_model: CostModel
) -> None:
    masks = run(how, scores, cost_model)
    normalised = {name: values / scale(values) for name, values in scores.items()}
    best = {name: values.max() for name, values in normalised.items()}  # these stay in any case
    kept = np.concatenate([normalised[n][b & (normalised[n] < best[n])] for n, b in masks.items()])
    others = np.concatenate([values[values < best[name]] for name, values in normalised.items()])
    highest = np.sort(others)[-len(kept) :]
    assert np.isin(kept, highest).sum() >= len(kept) - 5  # the last few fill what is left of the target


def test_isomorphic_keeps_the_same_share_of_each_class(scores: Scores, cost_model: CostModel) -> None:
    masks = run("isomorphic", scores, cost_model)
    classes: dict[object, list[np.ndarray]] = {}
    for group in cost_model.groups.prunable:
        classes.setdefault(pattern(cost_model.groups, group), []).append(masks[group.name])
    assert 1 < len(classes) < len(masks)
    inner = max(classes.values(), key=len)  # the convolutions inside blocks
    assert len(inner) == 9
    shares = [np.concatenate(own).mean() for own in classes.values() if sum(map(len, own)) >= 16]
    assert max(shares) - min(shares) < 0.1
    assert np.ptp([bits.mean() for bits in inner]) > 0.1  # within a class the share is free


def test_a_class_is_made_by_operators_and_directions_alone(tmp_path: Path) -> None:
    """Neither the width, nor a bias, nor how a weight is stored makes another class."""
    body = """
        a = Gemm(x, w1)
        b = Relu(a)
        c = Gemm<transB=1>(b, w2, b2)
        d = Relu(c)
        e = Gemm(d, w3, b3)
        f = Relu(e)
        g = MatMul(f, w4)
        h = Relu(g)
        y = MatMul(h, w5)
    """
    sizes = {"w1": (5, 6), "w2": (8, 6), "b2": 8, "w3": (8, 9), "b3": 9, "w4": (9, 7), "w5": (7, 4)}
    groups = find_groups(load_graph(save(model("float[N,5] x => float[N,4] y", body, **sizes), tmp_path)))
    gemms, others, into_matmul, matmuls = (pattern(groups, group) for group in groups.prunable)
    assert gemms == others == (("Gemm", ("out",)), ("Gemm", ("in",)))
    assert len({gemms, into_matmul, matmuls}) == 3


def test_shallow_and_deep_lean_to_their_ends(scores: Scores, cost_model: CostModel) -> None:
    early = keep_ratios(run("shallow", scores, cost_model))
    late = keep_ratios(run("deep", scores, cost_model))
    assert early[-1] == 1
    assert late[0] == 1
    assert early[0] <= 0.5
    assert late[-1] <= 0.5
    steps = np.diff(early), -np.diff(late)
    assert all((change > -0.1).all() for change in steps)  # in proportion to depth, but for rounding


def test_groups_without_scores_keep_everything(scores: Scores, cost_model: CostModel) -> None:
    first, *_, last = scores
    some = {name: values for name, values in scores.items() if name not in (first, last)}
    for how in ALLOCATIONS:
        masks = run(how, some, cost_model)
        assert masks[first].all()
        assert masks[last].all()


def test_scores_of_zero_are_no_reason_to_fail(cost_model: CostModel) -> None:
    nothing = {group.name: np.zeros(group.channels) for group in cost_model.groups.prunable}
    for how in ALLOCATIONS:
        assert cost_model.count(run(how, nothing, cost_model)).macs <= 0.5 * cost_model.count({}).macs


def test_an_unknown_allocation_is_an_error_with_a_suggestion(scores: Scores, cost_model: CostModel) -> None:
    with pytest.raises(UsageError) as caught:
        run("unifrom", scores, cost_model)
    assert caught.value.code == "E201"
    assert "did you mean 'uniform'?" in caught.value.hint

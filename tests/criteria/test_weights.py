"""Criteria on weights, against computations by hand."""

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from onnxprune.criteria import CRITERIA, score, weights
from onnxprune.errors import UnsupportedError, UsageError
from onnxprune.groups import Groups
from tests.criteria.conftest import Build

IMAGE = "float[N,3,6,6] x => float[N,5] y"
CHAIN = """
    c = Conv<pads=[1,1,1,1]>(x, w1, b1)
    n = BatchNormalization(c, gamma, beta, mean, var)
    r = Relu(n)
    d = Conv<pads=[1,1,1,1]>(r, w2, b2)
    p = GlobalAveragePool(d)
    f = Flatten(p)
    y = Gemm<transB=1>(f, fc, fcb)
"""
CONVOLUTION = {"w1": (8, 3, 3, 3), "b1": 8, "gamma": 8, "beta": 8, "mean": 8, "var": 8}
SIZES = CONVOLUTION | {"w2": (6, 8, 3, 3), "b2": 6, "fc": (5, 6), "fcb": 5}


def array(groups: Groups, name: str) -> NDArray[np.float64]:
    return groups.graph.initializers[name].array().astype(np.float64)


@pytest.fixture
def chain(groups_of: Build) -> Groups:
    return groups_of(IMAGE, CHAIN, **SIZES)


def test_l1_adds_up_the_filter(chain: Groups) -> None:
    first, second = score(chain, "l1").values()
    np.testing.assert_allclose(first, np.abs(array(chain, "w1")).sum((1, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(second, np.abs(array(chain, "w2")).sum((1, 2, 3)), rtol=1e-12)


def test_l2_is_the_norm_of_the_filter(chain: Groups) -> None:
    first, _ = score(chain, "l2").values()
    expected = [np.linalg.norm(filter_) for filter_ in array(chain, "w1")]
    np.testing.assert_allclose(first, expected, rtol=1e-12)


def test_group_l2_adds_up_all_coupled_weights_but_no_statistics(chain: Groups) -> None:
    first, second = score(chain, "group-l2").values()
    w1, b1, gamma, beta, w2, b2, fc = (
        array(chain, name) ** 2 for name in ("w1", "b1", "gamma", "beta", "w2", "b2", "fc")
    )
    np.testing.assert_allclose(first, w1.sum((1, 2, 3)) + b1 + gamma + beta + w2.sum((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(second, w2.sum((1, 2, 3)) + b2 + fc.sum(0), rtol=1e-12)


def test_fpgm_adds_up_distances_to_the_other_filters(chain: Groups) -> None:
    first, _ = score(chain, "fpgm").values()
    w = array(chain, "w1").reshape(8, -1)
    expected = [sum(float(np.linalg.norm(a - b)) for b in w) for a in w]
    np.testing.assert_allclose(first, expected, rtol=1e-9)


def test_fpgm_sees_two_equal_filters_as_equal(groups_of: Build) -> None:
    w1 = np.random.default_rng(0).standard_normal((8, 3, 3, 3)).astype(np.float32)
    w1[5] = w1[2]
    first, _ = score(groups_of(IMAGE, CHAIN, **SIZES | {"w1": w1}), "fpgm").values()
    assert first[5] == pytest.approx(first[2], rel=1e-7)


def test_bn_scale_is_the_size_of_gamma_and_leaves_groups_without_one_alone(chain: Groups) -> None:
    scores = score(chain, "bn-scale")
    assert list(scores) == [chain.prunable[0].name]
    np.testing.assert_allclose(*scores.values(), np.abs(array(chain, "gamma")), rtol=1e-12)


def test_bn_scale_says_when_batch_normalization_was_folded(groups_of: Build) -> None:
    folded = CHAIN.replace("n = BatchNormalization(c, gamma, beta, mean, var)", "n = Identity(c)")
    with pytest.raises(UnsupportedError, match="needs BatchNormalization nodes") as caught:
        score(groups_of(IMAGE, folded, **SIZES), "bn-scale")
    assert caught.value.code == "E403"


def test_random_depends_on_the_seed_alone(chain: Groups) -> None:
    once, again, other = (score(chain, "random", seed=seed) for seed in (1, 1, 2))
    assert all((once[name] == again[name]).all() for name in once)
    assert not any((once[name] == other[name]).any() for name in once)


def test_every_producer_of_a_stream_counts(groups_of: Build) -> None:
    body = """
        a = Conv(x, w1)
        b = Conv(x, w2)
        s = Add(a, b)
        p = GlobalAveragePool(s)
        f = Flatten(p)
        y = Gemm<transB=1>(f, fc, fcb)
    """
    shapes = {"w1": (8, 3, 1, 1), "w2": (8, 3, 1, 1), "fc": (5, 8), "fcb": 5}
    groups = groups_of(IMAGE, body, **shapes)
    w1, w2 = (array(groups, name).reshape(8, -1) for name in ("w1", "w2"))
    (l1,), (l2,), (fpgm,) = (score(groups, name).values() for name in ("l1", "l2", "fpgm"))
    np.testing.assert_allclose(l1, np.abs(w1).sum(1) + np.abs(w2).sum(1), rtol=1e-12)
    np.testing.assert_allclose(l2, np.sqrt((w1**2).sum(1) + (w2**2).sum(1)), rtol=1e-12)
    apart = [np.linalg.norm(w[:, None] - w[None], axis=2).sum(1) for w in (w1, w2)]
    np.testing.assert_allclose(fpgm, (apart[0] + apart[1]) / 2, rtol=1e-9)


def test_parts_of_a_concatenation_are_scored_by_their_own_slices(groups_of: Build) -> None:
    body = """
        a = Conv(x, w1)
        b = Conv(x, w2)
        s = Concat<axis=1>(a, b)
        p = GlobalAveragePool(s)
        f = Flatten(p)
        y = Gemm<transB=1>(f, fc, fcb)
    """
    groups = groups_of(IMAGE, body, w1=(4, 3, 1, 1), w2=(7, 3, 1, 1), fc=(5, 11), fcb=5)
    first, second = score(groups, "group-l2").values()
    fc = (array(groups, "fc") ** 2).sum(0)
    np.testing.assert_allclose(first, (array(groups, "w1") ** 2).sum((1, 2, 3)) + fc[:4], rtol=1e-12)
    np.testing.assert_allclose(second, (array(groups, "w2") ** 2).sum((1, 2, 3)) + fc[4:], rtol=1e-12)


def test_all_indices_of_a_channel_count(groups_of: Build) -> None:
    body = """
        a = Conv(x, w1)
        f = Flatten(a)
        y = Gemm<transB=1>(f, fc, fcb)
    """
    groups = groups_of(IMAGE, body, w1=(4, 3, 1, 1), fc=(5, 4 * 36), fcb=5)
    (found,) = score(groups, "group-l2").values()
    fc = (array(groups, "fc") ** 2).reshape(5, 4, 36).sum((0, 2))
    np.testing.assert_allclose(found, (array(groups, "w1") ** 2).sum((1, 2, 3)) + fc, rtol=1e-12)


FEATURES = "float[N,6] x => float[N,5] y"
TWO_LAYERS = """
    h = MatMul(x, w)
    r = Relu(h)
    y = Gemm<transB=1>(r, fc, fcb)
"""


def test_weights_behind_a_transpose_are_read_along_their_own_axis(groups_of: Build) -> None:
    groups = groups_of(FEATURES, "w = Transpose<perm=[1,0]>(wt)" + TWO_LAYERS, wt=(8, 6), fc=(5, 8), fcb=5)
    (found,) = score(groups, "l1").values()
    np.testing.assert_allclose(found, np.abs(array(groups, "wt")).sum(1), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_other_floats_are_added_in_double_precision(groups_of: Build, dtype: type) -> None:
    wt = (1000 * np.random.default_rng(0).standard_normal((8, 6))).astype(dtype)
    body = "wf = Cast<to=1>(wt)\nw = Transpose<perm=[1,0]>(wf)" + TWO_LAYERS
    groups = groups_of(FEATURES, body, wt=wt, fc=(5, 8), fcb=5)
    (found,) = score(groups, "group-l2").values()
    expected = (wt.astype(np.float64) ** 2).sum(1) + (array(groups, "fc") ** 2).sum(0)
    np.testing.assert_allclose(found, expected, rtol=1e-12)  # float16 would overflow


def quantised(rng: np.random.Generator, *shape: int) -> NDArray[np.int8]:
    return rng.integers(-128, 128, shape).astype(np.int8)


def test_integers_count_as_what_they_are_dequantised_to(groups_of: Build) -> None:
    rng = np.random.default_rng(0)
    q = quantised(rng, 6, 8)
    scale = rng.uniform(0.01, 1, 8).astype(np.float32)
    zero = quantised(rng, 8)
    body = "w = DequantizeLinear<axis=1>(q, scale, zero)" + TWO_LAYERS
    groups = groups_of(FEATURES, body, q=q, scale=scale, zero=zero, fc=(5, 8), fcb=5)
    real = (q.astype(float) - zero.astype(float)) * scale
    (l1,), (group_l2,) = (score(groups, name).values() for name in ("l1", "group-l2"))
    np.testing.assert_allclose(l1, np.abs(real).sum(0), rtol=1e-6)
    # neither the scale nor the zero point is a weight of its own
    np.testing.assert_allclose(group_l2, (real**2).sum(0) + (array(groups, "fc") ** 2).sum(0), rtol=1e-6)


def test_blocked_quantisation_is_spread_over_its_blocks(groups_of: Build) -> None:
    rng = np.random.default_rng(0)
    q = quantised(rng, 6, 8)
    scale = rng.uniform(0.01, 1, (3, 8)).astype(np.float32)
    body = "w = DequantizeLinear<axis=0, block_size=2>(q, scale)" + TWO_LAYERS
    groups = groups_of(FEATURES, body, q=q, scale=scale, fc=(5, 8), fcb=5)
    (found,) = score(groups, "l1").values()
    np.testing.assert_allclose(found, np.abs(q * np.repeat(scale.astype(float), 2, axis=0)).sum(0), rtol=1e-6)


def test_integers_that_nothing_dequantises_count_as_they_are(groups_of: Build) -> None:
    q = quantised(np.random.default_rng(0), 6, 8)
    groups = groups_of(FEATURES, "w = Cast<to=1>(q)" + TWO_LAYERS, q=q, fc=(5, 8), fcb=5)
    (found,) = score(groups, "l1").values()
    np.testing.assert_allclose(found, np.abs(q.astype(float)).sum(0), rtol=1e-12)


@pytest.mark.parametrize("criterion", ["l1", "l2", "group-l2", "fpgm"])
def test_reading_in_blocks_changes_nothing(
    chain: Groups, criterion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = score(chain, criterion)
    monkeypatch.setattr(weights, "BLOCK", 50)  # one or two filters at a time
    for name, values in score(chain, criterion).items():
        np.testing.assert_allclose(values, whole[name], rtol=1e-12)


@pytest.mark.parametrize(("criterion", "power"), [("l1", 1), ("l2", 1), ("group-l2", 2), ("fpgm", 1)])
def test_scores_scale_with_the_weights(groups_of: Build, criterion: str, power: int) -> None:
    rng = np.random.default_rng(0)
    body = "h = MatMul(x, w)\nr = Relu(h)\ny = MatMul(r, fc)"
    arrays = {name: rng.standard_normal(shape) for name, shape in (("w", (6, 8)), ("fc", (8, 5)))}
    once, more = (
        score(
            groups_of(FEATURES, body, **{k: (f * v).astype(np.float32) for k, v in arrays.items()}), criterion
        )
        for f in (1, 4)
    )
    (first,), (second,) = once.values(), more.values()
    np.testing.assert_allclose(second, first * 4**power, rtol=1e-6)


def test_an_unknown_criterion_is_an_error_with_a_suggestion(chain: Groups) -> None:
    with pytest.raises(UsageError) as caught:
        score(chain, "group_l2")
    assert caught.value.code == "E201"
    assert "did you mean 'group-l2'?" in caught.value.hint


def test_the_criteria_that_were_promised_are_there() -> None:
    assert sorted(CRITERIA) == sorted(
        [
            "l1",
            "l2",
            "group-l2",
            "fpgm",
            "bn-scale",
            "random",
            "wanda",
            "act-mean-abs",
            "apoz",
            "hrank",
            "obs",
            "taylor",
            "taylor-sum",
            "hessian",
            "bn-gate",
        ]
    )

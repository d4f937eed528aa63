"""Criteria on calibration inputs, against the reference evaluator and numpy."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from onnxprune.calibration import probe
from onnxprune.criteria import CRITERIA, score
from onnxprune.errors import DataError, UnsupportedError
from onnxprune.groups import Groups
from tests.criteria.conftest import Build

Feed = dict[str, NDArray[Any]]
WITH_DATA = [name for name, criterion in CRITERIA.items() if criterion.needs_data]

IMAGE = "float[N,3,6,6] x => float[N,5] y"
CHAIN = """
    c = Conv<pads=[1,1,1,1]>(x, w1, b1)
    r = Relu(c)
    d = Conv<pads=[1,1,1,1]>(r, w2, b2)
    s = Relu(d)
    f = Flatten(s)
    y = Gemm<transB=1>(f, fc, fcb)
"""
SIZES = {"w1": (8, 3, 3, 3), "b1": 8, "w2": (6, 8, 3, 3), "b2": 6, "fc": (5, 216), "fcb": 5}


def images(count: int = 7, *, seed: int = 0) -> Feed:
    return {"x": np.random.default_rng(seed).standard_normal((count, 3, 6, 6)).astype(np.float32)}


def in_batches(feed: Feed, size: int) -> Iterator[Feed]:
    count = len(next(iter(feed.values())))
    for start in range(0, count, size):
        yield {name: array[start : start + size] for name, array in feed.items()}


def values_of(groups: Groups, feed: Feed) -> dict[str, NDArray[Any]]:
    """Every value of the model, by the reference evaluator; weights too."""
    found = ReferenceEvaluator(groups.graph.model).run(None, feed, intermediate=True)
    weights = {name: initializer.array() for name, initializer in groups.graph.initializers.items()}
    return {name: np.asarray(value, np.float64) for name, value in (found | weights).items()}


@pytest.fixture
def chain(groups_of: Build) -> Groups:
    return groups_of(IMAGE, CHAIN, **SIZES)


def test_act_mean_abs_is_the_mean_size_of_what_is_read(chain: Groups) -> None:
    values = values_of(chain, images())
    first, second = score(chain, "act-mean-abs", feeds=[images()]).values()
    np.testing.assert_allclose(first, np.abs(values["r"]).mean((0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(second, np.abs(values["s"]).mean((0, 2, 3)), rtol=1e-5)


def test_apoz_is_the_share_that_is_not_zero(chain: Groups) -> None:
    values = values_of(chain, images())
    first, second = score(chain, "apoz", feeds=[images()]).values()
    np.testing.assert_allclose(first, (values["r"] > 0).mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(second, (values["s"] > 0).mean((0, 2, 3)), rtol=1e-12)


def test_apoz_needs_something_that_can_be_zero(groups_of: Build) -> None:
    groups = groups_of(IMAGE, CHAIN.replace("Relu", "Sigmoid"), **SIZES)
    with pytest.raises(UnsupportedError, match="no value of this model is ever zero") as caught:
        score(groups, "apoz", feeds=[images()])
    assert caught.value.code == "E403"


def test_wanda_is_the_norm_of_what_is_read_times_the_weights_that_read_it(chain: Groups) -> None:
    values = values_of(chain, images())
    first, second = score(chain, "wanda", feeds=[images()]).values()
    norms = np.sqrt((values["r"] ** 2).sum((0, 2, 3)))
    np.testing.assert_allclose(first, norms * np.abs(values["w2"]).sum((0, 2, 3)), rtol=1e-5)
    # behind the Flatten every index has its own norm and its own column
    norms = np.sqrt((values["f"] ** 2).sum(0))
    columns = norms * np.abs(values["fc"]).sum(0)
    np.testing.assert_allclose(second, columns.reshape(6, 36).sum(1), rtol=1e-5)


def matrix_ranks(maps: NDArray[Any]) -> NDArray[Any]:
    """(N, C, H, W) -> (C,) mean rank."""
    return np.array([[np.linalg.matrix_rank(m.astype(np.float32)) for m in image] for image in maps]).mean(0)


def test_hrank_is_the_mean_rank_of_the_maps(groups_of: Build) -> None:
    w1 = np.random.default_rng(0).standard_normal((8, 3, 3, 3)).astype(np.float32)
    w1[2] = 0
    b1 = np.full(8, -1, np.float32)
    b1[2] = 1  # a constant map, of rank 1
    body = CHAIN.replace("f = Flatten(s)", "p = GlobalAveragePool(s)\nf = Flatten(p)")
    groups = groups_of(IMAGE, body, **SIZES | {"w1": w1, "b1": b1, "fc": (5, 6)})
    first, second = score(groups, "hrank", feeds=[images()]).values()
    values = values_of(groups, images())
    np.testing.assert_allclose(first, matrix_ranks(values["r"]), rtol=1e-12)
    assert first[2] == 1
    np.testing.assert_allclose(second, (values["p"] != 0).mean((0, 2, 3)), rtol=1e-12)  # no map left


TWO_READERS = """
    c = Conv(x, w1)
    r = Relu(c)
    a = Conv(r, w2)
    h = Tanh(c)
    b = Conv(h, w3)
    s = Add(a, b)
    g = GlobalAveragePool(s)
    f = Flatten(g)
    y = Gemm<transB=1>(f, fc, fcb)
"""


def test_several_readers_add_up_in_wanda_and_share_the_mean_of_activations(groups_of: Build) -> None:
    shapes = {"w1": (8, 3, 1, 1), "w2": (6, 8, 1, 1), "w3": (6, 8, 1, 1), "fc": (5, 6), "fcb": 5}
    groups = groups_of(IMAGE, TWO_READERS, **shapes)
    values = values_of(groups, images())
    wanda, _ = score(groups, "wanda", feeds=[images()]).values()
    expected = sum(
        np.sqrt((values[x] ** 2).sum((0, 2, 3))) * np.abs(values[w]).sum((0, 2, 3))
        for x, w in (("r", "w2"), ("h", "w3"))
    )
    np.testing.assert_allclose(wanda, expected, rtol=1e-5)
    means, _ = score(groups, "act-mean-abs", feeds=[images()]).values()
    np.testing.assert_allclose(
        means, (np.abs(values["r"]).mean((0, 2, 3)) + np.abs(values["h"]).mean((0, 2, 3))) / 2, rtol=1e-5
    )


def test_hrank_looks_where_a_channel_is_read_first(groups_of: Build) -> None:
    shapes = {"w1": (8, 3, 1, 1), "w2": (6, 8, 1, 1), "w3": (6, 8, 1, 1), "fc": (5, 6), "fcb": 5}
    groups = groups_of(IMAGE, TWO_READERS.replace("Relu(c)", "Clip(c, low, high)"), **shapes,
                       low=np.array(0, np.float32), high=np.array(0, np.float32))  # fmt: skip
    found, _ = score(groups, "hrank", feeds=[images()]).values()
    assert (found == 0).all()  # the second reader's maps have rank 6


def test_a_depthwise_convolution_reads_each_channel_with_its_own_filters(groups_of: Build) -> None:
    body = """
        c = Conv(x, w1)
        r = Relu(c)
        d = Conv<group=8>(r, dw)
        e = Relu(d)
        g = GlobalAveragePool(e)
        f = Flatten(g)
        y = Gemm<transB=1>(f, fc, fcb)
    """
    groups = groups_of(IMAGE, body, w1=(8, 3, 1, 1), dw=(16, 1, 3, 3), fc=(5, 16), fcb=5)
    (found,) = score(groups, "wanda", feeds=[images()]).values()
    values = values_of(groups, images())
    depthwise = np.abs(values["dw"]).sum((1, 2, 3)).reshape(8, 2).sum(1)
    expected = np.sqrt((values["r"] ** 2).sum((0, 2, 3))) * depthwise
    columns = np.sqrt((values["f"] ** 2).sum(0)) * np.abs(values["fc"]).sum(0)
    np.testing.assert_allclose(found, expected + columns.reshape(8, 2).sum(1), rtol=1e-5)


def test_a_grouped_convolution_reads_with_the_mean_over_its_groups(groups_of: Build) -> None:
    body = """
        c = Conv(x, w1)
        r = Relu(c)
        d = Conv<group=2>(r, w2)
        g = GlobalAveragePool(d)
        f = Flatten(g)
        y = Gemm<transB=1>(f, fc, fcb)
    """
    groups = groups_of(IMAGE, body, w1=(8, 3, 1, 1), w2=(6, 4, 1, 1), fc=(5, 6), fcb=5)
    found = score(groups, "wanda", feeds=[images()])[groups.prunable[0].name]
    values = values_of(groups, images())
    norms = np.sqrt((values["r"] ** 2).sum((0, 2, 3)))
    expected = (norms * np.tile(np.abs(values["w2"]).sum((0, 2, 3)) / 2, 2)).reshape(2, 4).sum(0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_weight_that_comes_first_reads_like_any_other(groups_of: Build) -> None:
    body = """
        m = MatMul(w1, x)
        r = Relu(m)
        y = MatMul(w2, r)
    """
    groups = groups_of("float[N,6,4] x => float[N,5,4] y", body, w1=(8, 6), w2=(5, 8))
    feed = {"x": np.random.default_rng(0).standard_normal((3, 6, 4)).astype(np.float32)}
    values = values_of(groups, feed)
    (found,) = score(groups, "wanda", feeds=[feed]).values()
    norms = np.sqrt((values["r"] ** 2).sum((0, 2)))
    np.testing.assert_allclose(found, norms * np.abs(values["w2"]).sum(0), rtol=1e-5)


def test_a_product_of_two_activations_counts_with_its_norm(groups_of: Build) -> None:
    body = """
        q = MatMul(x, wq)
        k = MatMul(x, wk)
        t = Transpose<perm=[0,2,1]>(k)
        y = MatMul(q, t)
    """
    groups = groups_of("float[N,4,6] x => float[N,4,4] y", body, wq=(6, 8), wk=(6, 8))
    feed = {"x": np.random.default_rng(0).standard_normal((3, 4, 6)).astype(np.float32)}
    (found,) = score(groups, "wanda", feeds=[feed]).values()
    np.testing.assert_allclose(found, np.sqrt((values_of(groups, feed)["q"] ** 2).sum((0, 1))), rtol=1e-5)


QUANTISED = """
    q = QuantizeLinear(x, xs, xz)
    c = QLinearConv(q, xs, xz, w1, ws, wz, cs, cz)
    d = QLinearConv(c, cs, cz, w2, ws, wz, ds, dz)
    y = DequantizeLinear(d, ds, dz)
"""


def test_quantised_activations_count_as_what_they_stand_for(groups_of: Build) -> None:
    rng = np.random.default_rng(0)
    scales = {name: np.array(value, np.float32) for name, value in (("xs", 0.03), ("ws", 0.01), ("ds", 0.2))}
    zeros = {name: np.array(120, np.uint8) for name in ("xz", "cz", "dz")}
    weights = {
        "w1": rng.integers(-90, 90, (8, 3, 1, 1)).astype(np.int8),
        "w2": rng.integers(-90, 90, (5, 8, 1, 1)).astype(np.int8),
    }
    groups = groups_of(
        "float[N,3,6,6] x => float[N,5,6,6] y",
        QUANTISED,
        **scales, **zeros, **weights, cs=np.array(0.05, np.float32), wz=np.array(0, np.int8),
    )  # fmt: skip
    (found,) = score(groups, "wanda", feeds=[images()]).values()
    values = values_of(groups, images())
    read = (values["c"] - 120) * np.float32(0.05)
    expected = np.sqrt((read**2).sum((0, 2, 3))) * np.abs(values["w2"] * np.float32(0.01)).sum((0, 2, 3))
    np.testing.assert_allclose(found, expected, rtol=0.02)  # the evaluators round halves differently


@pytest.mark.parametrize("criterion", WITH_DATA)
def test_scores_do_not_depend_on_the_batch_size(chain: Groups, criterion: str) -> None:
    whole = score(chain, criterion, feeds=[images()])
    for size in (1, 3):
        for name, values in score(chain, criterion, feeds=in_batches(images(), size)).items():
            np.testing.assert_allclose(values, whole[name], rtol=1e-5)


@pytest.mark.parametrize("criterion", WITH_DATA)
def test_large_batches_are_run_in_parts(
    chain: Groups, criterion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = score(chain, criterion, feeds=[images()])
    monkeypatch.setattr(probe, "MEMORY", 1)
    for name, values in score(chain, criterion, feeds=[images()]).items():
        np.testing.assert_allclose(values, whole[name], rtol=1e-5)


def test_a_model_with_a_fixed_batch_gets_whole_batches(groups_of: Build) -> None:
    groups = groups_of(IMAGE.replace("N", "2"), CHAIN, **SIZES)
    found = score(groups, "act-mean-abs", feeds=[images(7)])
    free = groups_of(IMAGE, CHAIN, **SIZES)
    first_six = {"x": images(7)["x"][:6]}
    for name, values in score(free, "act-mean-abs", feeds=[first_six]).items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5)


@pytest.mark.parametrize("criterion", WITH_DATA)
def test_inputs_are_asked_for_where_there_are_none(chain: Groups, criterion: str) -> None:
    with pytest.raises(DataError, match="needs calibration inputs") as caught:
        score(chain, criterion)
    assert caught.value.code == "E501"
    with pytest.raises(DataError, match="no calibration inputs") as caught:
        score(chain, criterion, feeds=[])
    assert caught.value.code == "E504"


def test_too_few_rows_for_a_fixed_batch_are_said_so(groups_of: Build) -> None:
    groups = groups_of(IMAGE.replace("N", "8"), CHAIN, **SIZES)
    with pytest.raises(DataError, match="that fill the model's batch of 8"):
        score(groups, "wanda", feeds=[images(7)])


def test_inputs_that_do_not_fit_are_an_error_of_the_data(chain: Groups) -> None:
    with pytest.raises(DataError, match="does not take the calibration inputs") as caught:
        score(chain, "wanda", feeds=[{"x": np.zeros((1, 6, 6, 3), np.float32)}])
    assert caught.value.code == "E503"


def test_the_model_is_left_as_it_was(chain: Groups) -> None:
    before = chain.graph.model.SerializeToString(deterministic=True)
    score(chain, "wanda", feeds=[images()])
    assert chain.graph.model.SerializeToString(deterministic=True) == before

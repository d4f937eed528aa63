"""Layouts and kinds of weights that are rarer: depthwise, one axis, turned, quantised, of half precision."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from onnxprune.groups import Groups
from onnxprune.pruning import prune
from onnxprune.reconstruction import ReconstructOptions, Repair, reconstruct
from tests.reconstruction.conftest import Build
from tests.reconstruction.test_exact import check, producer, relative, run

Array = NDArray[Any]
RNG = np.random.default_rng(11)


def drawn(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


def test_convolutions_over_one_axis_make_up_for_dependent_channels(groups_of: Build) -> None:
    w1, b1 = producer(3, 3)
    groups = groups_of(
        "float[N,3,12] x => float[N,M,P] y",
        "c = Conv(x, w1, b1)\nd = Conv<pads=[1,1], strides=[2]>(c, w2, b2)\nr = Relu(d)\ny = Conv(r, w3)",
        w1=w1, b1=b1, w2=(6, 8, 3), b2=6, w3=(2, 6, 1),
    )  # fmt: skip
    check(groups, {"x": drawn(20, 3, 12)})


def test_channels_that_come_last_do(groups_of: Build) -> None:
    w1, b1 = producer(3, 3, 3)
    groups = groups_of(
        "float[N,9,9,3] x => float[N,P,Q,M] y",
        "t = Transpose<perm=[0,3,1,2]>(x)\nc = Conv(t, w1, b1)\nd = Conv(c, w2, b2)\n"
        "y = Transpose<perm=[0,2,3,1]>(d)",
        w1=w1, b1=b1, w2=(6, 8, 3, 3), b2=6,
    )  # fmt: skip
    check(groups, {"x": drawn(9, 9, 9, 3)})


def test_dense_layers_on_channels_that_come_last_do(groups_of: Build) -> None:
    w1, b1 = producer(3, 3, 3)
    groups = groups_of(
        "float[N,3,7,7] x => float[N,P,Q,M] y",
        "c = Conv(x, w1, b1)\nt = Transpose<perm=[0,2,3,1]>(c)\nd = MatMul(t, w2)\ny = Add(d, b2)",
        w1=w1, b1=b1, w2=(8, 5), b2=5,
    )  # fmt: skip
    check(groups, {"x": drawn(9, 3, 7, 7)})


@pytest.mark.parametrize("attributes", ["transA=1", "transA=1, transB=1, alpha=2.0"])
def test_gemm_of_a_turned_input_does(groups_of: Build, attributes: str) -> None:
    w1, b1 = producer(7)
    groups = groups_of(
        "float[7,60] x => float[60,5] y",
        f"a = MatMul(w1, x)\nc = Add(a, b1)\ny = Gemm<{attributes}>(c, w2, b2)",
        w1=w1, b1=b1[:, None], w2=(5, 8) if "transB" in attributes else (8, 5), b2=5,
    )  # fmt: skip
    check(groups, {"x": drawn(7, 60)})


def pair(groups: Groups, feed: dict[str, Array], **options: Any) -> tuple[list[Repair], float, float]:
    """What was told, and the squared error at the output of the pruned and of the repaired model."""
    masks = {g.name: np.arange(g.channels) % 2 == 0 for g in groups.prunable}
    told: list[Repair] = []
    how = ReconstructOptions(passes=0, **options)
    repaired = reconstruct(groups, masks, [feed], options=how, told=told.append)
    expected = run(groups.graph.model, feed)
    before, after = (
        float(np.square(run(m, feed) - expected).sum()) for m in (prune(groups, masks), repaired)
    )
    return told, before, after


def test_depthwise_convolutions_are_refitted_channel_by_channel(groups_of: Build) -> None:
    """What they read has changed, but they lost nothing: their channels went with those that they read."""
    groups = groups_of(
        "float[N,3,8,8] x => float[N,5,P,Q] y",
        "a = Conv(x, w0, b0)\nra = Relu(a)\nc = Conv(ra, w1, b1)\nr = Relu(c)\n"
        "d = Conv<group=8, pads=[1,1,1,1]>(r, dw, db)\ns = Relu(d)\ny = Conv(s, w2, b2)",
        w0=(8, 3, 1, 1), b0=8, w1=(8, 8, 1, 1), b1=8, dw=(8, 1, 3, 3), db=8, w2=(5, 8, 1, 1), b2=5,
    )  # fmt: skip
    told, before, after = pair(groups, {"x": drawn(20, 3, 8, 8)})
    assert [r.note for r in told] == [""] * 3
    assert all(r.before is not None and r.after is not None and r.after <= r.before + 1e-9 for r in told)
    assert after < 0.7 * before


QUANTISED = {
    "one scale": ("DequantizeLinear(wq, s, z)", np.array(0.02, np.float32), np.zeros((), np.int8)),
    "a scale for each output": (
        "DequantizeLinear<axis=0>(wq, s, z)",
        np.linspace(0.01, 0.03, 6, dtype=np.float32),
        np.arange(6, dtype=np.int8),
    ),
}


@pytest.mark.parametrize("case", QUANTISED)
def test_quantised_weights_are_refitted_on_their_own_scales(groups_of: Build, case: str) -> None:
    call, scale, zero = QUANTISED[case]
    groups = groups_of(
        "float[N,3,8,8] x => float[N,6,P,Q] y",
        f"c = Conv(x, w1, b1)\nr = Relu(c)\nw2 = {call}\ny = Conv(r, w2, b2)",
        w1=(8, 3, 3, 3), b1=8, b2=6, s=scale, z=zero,
        wq=RNG.integers(-60, 60, (6, 8, 3, 3)).astype(np.int8),
    )  # fmt: skip
    told, before, after = pair(groups, {"x": drawn(20, 3, 8, 8)})
    assert [r.note for r in told] == [""]
    assert after < 0.8 * before
    masks = {g.name: np.arange(g.channels) % 2 == 0 for g in groups.prunable}
    model = reconstruct(groups, masks, [{"x": drawn(4, 3, 8, 8)}])
    plain = {t.name: numpy_helper.to_array(t) for t in prune(groups, masks).graph.initializer}
    found = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    assert found["wq"].dtype == np.int8
    assert {n for n in plain if not np.array_equal(plain[n], found[n])} == {"wq", "b2"}


def test_convolutions_of_half_precision_stay_so(groups_of: Build) -> None:
    shapes = {"w1": (8, 3, 3, 3), "b1": (8,), "w2": (6, 8, 3, 3), "b2": (6,)}
    groups = groups_of(
        "float16[N,3,8,8] x => float16[N,6,P,Q] y",
        "c = Conv(x, w1, b1)\nr = Relu(c)\ny = Conv(r, w2, b2)",
        **{name: (drawn(*shape) / 3).astype(np.float16) for name, shape in shapes.items()},
    )
    feed = {"x": drawn(20, 3, 8, 8).astype(np.float16)}
    _, before, after = pair(groups, feed)
    assert after < 0.8 * before


def test_a_weight_that_differs_by_batch_is_left_alone_and_said_so(groups_of: Build) -> None:
    groups = groups_of(
        "float[2,6,7] x => float[2,6,5] y",
        "a = MatMul(x, w1)\nr = Relu(a)\ny = MatMul(r, w2)",
        w1=(7, 8), w2=(2, 8, 5),
    )  # fmt: skip
    told, before, after = pair(groups, {"x": drawn(2, 6, 7)})
    assert [r.note for r in told] == ["left alone: its weight has 3 axes, not 2"]
    assert after == pytest.approx(before)


def test_two_computed_factors_are_left_alone_and_said_so(groups_of: Build) -> None:
    groups = groups_of(
        "float[N,6,7] x => float[N,6,6] y",
        "q = MatMul(x, w1)\nk = MatMul(x, w2)\nt = Transpose<perm=[0,2,1]>(k)\ny = MatMul(q, t)",
        w1=(7, 8), w2=(7, 8),
    )  # fmt: skip
    told, before, after = pair(groups, {"x": drawn(10, 6, 7)})
    assert [r.note.startswith("left alone: its weight is computed") for r in told] == [True]
    assert relative(np.array([after]), np.array([before])) < 1e-6

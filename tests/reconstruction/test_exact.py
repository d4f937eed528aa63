"""Where the removed channels are linear combinations of the kept ones, nothing is lost in any layout."""

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import ModelProto

from onnxprune.groups import Groups
from onnxprune.pruning import prune
from onnxprune.reconstruction import ReconstructOptions, Repair, reconstruct
from tests.reconstruction.conftest import Build

Array = NDArray[Any]
EXACT = ReconstructOptions(ridge=1e-9, passes=0)
RNG = np.random.default_rng(7)


def run(model: ModelProto, feed: dict[str, Array]) -> Array:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    return np.asarray(session.run(None, feed)[0], np.float64)


def producer(*shape: int, axis: int = 0) -> tuple[Array, Array]:
    """A weight and a bias of 8 channels of which the last 4 are combinations of the others."""
    weight, bias = RNG.standard_normal((4, *shape)), RNG.standard_normal(4)
    mix = RNG.standard_normal((4, 4)) / 2
    whole = np.concatenate([weight, np.tensordot(mix, weight, 1)]).astype(np.float32)
    return np.moveaxis(whole, 0, axis), np.concatenate([bias, mix @ bias]).astype(np.float32)


def half(groups: Groups) -> dict[str, NDArray[np.bool_]]:
    (group,) = (g for g in groups.prunable if g.channels == 8)
    return {group.name: np.arange(8) < 4}


def relative(found: Array, expected: Array) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


CONV = {
    "plain": ("pads=[1,1,1,1]", (6, 8, 3, 3)),
    "strided": ("strides=[2,1], pads=[0,1,2,0]", (6, 8, 3, 2)),
    "dilated": ("dilations=[2,2]", (6, 8, 2, 2)),
    "same_upper": ('auto_pad="SAME_UPPER", strides=[2,2]', (6, 8, 2, 3)),
    "same_lower": ('auto_pad="SAME_LOWER", strides=[2,2]', (6, 8, 2, 3)),
}


@pytest.mark.parametrize("case", CONV)
def test_convolutions_make_up_for_dependent_channels(groups_of: Build, case: str) -> None:
    attributes, shape = CONV[case]
    w1, b1 = producer(3, 3, 3)
    groups = groups_of(
        "float[N,3,9,9] x => float[N,M,P,Q] y",
        f"c = Conv(x, w1, b1)\nd = Conv<{attributes}>(c, w2, b2)\nr = Relu(d)\ny = Conv(r, w3)",
        w1=w1, b1=b1, w2=shape, b2=6, w3=(2, 6, 1, 1),
    )  # fmt: skip
    check(groups, {"x": RNG.standard_normal((9, 3, 9, 9)).astype(np.float32)})


def check(groups: Groups, feed: dict[str, Array], tolerance: float = 1e-3) -> list[Repair]:
    told: list[Repair] = []
    masks = half(groups)
    expected = run(groups.graph.model, feed)
    repaired = reconstruct(groups, masks, [feed], options=EXACT, told=told.append)
    assert relative(run(repaired, feed), expected) < tolerance
    assert relative(run(prune(groups, masks), feed), expected) > 10 * tolerance
    return told


def test_grouped_convolutions_do(groups_of: Build) -> None:
    weight, bias = producer(3, 1, 1)
    order = [0, 1, 4, 5, 2, 3, 6, 7]  # kept ones first in either group; 4 and 5 depend on 0 and 1
    mix = np.array([[0.5, -1.0], [2.0, 0.25]], np.float32)
    weight[[4, 5]], bias[[4, 5]] = np.tensordot(mix, weight[[0, 1]], 1), mix @ bias[[0, 1]]
    weight[[6, 7]], bias[[6, 7]] = np.tensordot(mix, weight[[2, 3]], 1), mix @ bias[[2, 3]]
    groups = groups_of(
        "float[N,3,5,5] x => float[N,M,P,Q] y",
        "c = Conv(x, w1, b1)\nd = Conv<group=2>(c, w2, b2)\nr = Relu(d)\ny = Conv(r, w3)",
        w1=weight[order], b1=bias[order], w2=(6, 4, 3, 3), b2=6, w3=(2, 6, 1, 1),
    )  # fmt: skip
    group = groups[groups.components.group[groups.axis_labels("c")[1]][0]]
    masks = {group.name: np.arange(group.channels) < group.channels // 2}
    feed = {"x": RNG.standard_normal((20, 3, 5, 5)).astype(np.float32)}
    repaired = reconstruct(groups, masks, [feed], options=EXACT)
    assert relative(run(repaired, feed), run(groups.graph.model, feed)) < 1e-3


@pytest.mark.parametrize(
    "attributes",
    [
        "strides=[2,2]",
        "strides=[2,1], pads=[1,0,0,1]",
        "dilations=[2,1], output_padding=[1,0], strides=[2,2]",
    ],
)
def test_transposed_convolutions_do(groups_of: Build, attributes: str) -> None:
    w1, b1 = producer(3, 1, 1)
    groups = groups_of(
        "float[N,3,4,5] x => float[N,M,P,Q] y",
        f"c = Conv(x, w1, b1)\nd = ConvTranspose<{attributes}>(c, w2, b2)\nr = Relu(d)\ny = Conv(r, w3)",
        w1=w1, b1=b1, w2=(8, 6, 3, 2), b2=6, w3=(2, 6, 1, 1),
    )  # fmt: skip
    check(groups, {"x": RNG.standard_normal((30, 3, 4, 5)).astype(np.float32)})


GEMM = {
    "plain": ("beta=1.0", (8, 5)),
    "transB": ("transB=1", (5, 8)),
    "scaled": ("alpha=0.5, beta=2.0, transB=1", (5, 8)),
}


@pytest.mark.parametrize("case", GEMM)
def test_gemm_does(groups_of: Build, case: str) -> None:
    attributes, shape = GEMM[case]
    w1, b1 = producer(7, axis=1)
    groups = groups_of(
        "float[N,7] x => float[N,5] y",
        f"c = Gemm(x, w1, b1)\ny = Gemm<{attributes}>(c, w2, b2)",
        w1=w1, b1=b1, w2=shape, b2=5,
    )  # fmt: skip
    check(groups, {"x": RNG.standard_normal((60, 7)).astype(np.float32)})


MATMUL = {
    "right": "y = MatMul(c, w2)",
    "with a bias": "d = MatMul(c, w2)\ny = Add(b2, d)",
    "behind a transpose": "t = Transpose<perm=[1,0]>(w2t)\nd = MatMul(c, t)\ny = Add(d, b2)",
    "behind a cast": "t = Cast<to=1>(w2h)\nd = MatMul(c, t)\ny = Add(d, b2)",
    "behind an identity": "t = Identity(w2)\nd = MatMul(c, t)\ny = Add(d, b2)",
}


@pytest.mark.parametrize("case", MATMUL)
def test_matmul_does(groups_of: Build, case: str) -> None:
    w1, b1 = producer(7, axis=1)
    weights = {"w1": w1, "b1": b1}
    stored = {"w2": (8, 5), "w2t": (5, 8), "w2h": RNG.standard_normal((8, 5)).astype(np.float16), "b2": 5}
    weights |= {n: w for n, w in stored.items() if f"{n})" in MATMUL[case] or f"{n}," in MATMUL[case]}
    if case == "right":  # no bias anywhere: exact only where there is nothing to shift
        weights["b1"] = np.zeros(8, np.float32)
    groups = groups_of(
        "float[N,3,7] x => float[N,3,5] y", f"a = MatMul(x, w1)\nc = Add(a, b1)\n{MATMUL[case]}", **weights
    )
    check(groups, {"x": RNG.standard_normal((40, 3, 7)).astype(np.float32)}, 3e-3 if "cast" in case else 1e-3)


def test_a_weight_on_the_left_does(groups_of: Build) -> None:
    w1, _ = producer(7)
    groups = groups_of(
        "float[N,7,3] x => float[N,5,3] y", "c = MatMul(w1, x)\ny = MatMul(w2, c)", w1=w1, w2=(5, 8)
    )
    check(groups, {"x": RNG.standard_normal((40, 7, 3)).astype(np.float32)})


def test_the_shift_goes_into_the_batch_normalization_behind(groups_of: Build) -> None:
    w1, b1 = producer(3, 1, 1)
    groups = groups_of(
        "float[N,3,5,5] x => float[N,2,3,3] y",
        "c = Conv(x, w1, b1)\nd = Conv(c, w2)\nn = BatchNormalization(d, s, b, m, v)\n"
        "r = Relu(n)\ny = Conv(r, w3)",
        w1=w1, b1=b1, w2=(6, 8, 3, 3), w3=(2, 6, 1, 1), s=6, b=6, m=6,
        v=RNG.uniform(0.5, 2, 6).astype(np.float32),
    )  # fmt: skip
    check(groups, {"x": RNG.standard_normal((20, 3, 5, 5)).astype(np.float32)})


def test_what_another_branch_lost_is_made_up_for_at_the_sum(groups_of: Build) -> None:
    """The branch that comes last takes over what it can of what the first one lost."""
    groups = groups_of(
        "float[N,6,5,5] x => float[N,6,5,5] y",
        "c = Conv(x, w1)\nr = Relu(c)\na = Conv(r, w2)\nh = Conv(x, v)\n"
        "t = Tanh(h)\nb = Conv(t, w3, b3)\ny = Add(a, b)",
        w1=(8, 6, 1, 1), w2=(6, 8, 1, 1), v=(7, 6, 1, 1), w3=(6, 7, 1, 1), b3=6,
    )  # fmt: skip
    feed = {"x": RNG.standard_normal((20, 6, 5, 5)).astype(np.float32)}
    expected = run(groups.graph.model, feed)
    masks = {g.name: np.arange(g.channels) < 5 for g in groups.prunable}

    def error(*, residual: bool) -> float:
        options = ReconstructOptions(passes=0, residual=residual)
        found = run(reconstruct(groups, masks, [feed], options=options), feed)
        return float(np.square(found - expected).sum())

    assert error(residual=True) < 0.99 * error(residual=False)

"""Picking and writing by index: channels pass beside the indexed axis and stay on it."""

import numpy as np
import pytest

from tests.law.build import Weight, ints
from tests.law.check import Trial
from tests.law.conftest import Law

SEQUENCE = "float[N,3,4] x => float[N,3,5] y"
BETWEEN = "a = MatMul(x, w1)\nb = {middle}\ny = MatMul(b, w2)"
ENDS: dict[str, Weight] = {"w1": (4, 6), "w2": (6, 5)}
FREE = ["6: w1.1 w2.0"]

PASSING = {
    "gather_nd": ("GatherND<batch_dims=1>(a, which)", {"which": ints(0, 2, 1).reshape(1, 3, 1)}),
    "gather_elements": ("GatherElements<axis=1>(a, which)", {"which": np.full((1, 3, 6), 2)}),
    "scatter_nd": ("ScatterND(a, which, news)", {"which": ints(0, 1).reshape(1, 2), "news": (1, 6)}),
    "scatter_nd_rows": ("ScatterND(a, which, news)", {"which": ints(0).reshape(1, 1), "news": (1, 3, 6)}),
    "compress": ("Compress<axis=1>(a, which)", {"which": np.array([True, True, True])}),
    "reverse": ("ReverseSequence<batch_axis=0, time_axis=1>(a, lengths)", {"lengths": ints(2)}),
    "crop": ("CenterCropPad<axes=[1]>(a, size)", {"size": ints(3)}),
    "cumsum": ("CumSum(a, one)", {"one": np.array(1, np.int64)}),
}


@pytest.mark.parametrize("form", PASSING)
def test_channels_pass_beside_the_indexed_axis(law: Law, form: str) -> None:
    middle, more = PASSING[form]
    signature = SEQUENCE.replace("N", "1")
    found = law(signature, BETWEEN.format(middle=middle), **ENDS, **more)  # type: ignore[arg-type]
    assert [f.split(":")[0] for f in found] == ["6"]
    assert "w1.1" in found[0]
    assert "w2.0" in found[0]


STAYING = {
    "gather_nd": ("GatherND(a, which)", {"which": np.array([[[0, 0, 1]] * 3])}),
    "compress": ("Compress<axis=2>(a, which)", {"which": np.ones(6, bool)}),
    "crop": ("CenterCropPad<axes=[2]>(a, size)", {"size": ints(6)}),
    "crop_all": ("CenterCropPad(a, size)", {"size": ints(1, 3, 6)}),
    "cumsum": ("CumSum(a, two)", {"two": np.array(-1, np.int64)}),
    "trilu": ("Trilu(a)", {}),
    "scatter_elements": (
        "ScatterElements<axis=2>(a, w, u)",
        {"w": np.zeros((1, 3, 6), np.int64), "u": (1, 3, 6)},
    ),
}


@pytest.mark.parametrize("form", STAYING)
def test_channels_stay_on_the_indexed_axis(law: Law, form: str) -> None:
    middle, more = STAYING[form]
    body = BETWEEN.format(middle=middle)
    if form == "gather_nd":
        body = body.replace(
            "y = MatMul(b, w2)", "c = MatMul(a, w2)\ns = ReduceSum<keepdims=0>(b)\ny = Add(c, s)"
        )
    assert law(SEQUENCE.replace("N", "1"), body, **ENDS, **more) == []  # type: ignore[arg-type]


IMAGE = "float[1,3,4,4] x => float[1,5,4,4] y"


def test_scattered_images_keep_their_channels(law: Law) -> None:
    body = """
        a = Conv(x, w1)
        b = ScatterElements<axis=2>(a, which, news)
        y = Conv(b, w2)
    """
    more: dict[str, Weight] = {"which": np.zeros((1, 6, 1, 4), np.int64), "news": (1, 6, 1, 4)}
    found = law(IMAGE, body, w1=(6, 3, 1, 1), w2=(5, 6, 1, 1), **more)
    assert found == ["6: w1.0 which.1 news.1 w2.1"]


@pytest.mark.parametrize("opset", [9, 10])
def test_the_old_scatter(law: Law, opset: int) -> None:
    body = "a = Conv(x, w1)\nb = Scatter<axis=2>(a, which, news)\ny = Conv(b, w2)"
    more: dict[str, Weight] = {"which": np.zeros((1, 6, 1, 4), np.int64), "news": (1, 6, 1, 4)}
    found = law(IMAGE, body, opset=opset, w1=(6, 3, 1, 1), w2=(5, 6, 1, 1), **more)
    assert found == ["6: w1.0 which.1 news.1 w2.1"]


SHUFFLE = np.array([4, 1, 0, 5, -3])


def test_constant_elements_of_a_channel_axis_are_counted_anew(law: Law) -> None:
    body = "a = Conv(x, w1)\nb = GatherElements<axis=1>(a, which)\ny = Conv(b, w2)"
    which = np.broadcast_to(SHUFFLE[None, :, None, None], (1, 5, 4, 4)).copy()
    found = law(IMAGE, body, w1=(6, 3, 1, 1), w2=(5, 5, 1, 1), which=which)
    assert found == ["5: w1.0 w2.1"]


def test_constant_slices_of_a_channel_axis_are_counted_anew(law: Law) -> None:
    body = "a = Conv(x, w1)\nb = GatherND<batch_dims=1>(a, which)\ny = Conv(b, w2)"
    found = law(IMAGE, body, w1=(6, 3, 1, 1), w2=(5, 5, 1, 1), which=SHUFFLE.reshape(1, 5, 1))
    assert found == ["5: w1.0 w2.1"]


def test_elements_that_differ_from_place_to_place_freeze_the_channels(law: Law) -> None:
    body = "a = Conv(x, w1)\nb = GatherElements<axis=1>(a, which)\ny = Conv(b, w2)"
    which = np.broadcast_to(SHUFFLE[None, :, None, None], (1, 5, 4, 4)).copy()
    which[0, 0, 0, 0] = 1
    assert law(IMAGE, body, w1=(6, 3, 1, 1), w2=(5, 5, 1, 1), which=which) == []


def test_one_hot_codes_meet_their_table(law: Law) -> None:
    body = "a = OneHot<axis=-1>(x, depth, values)\nb = MatMul(a, w1)\ny = MatMul(b, w2)"
    found = law(
        "int64[N,3] x => float[N,3,5] y",
        body,
        depth=np.array([7], np.int64),
        values=np.array([0, 1], np.float32),
        w1=(7, 6),
        w2=(6, 5),
    )
    assert found == FREE


def test_a_cache_is_written_along_its_sequence(law: Law) -> None:
    body = "a = MatMul(x, w1)\nb = TensorScatter<axis=1>(cache, a, at)\ny = MatMul(b, w2)"
    found = law(
        "float[1,3,4] x => float[1,8,5] y",
        body,
        opset=24,
        cache=(1, 8, 6),
        at=ints(2),
        **ENDS,
    )
    assert found == ["6: w1.1 cache.2 w2.0"]


def test_a_determinant_keeps_its_matrices(law: Law) -> None:
    body = 'a = Einsum<equation="nij,co->ncij">(x, w1)\nd = Det(a)\ny = MatMul(d, w2)'
    found = law("float[N,3,3] x => float[N,5] y", body, w1=(6, 2), w2=(6, 5), trial=Trial(tolerance=1e-3))
    assert "6: w1.0 w2.0" in found

"""Images sampled by grids, regions, offsets and columns; states of causal convolutions; spectra."""

import numpy as np
import pytest

from tests.law.build import Weight, ints
from tests.law.check import Trial
from tests.law.conftest import Law

IMAGE = "float[1,3,6,6] x => float[1,5,6,6] y"
CONV: dict[str, Weight] = {"w1": (6, 3, 1, 1), "w2": (5, 6, 1, 1)}
FREE = ["6: w1.0 w2.1"]
BETWEEN = "a = Conv(x, w1)\nb = {middle}\ny = Conv(b, w2)"


@pytest.mark.parametrize(("opset", "mode"), [(16, "bilinear"), (20, "linear")])
def test_a_grid_samples_every_channel_alike(law: Law, opset: int, mode: str) -> None:
    body = BETWEEN.format(middle=f'GridSample<mode="{mode}">(a, grid)')
    assert law(IMAGE, body, opset=opset, grid=(1, 6, 6, 2), **CONV) == FREE


def test_a_computed_grid_is_left_alone(law: Law) -> None:
    body = (
        'g = AffineGrid(theta, size)\na = Conv(x, w1)\nb = GridSample<mode="linear">(a, g)\ny = Conv(b, w2)'
    )
    found = law(IMAGE, body, opset=20, theta=(1, 2, 3), size=ints(1, 3, 6, 6), **CONV)
    assert found == FREE


@pytest.mark.parametrize("opset", [10, 16])
def test_aligned_regions_of_interest(law: Law, opset: int) -> None:
    body = BETWEEN.format(middle="RoiAlign<output_height=2, output_width=2>(a, boxes, which)")
    boxes = np.array([[0, 0, 3, 3], [1, 1, 5, 5]], np.float32)
    found = law(
        "float[1,3,6,6] x => float[2,5,2,2] y", body, opset=opset, boxes=boxes, which=ints(0, 0), **CONV
    )
    assert found == FREE


def test_pooled_regions_of_interest(law: Law) -> None:
    body = BETWEEN.format(middle="MaxRoiPool<pooled_shape=[2,2]>(a, boxes)")
    boxes = np.array([[0, 0, 0, 3, 3], [0, 1, 1, 5, 5]], np.float32)
    assert law("float[1,3,6,6] x => float[2,5,2,2] y", body, boxes=boxes, **CONV) == FREE


def test_columns_become_images_and_blocks_go_whole(law: Law) -> None:
    body = """
        a = Conv(x, w1)
        f = Reshape(a, flat)
        b = Col2Im(f, size, block)
        y = Conv(b, w2)
    """
    found = law(
        "float[1,3,5,5] x => float[1,5,6,6] y",
        body,
        w1=(24, 3, 1, 1),
        flat=ints(1, 24, 25),
        size=ints(6, 6),
        block=ints(2, 2),
        w2=(5, 6, 1, 1),
    )
    assert found == FREE


@pytest.mark.parametrize("opset", [19, 22])
@pytest.mark.parametrize(("group", "offsets", "expected"), [
    (1, 1, ["6: w.0 b.0 w2.1", "6: w1.0 w.1"]),
    (2, 1, ["3: w.0 b.0 w2.1", "3: w1.0 w.1"]),
    (1, 2, ["6: w.0 b.0 w2.1", "3: w1.0 w.1"]),
    (6, 1, ["6: w1.0 w.0 b.0 w2.1"]),
])  # fmt: skip
def test_a_deformable_convolution(
    law: Law, opset: int, group: int, offsets: int, expected: list[str]
) -> None:
    body = f"""
        a = Conv(x, w1)
        b = DeformConv<group={group}, offset_group={offsets}, kernel_shape=[1,1]>(a, w, o, b0, m)
        y = Conv(b, w2)
    """
    found = law(
        IMAGE,
        body.replace("b0", "b").replace("b = Def", "d = Def").replace("Conv(b, w2)", "Conv(d, w2)"),
        opset=opset,
        w=(6, 6 // group, 1, 1),
        o=(1, 2 * offsets, 6, 6),
        b=6,
        m=(1, offsets, 6, 6),
        **CONV,
    )
    assert sorted(found) == sorted(expected)


def test_a_causal_convolution_with_its_state(law: Law) -> None:
    body = """
        a = Conv(x, w1)
        b, s = com.microsoft.CausalConvWithState<activation="silu">(a, w, c)
        y = Conv(b, w2)
    """
    found = law("float[1,3,8] x => float[1,5,8] y", body, w1=(6, 3, 1), w=(6, 1, 4), c=6, w2=(5, 6, 1))
    assert found == ["6: w1.0 w.0 c.0 w2.1"]


@pytest.fixture
def newer_opsets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read models that onnx knows and the tested ONNX Runtime does not yet."""
    monkeypatch.setattr("onnxprune.onnx_file.versions.SURE_OPSET", 28)


@pytest.mark.usefixtures("newer_opsets")
def test_a_causal_convolution_of_onnx(reference_law: Law) -> None:
    body = "a = Conv(x, w1)\nb, s = CausalConvWithState(a, w, c)\ny = Conv(b, w2)"
    signature = "float[1,3,8] x => float[1,5,8] y"
    found = reference_law(signature, body, opset=27, w1=(6, 3, 1), w=(6, 1, 4), c=6, w2=(5, 6, 1))
    assert found == ["6: w1.0 w.0 c.0 w2.1"]


@pytest.mark.usefixtures("newer_opsets")
def test_a_gated_product_couples_its_two_inputs(reference_law: Law) -> None:
    body = "a = MatMul(x, w1)\nb = MatMul(x, w2)\ng = SwiGLU(a, b)\ny = MatMul(g, w3)"
    found = reference_law("float[N,4] x => float[N,5] y", body, opset=28, w1=(4, 6), w2=(4, 6), w3=(6, 5))
    assert found == ["6: w1.1 w2.1 w3.0"]


@pytest.mark.parametrize(("opset", "call"), [(17, "DFT<axis=2>(c)"), (20, "DFT(c, , axis)")])
def test_a_spectrum_is_taken_of_each_channel(law: Law, opset: int, call: str) -> None:
    body = f"""
        a = Conv(x, w1)
        c = Unsqueeze(a, last)
        d = {call}
        s = ReduceSum<keepdims=0>(d, last)
        y = Conv(s, w2)
    """
    more: dict[str, Weight] = {"axis": np.array(2, np.int64)} if opset == 20 else {}
    found = law(
        "float[1,3,8] x => float[1,5,8] y",
        body,
        opset=opset,
        last=ints(-1),
        w1=(6, 3, 1),
        w2=(5, 6, 1),
        trial=Trial(tolerance=1e-3),
        **more,
    )
    assert found == FREE

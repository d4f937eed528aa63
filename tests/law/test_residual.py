"""The law on streams that are added: residual stages, option A, inverted residuals, FPN, ConvNeXt."""

import numpy as np

from tests.law.build import ints
from tests.law.check import Trial
from tests.law.conftest import Law

IMAGE = "float[N,3,8,8] x => float[N,5] y"
HEAD = """
    pool = GlobalAveragePool(last)
    flat = Flatten(pool)
    y = Gemm<transB=1>(flat, fc, fcb)
"""


def test_a_residual_stage_without_projection_is_one_stream(law: Law) -> None:
    body = """
        a = Conv<pads=[1,1,1,1]>(x, w1, b1)
        s0 = Relu(a)
        c = Conv<pads=[1,1,1,1]>(s0, w2, b2)
        d = Relu(c)
        e = Conv<pads=[1,1,1,1]>(d, w3, b3)
        f = Add(s0, e)
        last = Relu(f)
    """
    weights = {"w1": (8, 3, 3, 3), "b1": 8, "w2": (6, 8, 3, 3), "b2": 6, "w3": (8, 6, 3, 3), "b3": 8}
    assert law(IMAGE, body + HEAD, **weights, fc=(5, 8), fcb=5) == [
        "8: w1.0 b1.0 w2.1 w3.0 b3.0 fc.1",
        "6: w2.0 b2.0 w3.1",
    ]


def test_a_residual_stage_with_projection_has_its_own_stream(law: Law) -> None:
    body = """
        s0 = Conv<pads=[1,1,1,1]>(x, w1)
        c = Conv<pads=[1,1,1,1], strides=[2,2]>(s0, w2)
        bn = BatchNormalization(c, scale, bias, mean, variance)
        p = Conv<strides=[2,2]>(s0, wp)
        last = Add(bn, p)
    """
    weights = {"w1": (6, 3, 3, 3), "w2": (8, 6, 3, 3), "wp": (8, 6, 1, 1)}
    weights |= {"scale": 8, "bias": 8, "mean": 8, "variance": 8}
    assert law(IMAGE, body + HEAD, **weights, fc=(5, 8), fcb=5) == [
        "6: w1.0 w2.1 wp.1",
        "8: w2.0 scale.0 bias.0 mean.0 variance.0 wp.0 fc.1",
    ]


def test_the_parameter_free_shortcut_is_pruned_through(law: Law) -> None:
    """Option A: strided Slice and zero channels on both sides; each stream keeps its own channels."""
    body = """
        s0 = Conv<pads=[1,1,1,1]>(x, w1)
        c = Conv<pads=[1,1,1,1], strides=[2,2]>(s0, w2)
        half = Slice(s0, starts, ends, axes, steps)
        padded = Pad(half, pads)
        last = Add(c, padded)
    """
    weights = {"w1": (4, 3, 3, 3), "w2": (8, 4, 3, 3), "pads": ints(0, 2, 0, 0, 0, 2, 0, 0)}
    weights |= {"starts": ints(0, 0), "ends": ints(8, 8), "axes": ints(2, 3), "steps": ints(2, 2)}
    assert law(IMAGE, body + HEAD, **weights, fc=(5, 8), fcb=5) == [
        "4: w1.0 w2.0 w2.1 fc.1",
        "4: w2.0 fc.1",
    ]


def test_an_inverted_residual_prunes_its_stream_and_its_inside(law: Law) -> None:
    body = """
        s0 = Conv(x, w1)
        a = Conv(s0, w2)
        r = Clip(a, low, high)
        d = Conv<pads=[1,1,1,1], group=12>(r, w3, b3)
        e = Clip(d, low, high)
        f = Conv(e, w4)
        last = Add(s0, f)
    """
    weights = {"w1": (6, 3, 1, 1), "w2": (12, 6, 1, 1), "w3": (12, 1, 3, 3), "b3": 12, "w4": (6, 12, 1, 1)}
    bounds = {"low": np.float32(0), "high": np.float32(6)}
    found = law(
        IMAGE, body + HEAD, **weights, **{k: np.array(v) for k, v in bounds.items()}, fc=(5, 6), fcb=5
    )
    assert found == ["6: w1.0 w2.1 w4.0 fc.1", "12: w2.0 w3.0 b3.0 w4.1"]


def test_a_feature_pyramid_shares_its_lateral_channels(law: Law) -> None:
    body = """
        c1 = Conv<pads=[1,1,1,1]>(x, w1)
        c2 = Conv<pads=[1,1,1,1], strides=[2,2]>(c1, w2)
        l1 = Conv(c1, lat1)
        l2 = Conv(c2, lat2)
        shape = Shape(l1)
        two = Constant<value_ints=[2]>()
        four = Constant<value_ints=[4]>()
        space = Slice(shape, two, four)
        shape2 = Shape(l2)
        zero = Constant<value_ints=[0]>()
        front = Slice(shape2, zero, two)
        sizes = Concat<axis=0>(front, space)
        up = Resize<mode="nearest">(l2, , , sizes)
        sum = Add(l1, up)
        h1 = Conv(sum, head)
        h2 = Conv(l2, head)
        p1 = ReduceMean<keepdims=0>(h1, axes)
        p2 = ReduceMean<keepdims=0>(h2, axes)
        y = Add(p1, p2)
    """
    weights = {"w1": (6, 3, 3, 3), "w2": (8, 6, 3, 3), "lat1": (7, 6, 1, 1), "lat2": (7, 8, 1, 1)}
    trial = Trial(sizes=({"H": 8, "W": 8}, {"H": 12, "W": 16}))
    signature = "float[N,3,H,W] x => float[N,5] y"
    found = law(signature, body, trial=trial, **weights, head=(5, 7, 1, 1), axes=ints(2, 3))
    assert found == ["6: w1.0 w2.1 lat1.1", "8: w2.0 lat2.1", "7: lat1.0 lat2.0 head.1"]


CONVNEXT = """
    s0 = Conv<strides=[2,2]>(x, stem)
    d = Conv<pads=[1,1,1,1], group=6>(s0, dw)
    t = Transpose<perm=[0,2,3,1]>(d)
    n = LayerNormalization<axis=-1>(t, gain, shift)
    u = MatMul(n, widen)
    ub = Add(u, bias)
    g = Gelu(ub)
    v = MatMul(g, narrow)
    sc = Mul(v, gamma)
    b = Transpose<perm=[0,3,1,2]>(sc)
    last = Add(s0, b)
"""


def test_a_convnext_block_prunes_its_stream_inexactly_and_its_inside_exactly(law: Law) -> None:
    weights = {"stem": (6, 3, 2, 2), "dw": (6, 1, 3, 3), "gain": 6, "shift": 6, "widen": (6, 24), "bias": 24}
    found = law(IMAGE, CONVNEXT + HEAD, opset=20, ir=9, **weights, narrow=(24, 6), gamma=6, fc=(5, 6), fcb=5)
    assert found == [
        "~6: stem.0 dw.0 gain.0 shift.0 widen.0 narrow.1 gamma.0 fc.1",
        "24: widen.1 bias.0 narrow.0",
    ]


def test_a_chain_of_fan_outs_couples_only_what_meets(law: Law) -> None:
    body = """
        a = Conv(x, w1)
        b = Conv(a, w2)
        c = Conv(a, w3)
        d = Conv(a, w4)
        bc = Add(b, c)
        e = Concat<axis=1>(bc, d)
        last = Relu(e)
    """
    weights = {"w1": (6, 3, 1, 1), "w2": (4, 6, 1, 1), "w3": (4, 6, 1, 1), "w4": (5, 6, 1, 1)}
    assert law(IMAGE, body + HEAD, **weights, fc=(5, 9), fcb=5) == [
        "6: w1.0 w2.1 w3.1 w4.1",
        "4: w2.0 w3.0 fc.1",
        "5: w4.0 fc.1",
    ]


def test_a_bias_given_by_add_follows(law: Law) -> None:
    body = "a = Conv(x, w1)\nb = Add(a, bias)\nc = Mul(b, half)\nd = Sub(one, c)\nlast = Relu(d)\n"
    weights = {"w1": (6, 3, 1, 1), "bias": (1, 6, 1, 1), "half": np.array([0.5], np.float32)}
    weights |= {"one": np.array(1.0, np.float32)}
    assert law(IMAGE, body + HEAD, **weights, fc=(5, 6), fcb=5) == ["6: w1.0 bias.1 fc.1"]


def test_channels_last_residuals_prune_as_channels_first(law: Law) -> None:
    """NHWC as TensorFlow exports it: every Conv between two Transposes."""
    body = """
        xt = Transpose<perm=[0,3,1,2]>(x)
        c1 = Conv<pads=[1,1,1,1]>(xt, w1)
        n1 = Transpose<perm=[0,2,3,1]>(c1)
        b1 = Add(n1, bias1)
        r1 = Relu(b1)
        t2 = Transpose<perm=[0,3,1,2]>(r1)
        c2 = Conv<pads=[1,1,1,1]>(t2, w2)
        n2 = Transpose<perm=[0,2,3,1]>(c2)
        s = Add(n2, r1)
        p = ReduceMean<keepdims=0>(s, axes)
        y = MatMul(p, fc)
    """
    weights = {"w1": (6, 3, 3, 3), "w2": (6, 6, 3, 3), "bias1": 6, "axes": ints(1, 2), "fc": (6, 5)}
    found = law("float[N,8,8,3] x => float[N,5] y", body, **weights, trial=Trial())
    assert found == ["6: w1.0 bias1.0 w2.0 w2.1 fc.0"]

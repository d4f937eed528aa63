"""The law on blocks of known architectures: Ghost, CBAM, ECA, SPPF, DFL, RoPE, shared keys, Swin."""

from pathlib import Path

import numpy as np

from tests.law.build import Weight, ints, model
from tests.law.check import Trial, check_law, free, reasons
from tests.law.conftest import Law

IMAGE = "float[N,3,8,8] x => float[N,5] y"
HEAD = """
    pool = GlobalAveragePool(last)
    flat = Flatten(pool)
    y = Gemm<transB=1>(flat, fc, fcb)
"""
FC: dict[str, Weight] = {"fc": (5, 6), "fcb": 5}


def test_a_ghost_module_cuts_what_it_made_too_much(law: Law) -> None:
    """Half of the channels are made by a cheap depthwise convolution; the surplus is sliced off."""
    body = """
        a = Conv(x, w1)
        b = Conv<group=4, pads=[1,1,1,1]>(a, w2)
        c = Concat<axis=1>(a, b)
        last = Slice(c, zero, six, one)
    """
    weights = {"w1": (4, 3, 1, 1), "w2": (4, 1, 3, 3), "zero": ints(0), "six": ints(6), "one": ints(1)}
    assert law(IMAGE, body + HEAD, **weights, **FC) == ["2: w1.0 w2.0 fc.1", "2: w1.0 w2.0 fc.1"]


def test_spatial_attention_over_the_channels_is_inexact(law: Law) -> None:
    body = """
        a = Conv(x, w1)
        m = ReduceMean(a, one)
        h = ReduceMax(a, one)
        c = Concat<axis=1>(m, h)
        s = Conv<pads=[1,1,1,1]>(c, w2)
        g = Sigmoid(s)
        last = Mul(a, g)
    """
    found = law(IMAGE, body + HEAD, w1=(6, 3, 1, 1), w2=(1, 2, 3, 3), one=ints(1), **FC)
    assert found == ["~6: w1.0 fc.1"]


def test_a_convolution_along_the_channels_freezes_them(tmp_path: Path) -> None:
    """ECA: neighbouring channels gate each other."""
    body = """
        a = Conv(x, w1)
        p = GlobalAveragePool(a)
        s = Squeeze(p, three)
        t = Transpose<perm=[0,2,1]>(s)
        c = Conv<pads=[1,1]>(t, w2)
        u = Transpose<perm=[0,2,1]>(c)
        v = Unsqueeze(u, three)
        g = Sigmoid(v)
        last = Mul(a, g)
    """
    groups = check_law(
        model(IMAGE, body + HEAD, w1=(6, 3, 1, 1), w2=(1, 1, 3), three=ints(3), **FC), tmp_path
    )
    assert free(groups) == []
    assert "c (Conv)" in reasons(groups)["w1.0"]


def test_a_pyramid_of_pools_repeats_its_channels(law: Law) -> None:
    body = """
        a = Conv(x, w1)
        b = MaxPool<kernel_shape=[3,3], pads=[1,1,1,1]>(a)
        c = MaxPool<kernel_shape=[3,3], pads=[1,1,1,1]>(b)
        d = Concat<axis=1>(a, b, c)
        last = Conv(d, w2)
    """
    assert law(IMAGE, body + HEAD, w1=(4, 3, 1, 1), w2=(6, 12, 1, 1), **FC) == [
        "4: w1.0 w2.1",
        "6: w2.0 fc.1",
    ]


def test_parallel_kernels_of_one_stream(law: Law) -> None:
    body = """
        a = Conv<pads=[1,1,1,1]>(x, w1, b1)
        b = Conv(x, w2)
        s = Add(a, b)
        r = Relu(s)
        c = Conv<pads=[1,1,1,1]>(r, w3)
        d = Conv(r, w4)
        e = BatchNormalization(r, g, h, m, v)
        last = Sum(c, d, e)
    """
    weights = {"w1": (6, 3, 3, 3), "b1": 6, "w2": (6, 3, 1, 1), "w3": (6, 6, 3, 3), "w4": (6, 6, 1, 1)}
    weights |= {"g": 6, "h": 6, "m": 6, "v": np.full(6, 0.7, np.float32)}
    assert law(IMAGE, body + HEAD, **weights, **FC) == [
        "6: w1.0 b1.0 w2.0 w3.0 w3.1 w4.0 w4.1 g.0 h.0 m.0 v.0 fc.1"
    ]


def test_a_detection_head_with_its_integral_keeps_its_bins(law: Law) -> None:
    """Boxes as expectations over 4 bins: only what comes before the bins can go."""
    body = """
        a = Conv(x, w1)
        r = Relu(a)
        b = Conv(r, w2)
        g = Reshape(b, grid)
        t = Transpose<perm=[0,2,1,3]>(g)
        s = Softmax<axis=1>(t)
        c = Conv(s, bins)
        y = Reshape(c, boxes)
    """
    weights = {"w1": (6, 3, 1, 1), "w2": (16, 6, 1, 1), "grid": ints(0, 4, 4, -1), "bins": (1, 4, 1, 1)}
    found = law("float[N,3,8,8] x => float[N,4,64] y", body, **weights, boxes=ints(0, 4, -1))
    assert found == ["6: w1.0 w2.1"]


STREAM = "float[N,6,8] x => float[N,6,8] y"
SCORES = """
    kt = Transpose<perm=[0,1,3,2]>(kr)
    scores = MatMul(qr, kt)
    weights = Softmax<axis=-1>(scores)
    mixed = MatMul(weights, v)
    back = Transpose<perm=[0,2,1,3]>(mixed)
    joined = Reshape(back, flat)
    y = MatMul(joined, wo)
"""


def heads_of(name: str, grid: str = "grid") -> str:
    return f"""
        l{name} = MatMul(x, w{name})
        g{name} = Reshape(l{name}, {grid})
        {name} = Transpose<perm=[0,2,1,3]>(g{name})
    """


def rotated(name: str) -> str:
    return f"""
        a{name} = Slice({name}, zero, half, last)
        b{name} = Slice({name}, half, end, last)
        n{name} = Neg(b{name})
        t{name} = Concat<axis=-1>(n{name}, a{name})
        c{name} = Mul({name}, cosine)
        s{name} = Mul(t{name}, sine)
        {name}r = Add(c{name}, s{name})
    """


ROTARY: dict[str, Weight] = {
    "zero": ints(0), "half": ints(2), "end": ints(2**63 - 1), "last": ints(-1), "cosine": (6, 4),
    "sine": (6, 4),
}  # fmt: skip


def test_rotary_embeddings_written_out_couple_the_two_halves_of_a_head(law: Law) -> None:
    body = heads_of("q") + heads_of("k") + heads_of("v") + rotated("q") + rotated("k") + SCORES
    weights = {
        "wq": (8, 8),
        "wk": (8, 8),
        "wv": (8, 8),
        "wo": (8, 8),
        "grid": ints(0, 0, 2, 4),
        "flat": ints(0, 0, -1),
    }
    found = law(STREAM, body, **weights, **ROTARY)
    assert found == ["2: wq.1 wk.1 cosine.1 sine.1", "4: wv.1 wo.0"]
    assert law(STREAM, body, trial=Trial(heads=True), **weights, **ROTARY) == ["2: wq.1 wk.1 wv.1 wo.0"]


def test_key_heads_shared_by_several_query_heads(law: Law) -> None:
    """Grouped queries: keys and values are expanded to the number of query heads."""

    def repeated(name: str) -> str:
        return f"""
            u{name} = Unsqueeze({name}, two)
            e{name} = Expand(u{name}, copies)
            {name}r = Reshape(e{name}, all)
        """

    body = heads_of("q") + heads_of("k", "few") + heads_of("v", "few") + repeated("k") + repeated("v")
    body += SCORES.replace("qr", "q").replace("weights, v)", "weights, vr)")
    weights = {
        "wq": (8, 12),
        "wk": (8, 6),
        "wv": (8, 6),
        "wo": (12, 8),
        "two": ints(2),
        "flat": ints(0, 0, -1),
    }
    weights |= {
        "grid": ints(0, 0, 4, 3),
        "few": ints(0, 0, 2, 3),
        "copies": ints(1, 2, 2, 6, 3),
        "all": ints(-1, 4, 6, 3),
    }
    assert law(STREAM, body, **weights) == ["3: wq.1 wk.1", "3: wv.1 wo.0"]
    assert law(STREAM, body, trial=Trial(heads=True), **weights) == ["2: wq.1 wk.1 wv.1 wo.0"]


def test_windows_are_cut_from_the_image_and_put_back(law: Law) -> None:
    """Swin: shift, windows of 4x4, attention is stood in for by a product, and everything back."""
    body = """
        a = Conv(x, w1)
        t = Transpose<perm=[0,2,3,1]>(a)
        f = Slice(t, two, end, one)
        b = Slice(t, zero, two, one)
        s = Concat<axis=1>(f, b)
        w = Reshape(s, windows)
        p = Transpose<perm=[0,1,3,2,4,5]>(w)
        k = Reshape(p, tokens)
        m = MatMul(k, w2)
        g = Gelu(m)
        o = MatMul(g, w3)
        q = Reshape(o, apart)
        r = Transpose<perm=[0,1,3,2,4,5]>(q)
        u = Reshape(r, image)
        v = Add(u, t)
        z = ReduceMean<keepdims=0>(v, space)
        y = MatMul(z, fc)
    """
    weights: dict[str, Weight] = {"w1": (6, 3, 1, 1), "w2": (6, 10), "w3": (10, 6), "fc": (6, 5)}
    weights |= {
        "windows": ints(-1, 2, 4, 2, 4, 6),
        "tokens": ints(-1, 16, 6),
        "apart": ints(-1, 2, 2, 4, 4, 6),
    }
    weights |= {"image": ints(-1, 8, 8, 6), "zero": ints(0), "one": ints(1), "two": ints(2), "end": ints(99)}
    found = law(IMAGE, body, opset=20, ir=9, **weights, space=ints(1, 2))
    assert found == ["6: w1.0 w2.0 w3.1 fc.0", "10: w2.1 w3.0"]


def test_a_bias_table_for_each_head_goes_with_the_heads(law: Law) -> None:
    """Swin: the bias of the scores is gathered from a table (places, heads)."""
    body = heads_of("q") + heads_of("k") + heads_of("v") + SCORES.replace("qr", "q").replace("kr", "k")
    body = body.replace("weights = Softmax<axis=-1>(scores)", """
        picked = Gather(table, places)
        square = Reshape(picked, squared)
        first = Transpose<perm=[2,0,1]>(square)
        biased = Add(scores, first)
        weights = Softmax<axis=-1>(biased)
    """)  # fmt: skip
    rng = np.random.default_rng(0)
    weights = {
        "wq": (8, 6),
        "wk": (8, 6),
        "wv": (8, 6),
        "wo": (6, 8),
        "grid": ints(0, 0, 2, 3),
        "flat": ints(0, 0, -1),
    }
    weights |= {"table": (11, 2), "places": rng.integers(0, 11, 36), "squared": ints(6, 6, 2)}
    assert law(STREAM, body, **weights) == ["3: wq.1 wk.1", "3: wv.1 wo.0"]
    assert law(STREAM, body, trial=Trial(heads=True), **weights) == ["2: wq.1 wk.1 wv.1 table.1 wo.0"]


def test_kernels_as_tensorflow_stores_them(law: Law) -> None:
    """HWIO kernels behind a Transpose, depthwise ones behind Transpose and Reshape, NHWC biases."""
    body = """
        xt = Transpose<perm=[0,3,1,2]>(x)
        k1 = Transpose<perm=[3,2,0,1]>(hwio)
        c1 = Conv<pads=[1,1,1,1]>(xt, k1)
        n1 = Transpose<perm=[0,2,3,1]>(c1)
        b1 = Add(n1, bias)
        r1 = Clip(b1, low, high)
        t1 = Transpose<perm=[0,3,1,2]>(r1)
        kt = Transpose<perm=[2,3,0,1]>(hwcm)
        kd = Reshape(kt, kernels)
        c2 = Conv<group=6, pads=[1,1,1,1]>(t1, kd)
        n2 = Transpose<perm=[0,2,3,1]>(c2)
        p = ReduceMean<keepdims=0>(n2, space)
        y = MatMul(p, fc)
    """
    weights: dict[str, Weight] = {"hwio": (3, 3, 3, 6), "bias": 6, "hwcm": (3, 3, 6, 1), "fc": (6, 5)}
    weights |= {"low": np.array(0, np.float32), "high": np.array(6, np.float32)}
    weights |= {"kernels": ints(6, 1, 3, 3), "space": ints(1, 2)}
    found = law("float[N,8,8,3] x => float[N,5] y", body, **weights)
    assert found == ["6: hwio.3 bias.0 hwcm.2 fc.0"]


def test_quantised_kernels_behind_a_transpose(law: Law) -> None:
    body = """
        kt = Transpose<perm=[3,2,0,1]>(kernel)
        k = DequantizeLinear<axis=0>(kt, scale, zero)
        a = Conv(x, k)
        last = Relu(a)
    """
    kernel = np.arange(18, dtype=np.int8).reshape(1, 1, 3, 6)
    weights = {"kernel": kernel, "scale": np.full(6, 0.1, np.float32), "zero": np.arange(6, dtype=np.int8)}
    assert law(IMAGE, body + HEAD, **weights, **FC) == ["6: kernel.3 scale.0 zero.0 fc.1"]


def test_a_shape_that_only_a_run_can_tell(law: Law) -> None:
    """Compress by data: the extent is unknown, channels pass all the same."""
    body = """
        a = MatMul(x, w1)
        c = Greater(flag, half)
        k = Compress<axis=1>(a, c)
        y = MatMul(k, w2)
    """
    signature = "float[N,6,8] x, float[6] flag => float[N,T,5] y"
    found = law(signature, body, w1=(8, 7), w2=(7, 5), half=np.array(-9, np.float32))
    assert found == ["7: w1.1 w2.0"]

"""The law over the versions of operators: attributes that became inputs, defaults that changed."""

import numpy as np
import pytest

from tests.law.build import Weight, ints
from tests.law.check import Trial
from tests.law.conftest import Law

IMAGE = "float[N,3,8,8] x => float[N,5] y"
WEIGHTS: dict[str, Weight] = {
    "w1": (8, 3, 3, 3), "b1": 8, "s": 8, "t": 8, "m": 8, "v": np.full(8, 0.7, np.float32), "p": (8, 1, 1),
    "w2": (6, 18, 1, 1), "fc": (5, 6), "fcb": 5,
}  # fmt: skip
STREAM = "4: w1.0 b1.0 s.0 t.0 m.0 v.0 p.0 w2.1"
FREE = [STREAM, STREAM, "10: w2.1", "6: w2.0 fc.1"]  # one of padded zeros among them


@pytest.mark.parametrize("opset", [7, 8, 9, 10])
def test_a_network_of_the_first_opsets(law: Law, opset: int) -> None:
    resize = {7: "Upsample<scales=[1.0,1.0,2.0,2.0]>(h)", 8: "Upsample<scales=[1.0,1.0,2.0,2.0]>(h)"}
    resize |= {9: "Upsample(h, scales)", 10: "Resize(h, scales)"}
    body = f"""
        a = Conv<pads=[1,1,1,1]>(x, w1, b1)
        n = BatchNormalization(a, s, t, m, v)
        c = Clip<min=-1.0, max=4.0>(n)
        r = PRelu(c, p)
        d = Dropout<ratio=0.3>(r)
        q = MaxPool<kernel_shape=[2,2], strides=[2,2]>(d)
        l, h = Split<axis=1, split=[4,4]>(q)
        u = {resize[opset]}
        e = Pad<pads=[0,0,2,2,0,0,2,2]>(l)
        k = Concat<axis=1>(e, u)
        z = Pad<pads=[0,6,0,0,0,4,0,0]>(k)
        f = Conv(z, w2)
        o = ReduceMean<axes=[2], keepdims=1>(f)
        g = ReduceMax<axes=[3], keepdims=1>(o)
        i = Squeeze<axes=[2,3]>(g)
        y = Gemm<transB=1>(i, fc, fcb)
    """
    scales = {"scales": np.array([1, 1, 2, 2], np.float32)} if opset > 8 else {}
    assert law(IMAGE, body, opset=opset, ir=6, **WEIGHTS, **scales) == FREE


@pytest.mark.parametrize("opset", [13, 15, 18, 19, 21, 22, 23])
def test_the_same_network_of_later_opsets(law: Law, opset: int) -> None:
    split = "Split<axis=1, num_outputs=2>(q)" if opset >= 18 else "Split<axis=1>(q)"
    reduced = "ReduceMean(f, two)" if opset >= 18 else "ReduceMean<axes=[2]>(f)"
    body = f"""
        a = Conv<pads=[1,1,1,1]>(x, w1, b1)
        n = BatchNormalization(a, s, t, m, v)
        c = Clip(n, low)
        r = PRelu(c, p)
        d = Dropout(r)
        q = MaxPool<kernel_shape=[2,2], strides=[2,2]>(d)
        l, h = {split}
        u = Resize<mode="nearest">(h, , scales)
        e = Resize<mode="linear">(l, , , sizes)
        k = Concat<axis=1>(e, u)
        z = Pad(k, pads)
        f = Conv(z, w2)
        o = {reduced}
        i = Squeeze(o, two)
        g = Unsqueeze(i, two)
        j = ReduceSum<keepdims=0>(g, both)
        y = Gemm<transB=1>(j, fc, fcb)
    """
    numbers: dict[str, Weight] = {
        "low": np.array(-1, np.float32),
        "scales": np.array([1, 1, 2, 2], np.float32),
    }
    numbers |= {
        "sizes": ints(2, 4, 8, 8),
        "pads": ints(0, 6, 0, 0, 0, 4, 0, 0),
        "two": ints(2),
        "both": ints(2, 3),
    }
    trial, ir = Trial(batches=(2, 2)), 8 if opset < 21 else 10
    signature = IMAGE.replace("N", "2")
    assert law(signature, body, trial=trial, opset=opset, ir=ir, **WEIGHTS, **numbers) == FREE

"""Signatures that moved between opsets: attributes become inputs, defaults change, outputs are added."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from tests.law.build import Weight, ints
from tests.law.check import Trial
from tests.law.conftest import Law

IMAGE = "float[N,3,4,4] x => float[N,5,{h},{h}] y"
BETWEEN = "a = Conv(x, w1)\n{middle}\ny = Conv(b, w2)"
ENDS: dict[str, Weight] = {"w1": (6, 3, 1, 1), "w2": (5, 6, 1, 1)}
FREE = ["6: w1.0 w2.1"]


@dataclass(frozen=True)
class Form:
    """One way to write an operator between two convolutions; `size` is the extent of the image behind it."""

    opset: int
    middle: str
    size: int = 4
    weights: dict[str, Weight] = field(default_factory=dict)


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def number(value: float, kind: type = np.float32) -> np.ndarray:
    return np.array(value, kind)


PASSING = {
    "clip_7": Form(7, "b = Clip<min=-1.0, max=1.0>(a)"),
    "clip_11": Form(11, "b = Clip(a, low, high)", 4, {"low": number(-1), "high": number(1)}),
    "clip_13_no_low": Form(13, "b = Clip(a, , high)", 4, {"high": number(1)}),
    "dropout_7": Form(7, "b, m = Dropout<ratio=0.3>(a)"),
    "dropout_12": Form(12, "b, m = Dropout(a, r)", 4, {"r": number(0.3)}),
    "dropout_13_off": Form(13, "b = Dropout(a, r, t)", 4, {"r": number(0.3), "t": number(False, np.bool_)}),
    "cast_9": Form(9, "c = Cast<to=11>(a)\nb = Cast<to=1>(c)"),
    "cast_like_15": Form(15, "c = CastLike(a, d)\nb = CastLike(c, a)", 4, {"d": np.zeros(2)}),
    "squeeze_11": Form(11, "u = Unsqueeze<axes=[-1]>(a)\nb = Squeeze<axes=[4]>(u)"),
    "squeeze_13": Form(13, "u = Unsqueeze(a, i)\nb = Squeeze(u, i)", 4, {"i": ints(-1)}),
    "upsample_7": Form(7, 'b = Upsample<scales=[1.0,1.0,2.0,2.0], mode="nearest">(a)', 8),
    "upsample_9": Form(9, 'b = Upsample<mode="linear">(a, s)', 8, {"s": floats(1, 1, 2, 2)}),
    "resize_10": Form(10, "b = Resize(a, s)", 8, {"s": floats(1, 1, 2, 2)}),
    "resize_11": Form(11, "b = Resize(a, r, s)", 8, {"r": floats(), "s": floats(1, 1, 2, 2)}),
    "resize_13": Form(13, "b = Resize(a, , s)", 8, {"s": floats(1, 1, 2, 2)}),
    "resize_18": Form(18, 'b = Resize<axes=[2,3], mode="linear">(a, , s)', 8, {"s": floats(2, 2)}),
    "resize_19": Form(
        19,
        'b = Resize<axes=[3,2], keep_aspect_ratio_policy="not_larger">(a, , , z)',
        8,
        {"z": ints(8, 9)},
    ),
    "pad_10": Form(10, "b = Pad<pads=[0,0,1,1,0,0,1,1]>(a)", 6),
    "pad_11": Form(11, "b = Pad(a, p)", 6, {"p": ints(0, 0, 1, 1, 0, 0, 1, 1)}),
    "pad_18": Form(18, "b = Pad(a, p, , i)", 6, {"p": ints(1, 1, 1, 1), "i": ints(2, -1)}),
    "pad_19_wrap": Form(19, 'b = Pad<mode="wrap">(a, p, , i)', 6, {"p": ints(1, 1, 1, 1), "i": ints(2, 3)}),
    "softmax_11": Form(11, "b = Softmax<axis=2>(a)"),
    "softmax_13": Form(13, "b = Softmax(a)"),
    "log_softmax_13": Form(13, "b = LogSoftmax<axis=-2>(a)"),
    "hardmax_11": Form(11, "b = Hardmax<axis=-1>(a)"),
    "hardmax_13": Form(13, "b = Hardmax(a)"),
    "top_k_9": Form(9, "b, i = TopK<k=2, axis=2>(a)\n", 4),
    "top_k_10": Form(10, "b, i = TopK<axis=2>(a, k)", 4, {"k": ints(4)}),
    "top_k_11": Form(11, "b, i = TopK<axis=2, largest=0>(a, k)", 4, {"k": ints(4)}),
    "cum_sum_11": Form(11, "b = CumSum<reverse=1>(a, i)", 4, {"i": number(2, np.int32)}),
    "lp_pool": Form(11, "b = LpPool<kernel_shape=[2,2], pads=[1,1,0,0]>(a)"),
    "max_pool_7": Form(7, "b = MaxPool<kernel_shape=[2,2], strides=[2,2]>(a)", 2),
    "average_pool_19": Form(19, "b = AveragePool<kernel_shape=[2,2], dilations=[2,2]>(a)", 2),
    "gelu_20": Form(20, 'b = Gelu<approximate="tanh">(a)'),
    "swish_24": Form(24, "b = Swish<alpha=1.5>(a)"),
    "round_11": Form(11, "b = Round(a)"),
    "shrink_9": Form(9, "b = Shrink<lambd=0.3>(a)"),
    "flatten_and_back": Form(13, "s = Shape(a)\nf = Flatten<axis=-3>(a)\nb = Reshape(f, s)"),
    "mean_variance_13": Form(13, "b = MeanVarianceNormalization<axes=[2,3]>(a)"),
    "depth_to_space_13": Form(13, "d = SpaceToDepth<blocksize=2>(a)\nb = DepthToSpace<blocksize=2>(d)"),
}


@pytest.mark.parametrize("name", PASSING)
def test_channels_pass(law: Law, name: str) -> None:
    form = PASSING[name]
    if name == "top_k_9":
        form = Form(9, form.middle.replace("k=2", "k=4"))
    body, signature = BETWEEN.format(middle=form.middle), IMAGE.format(h=form.size)
    found = law(signature, body, opset=form.opset, **ENDS, **form.weights)
    assert found == FREE


STAYING = {
    "softmax_11_flattens": Form(11, "b = Softmax(a)"),
    "softmax_13_channels": Form(13, "b = Softmax<axis=1>(a)"),
    "log_softmax_11_flattens": Form(11, "b = LogSoftmax<axis=-3>(a)"),
    "resize_of_channels": Form(13, "b = Resize(a, , s)", 4, {"s": floats(1, 1.1, 1, 1)}),
    "resize_by_a_region": Form(
        13,
        'b = Resize<coordinate_transformation_mode="tf_crop_and_resize">(a, r, s)',
        4,
        {"r": floats(0, 0, 0, 0, 1, 1, 1, 1), "s": floats(1, 1, 1, 1)},
    ),
    "resize_that_keeps_the_ratio": Form(
        18, 'b = Resize<keep_aspect_ratio_policy="not_smaller">(a, , , z)', 4, {"z": ints(1, 6, 4, 4)}
    ),
    "top_k_of_channels": Form(11, "b, i = TopK<axis=1>(a, k)", 4, {"k": ints(6)}),
    "max_pool_with_indices": Form(
        12, "b, i = MaxPool<kernel_shape=[1,1]>(a)\nf = Cast<to=1>(i)\ng = ReduceMax<keepdims=0>(f)"
    ),
    "unpooled": Form(
        11,
        "p, i = MaxPool<kernel_shape=[2,2], strides=[2,2]>(a)\n"
        "b = MaxUnpool<kernel_shape=[2,2], strides=[2,2]>(p, i)",
    ),
    "sequence": Form(13, "q = SequenceConstruct(a, a)\nb = SequenceAt(q, i)", 4, {"i": number(0, np.int64)}),
    "joined_sequence": Form(
        13,
        "q = SplitToSequence<axis=2>(a, n)\nb = ConcatFromSequence<axis=2>(q)",
        4,
        {"n": number(2, np.int64)},
    ),
    "optional": Form(18, "o = Optional(a)\nb = OptionalGetElement(o)"),
    "random": Form(
        13, "r = RandomNormalLike(a)\nz = Mul(r, nothing)\nb = Add(a, z)", 4, {"nothing": number(0)}
    ),
}


@pytest.mark.parametrize("name", STAYING)
def test_channels_stay(law: Law, name: str) -> None:
    form = STAYING[name]
    size = 6 if name == "resize_that_keeps_the_ratio" else form.size
    signature = IMAGE.format(h=size).replace("N", "1")
    body = BETWEEN.format(middle=form.middle)
    assert law(signature, body, opset=form.opset, **ENDS, **form.weights) == []


def test_a_dropout_that_trains_stays(law: Law) -> None:
    body = BETWEEN.format(middle="b = Dropout(a, r, t)")
    on: dict[str, Weight] = {"r": number(0.3), "t": number(True, np.bool_)}
    assert law(IMAGE.format(h=4), body, opset=13, trial=Trial(runs=False), **ENDS, **on) == []


NORM: dict[str, Weight] = {"s": 6, "t": 6, "m": 6, "var": 6}
NORM_FREE = ["6: w1.0 s.0 t.0 m.0 var.0 w2.1"]


@pytest.mark.parametrize("opset", [7, 8, 9, 14, 15])
def test_batch_normalization_of_every_opset(law: Law, opset: int) -> None:
    body = BETWEEN.format(middle="b = BatchNormalization<epsilon=0.001>(a, s, t, m, var)")
    assert law(IMAGE.format(h=4), body, opset=opset, **ENDS, **NORM) == NORM_FREE


def test_batch_normalization_of_every_element(law: Law) -> None:
    body = BETWEEN.format(middle="b = BatchNormalization<spatial=0>(a, s, t, m, var)")
    of_element: dict[str, Weight] = dict.fromkeys(NORM, (6, 4, 4))
    assert law(IMAGE.format(h=4), body, opset=8, **ENDS, **of_element) == NORM_FREE


def test_batch_normalization_by_the_statistics_of_the_batch(law: Law) -> None:
    body = BETWEEN.format(middle="b, rm, rv = BatchNormalization<training_mode=1>(a, s, t, m, var)")
    body += "\nc = ReduceSum(rm)"
    assert law(IMAGE.format(h=4), body, opset=15, **ENDS, **NORM) == NORM_FREE


def test_the_mean_of_a_layer_normalization_keeps_the_leading_axes(law: Law) -> None:
    body = """
        a = Conv(x, w1)
        n, mean, deviation = LayerNormalization<axis=-1>(a, s)
        c = Mul(n, deviation)
        b = Add(c, mean)
        y = Conv(b, w2)
    """
    assert law("float[N,3,8] x => float[N,5,8] y", body, w1=(6, 3, 1), s=8, w2=(5, 6, 1)) == FREE


REDUCED = {
    "sum_11": (11, "ReduceSum<axes=[2,3], keepdims=0>(a)"),
    "sum_13": (13, "ReduceSum<keepdims=0>(a, i)"),
    "mean_17": (17, "ReduceMean<axes=[-1,-2], keepdims=0>(a)"),
    "mean_18": (18, "ReduceMean<keepdims=0>(a, i)"),
    "max_20": (20, "ReduceMax<keepdims=0>(a, i)"),
    "log_sum_exp_18": (18, "ReduceLogSumExp<keepdims=0>(a, i)"),
}


@pytest.mark.parametrize("name", REDUCED)
def test_reductions_of_the_image(law: Law, name: str) -> None:
    opset, call = REDUCED[name]
    body = f"a = Conv(x, w1)\nb = {call}\ny = MatMul(b, w2)"
    found = law(
        "float[N,3,4,4] x => float[N,5] y", body, opset=opset, w1=(6, 3, 1, 1), w2=(6, 5), i=ints(2, 3)
    )
    assert found == ["6: w1.0 w2.0"]

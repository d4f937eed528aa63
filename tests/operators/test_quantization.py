"""QuantizeLinear and its kin: models of quantised weights and activations are pruned as float ones are."""

import ml_dtypes
import numpy as np
import pytest

from tests.law.build import Weight
from tests.law.check import Trial
from tests.law.conftest import Law

IMAGE = "float[N,3,4,4] x => float[N,5,4,4] y"
ROWS = "float[N,8] x => float[N,5] y"
RNG = np.random.default_rng(3)


def int8(*shape: int) -> np.ndarray:
    return RNG.integers(-60, 60, shape).astype(np.int8)


def uint8(*shape: int) -> np.ndarray:
    return RNG.integers(60, 200, shape).astype(np.uint8)


def scales(*shape: int) -> np.ndarray:
    return (RNG.random(shape) / 60 + 0.01).astype(np.float32)


def scalar(value: float, kind: type = np.float32) -> np.ndarray:
    return np.array(value, kind)


QDQ = """
    aw = DequantizeLinear<axis=0>(w1, s1, z1)
    a = Conv(x, aw, b1)
    r = Relu(a)
    q = QuantizeLinear(r, s, z)
    d = DequantizeLinear(q, s, z)
    bw = DequantizeLinear<axis=0>(w2, s2)
    y = Conv(d, bw, b2)
"""
QDQ_WEIGHTS: dict[str, Weight] = {
    "w1": int8(6, 3, 1, 1),
    "s1": scales(6),
    "z1": np.zeros(6, np.int8),
    "b1": 6,
    "s": scalar(0.02),
    "z": scalar(3, np.uint8),
    "w2": int8(5, 6, 1, 1),
    "s2": scales(5),
    "b2": 5,
}


@pytest.mark.parametrize("opset", [13, 19, 21, 23])
def test_quantised_weights_and_activations_prune_with_their_parameters(law: Law, opset: int) -> None:
    found = law(IMAGE, QDQ, opset=opset, **QDQ_WEIGHTS)
    assert found == ["6: w1.0 s1.0 z1.0 b1.0 w2.1"]


def test_parameters_per_tensor_stay_at_opset_10(law: Law) -> None:
    body = QDQ.replace("<axis=0>", "")
    more = QDQ_WEIGHTS | {"s1": scalar(0.01), "z1": scalar(0, np.int8), "s2": scalar(0.02)}
    assert law(IMAGE, body, opset=10, **more) == ["6: w1.0 b1.0 w2.1"]


def test_activations_quantised_per_channel(law: Law) -> None:
    body = QDQ.replace("(r, s, z)", "<axis=-3>(r, s, z)").replace("(q, s, z)", "<axis=1>(q, s, z)")
    found = law(IMAGE, body, **(QDQ_WEIGHTS | {"s": scales(6), "z": uint8(6)}))
    assert found == ["6: w1.0 s1.0 z1.0 b1.0 s.0 z.0 w2.1"]


def test_a_bias_quantised_per_channel(law: Law) -> None:
    body = QDQ.replace("a = Conv(x, aw, b1)", "bf = DequantizeLinear<axis=0>(b1, sb)\na = Conv(x, aw, bf)")
    more = QDQ_WEIGHTS | {"b1": RNG.integers(-900, 900, 6).astype(np.int32), "sb": scales(6)}
    assert law(IMAGE, body, **more) == ["6: w1.0 s1.0 z1.0 b1.0 sb.0 w2.1"]


def test_blocks_along_the_outputs_go_whole(law: Law) -> None:
    body = """
        w = DequantizeLinear<axis=1, block_size=4>(w1, s1, z1)
        a = MatMul(x, w)
        r = Relu(a)
        y = MatMul(r, w2)
    """
    found = law(ROWS, body, opset=21, w1=int8(8, 10), s1=scales(8, 3), z1=int8(8, 3), w2=(10, 5))
    assert found == ["2: w1.1 s1.1 z1.1 w2.0"]


def test_blocks_along_the_inputs_couple_their_producers(law: Law) -> None:
    body = """
        a = MatMul(x, w1)
        r = Relu(a)
        w = DequantizeLinear<axis=0, block_size=2>(w2, s2)
        y = MatMul(r, w)
    """
    assert law(ROWS, body, opset=21, w1=(8, 6), w2=int8(6, 5), s2=scales(3, 5)) == ["3: w1.1 w2.0 s2.0"]


def test_one_block_over_the_whole_axis_asks_for_nothing(law: Law) -> None:
    body = """
        a = MatMul(x, w1)
        w = DequantizeLinear<axis=0, block_size=8>(w2, s2)
        y = MatMul(a, w)
    """
    assert law(ROWS, body, opset=21, w1=(8, 6), w2=int8(6, 5), s2=scales(1, 5)) == ["6: w1.1 w2.0"]


def test_a_dynamic_range_is_inexact(law: Law) -> None:
    body = """
        a = MatMul(x, w1)
        q, s, z = DynamicQuantizeLinear(a)
        i = MatMulInteger(q, w2, z, z2)
        c = Cast<to=1>(i)
        t = Mul(s, s2)
        y = Mul(c, t)
    """
    found = law(ROWS, body, w1=(8, 6), w2=int8(6, 5), z2=int8(5), s2=scales(5))
    assert found == ["~6: w1.1 w2.0"]


def test_integer_products_and_their_zero_points(law: Law) -> None:
    body = """
        q = QuantizeLinear(x, s, z)
        i = MatMulInteger(q, w1, z, z1)
        f = Cast<to=1>(i)
        g = Mul(f, s1)
        h = QuantizeLinear(g, s, z)
        j = MatMulInteger(h, w2, z)
        y = Cast<to=1>(j)
    """
    found = law(
        ROWS,
        body,
        s=scalar(0.02),
        z=scalar(9, np.uint8),
        w1=int8(8, 6),
        z1=int8(6),
        s1=scales(6),
        w2=int8(6, 5),
    )
    assert found == ["6: w1.1 z1.0 s1.0 w2.0"]


def test_integer_convolutions_and_their_zero_points(law: Law) -> None:
    body = """
        q = QuantizeLinear(x, s, z)
        i = ConvInteger(q, w1, z, z1)
        f = Cast<to=1>(i)
        h = QuantizeLinear(f, s, z)
        j = ConvInteger(h, w2, z)
        y = Cast<to=1>(j)
    """
    more: dict[str, Weight] = {"s": scalar(0.5), "z": scalar(9, np.uint8)}
    found = law(IMAGE, body, **more, w1=uint8(6, 3, 1, 1), z1=scalar(120, np.uint8), w2=uint8(5, 6, 1, 1))
    assert found == ["6: w1.0 w2.1"]


QCONV = """
    q = QuantizeLinear(x, s, z)
    a = QLinearConv(q, s, z, w1, s1, z1, s, z, b1)
    b = {middle}
    c = QLinearConv(b, s, z, w2, s2, z2, s, z)
    y = DequantizeLinear(c, s, z)
"""
QCONV_WEIGHTS: dict[str, Weight] = {
    "s": scalar(0.02),
    "z": scalar(9, np.uint8),
    "w1": int8(6, 3, 1, 1),
    "s1": scales(6),
    "z1": np.zeros(6, np.int8),
    "b1": RNG.integers(-900, 900, 6).astype(np.int32),
    "w2": int8(5, 6, 1, 1),
    "s2": scalar(0.02),
    "z2": scalar(0, np.int8),
}
QCONV_FREE = ["6: w1.0 b1.0 s1.0 z1.0 w2.1"]
MIDDLES = {
    "none": "Identity(a)",
    "pool": "MaxPool<kernel_shape=[1,1]>(a)",
    "add": "com.microsoft.QLinearAdd(a, s, z, a, s, z, s, z)",
    "mul": "com.microsoft.QLinearMul(a, s, z, a, s, z, s, z)",
    "sigmoid": "com.microsoft.QLinearSigmoid(a, s, z, s, z)",
    "leaky": "com.microsoft.QLinearLeakyRelu<alpha=0.1>(a, s, z, s, z)",
    "where": "com.microsoft.QLinearWhere(yes, a, s, z, a, s, z, s, z)",
    "average": "com.microsoft.QLinearAveragePool<kernel_shape=[1,1]>(a, s, z, s, z)",
}


@pytest.mark.parametrize("middle", MIDDLES)
def test_quantised_convolutions_and_what_stands_between_them(law: Law, middle: str) -> None:
    more: dict[str, Weight] = {"yes": np.array([True])} if middle == "where" else {}
    assert law(IMAGE, QCONV.format(middle=MIDDLES[middle]), **QCONV_WEIGHTS, **more) == QCONV_FREE


def test_a_quantised_global_pool(law: Law) -> None:
    body = QCONV.format(middle="com.microsoft.QLinearGlobalAveragePool(a, s, z, s, z)")
    assert law("float[N,3,4,4] x => float[N,5,1,1] y", body, **QCONV_WEIGHTS) == QCONV_FREE


def test_a_quantised_concatenation(law: Law) -> None:
    body = QCONV.format(middle="com.microsoft.QLinearConcat<axis=1>(s, z, a, s, z, q, s, z)")
    found = law(IMAGE, body, **(QCONV_WEIGHTS | {"w2": int8(5, 9, 1, 1)}))
    assert found == QCONV_FREE


def test_a_depthwise_quantised_convolution(law: Law) -> None:
    body = QCONV.format(middle="QLinearConv<group=6>(a, s, z, w3, s1, z1, s, z)")
    assert law(IMAGE, body, **QCONV_WEIGHTS, w3=int8(6, 1, 1, 1)) == ["6: w1.0 b1.0 s1.0 z1.0 w3.0 w2.1"]


@pytest.mark.parametrize(("group", "weights"), [(1, (6, 6, 1, 1)), (6, (6, 1, 1, 1)), (2, (6, 3, 1, 1))])
def test_a_quantised_convolution_with_the_channels_last(
    law: Law, group: int, weights: tuple[int, ...]
) -> None:
    body = f"""
        q = QuantizeLinear(x, s, z)
        a = QLinearConv(q, s, z, w1, s1, z1, s, z, b1)
        t = Transpose<perm=[0,2,3,1]>(a)
        b = com.microsoft.QLinearConv<channels_last=1, group={group}>(t, s, z, w3, s2, z2, s, z)
        c = com.microsoft.QLinearGlobalAveragePool<channels_last=1>(b, s, z, s, z)
        d = DequantizeLinear(c, s, z)
        y = MatMul(d, w4)
    """
    found = law("float[N,3,4,4] x => float[N,1,1,5] y", body, **QCONV_WEIGHTS, w3=int8(*weights), w4=(6, 5))
    one = ["6: w1.0 b1.0 s1.0 z1.0 w3.0 w4.0"]
    several = {
        1: ["6: w1.0 b1.0 s1.0 z1.0 w3.1", "6: w3.0 w4.0"],
        2: ["3: w1.0 b1.0 s1.0 z1.0 w3.1", "3: w3.0 w4.0"],
    }
    assert found == several.get(group, one)


@pytest.mark.parametrize("per", ["tensor", "column"])
def test_quantised_matrix_products(law: Law, per: str) -> None:
    body = """
        q = QuantizeLinear(x, s, z)
        a = QLinearMatMul(q, s, z, w1, s1, z1, s, z)
        b = QLinearMatMul(a, s, z, w2, s, z2, s, z)
        y = DequantizeLinear(b, s, z)
    """
    columns = per == "column"
    found = law(
        ROWS,
        body,
        s=scalar(0.02),
        z=scalar(9, np.uint8),
        w1=int8(8, 6),
        s1=scales(6) if columns else scalar(0.01),
        z1=np.zeros(6, np.int8) if columns else scalar(0, np.int8),
        w2=int8(6, 5),
        z2=scalar(0, np.int8),
    )
    assert found == ["6: w1.1 s1.0 z1.0 w2.0" if columns else "6: w1.1 w2.0"]


def test_a_quantised_gemm(law: Law) -> None:
    body = """
        q = QuantizeLinear(x, s, z)
        a = com.microsoft.QGemm<transB=1>(q, s, z, w1, s1, z1, b1, s, z)
        y = com.microsoft.QGemm(a, s, z, w2, s, z2)
    """
    found = law(
        ROWS,
        body,
        s=scalar(0.02),
        z=scalar(9, np.uint8),
        w1=int8(6, 8),
        s1=scales(6),
        z1=np.zeros(6, np.int8),
        b1=RNG.integers(-900, 900, 6).astype(np.int32),
        w2=int8(6, 5),
        z2=scalar(0, np.int8),
    )
    assert found == ["6: w1.0 s1.0 z1.0 b1.0 w2.0"]


def test_integer_products_that_give_floats(law: Law) -> None:
    body = """
        q = QuantizeLinear(x, s, z)
        a = com.microsoft.MatMulIntegerToFloat(q, w1, s, s1, z, z1, b1)
        y = MatMul(a, w2)
    """
    found = law(
        ROWS,
        body,
        s=scalar(0.02),
        z=scalar(9, np.uint8),
        w1=int8(8, 6),
        s1=scales(6),
        z1=np.zeros(6, np.int8),
        b1=6,
        w2=(6, 5),
    )
    assert found == ["6: w1.1 s1.0 z1.0 b1.0 w2.0"]


def test_products_that_quantise_by_range_are_inexact_in_their_input(law: Law) -> None:
    body = """
        a = com.microsoft.DynamicQuantizeMatMul(x, w1, s1, z1, b1)
        y = com.microsoft.DynamicQuantizeMatMul(a, w2, s2)
    """
    more: dict[str, Weight] = {"s1": scales(6), "z1": np.zeros(6, np.int8), "b1": 6, "s2": scalar(0.01)}
    assert law(ROWS, body, **more, w1=int8(8, 6), w2=int8(6, 5)) == ["~6: w1.1 s1.0 z1.0 b1.0 w2.0"]


@pytest.mark.parametrize("flat", [True, False])
def test_four_bit_weights_lose_outputs(law: Law, flat: bool) -> None:
    body = """
        a = com.microsoft.MatMulNBits<K=32, N=6, bits=4, block_size=16>(x, w1, s1, z1)
        r = Relu(a)
        y = MatMul(r, w2)
    """
    found = law(
        "float[N,32] x => float[N,5] y",
        body,
        w1=RNG.integers(0, 255, (6, 2, 8)).astype(np.uint8),
        s1=scales(12) if flat else scales(6, 2),
        z1=RNG.integers(0, 255, 6 if flat else (6, 1)).astype(np.uint8),
        w2=(6, 5),
        trial=Trial(tolerance=1e-3),
    )
    assert found == ["6: w1.0 s1.0 z1.0 w2.0"]


def test_int4_weights_are_cut_and_packed_again(law: Law) -> None:
    body = """
        w = DequantizeLinear<axis=0>(w1, s1)
        a = Conv(x, w)
        y = Conv(a, w2)
    """
    w1 = RNG.integers(-7, 7, (6, 3, 1, 1)).astype(ml_dtypes.int4)
    assert law(IMAGE, body, opset=21, w1=w1, s1=scales(6), w2=(5, 6, 1, 1)) == ["6: w1.0 s1.0 w2.1"]

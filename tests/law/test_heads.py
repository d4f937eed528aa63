"""The law from channels to a classifier: Flatten, Reshape in all its forms, reductions; 1-d and 3-d."""

import numpy as np
import pytest

from tests.law.build import Weight, ints
from tests.law.check import Trial
from tests.law.conftest import Law

IMAGE = "float[N,3,4,4] x => float[N,5] y"
CONV = "a = Conv(x, w1, b1)\n"
CONV_WEIGHTS: dict[str, Weight] = {"w1": (6, 3, 1, 1), "b1": 6}
FREE = ["6: w1.0 b1.0 fc.1"]


@pytest.mark.parametrize("axis", [1, -3])
def test_spatial_flatten_gives_each_channel_a_block_of_columns(law: Law, axis: int) -> None:
    body = CONV + f"f = Flatten<axis={axis}>(a)\ny = Gemm<transB=1>(f, fc, fcb)\n"
    assert law(IMAGE, body, **CONV_WEIGHTS, fc=(5, 96), fcb=5) == FREE


@pytest.mark.parametrize("shape", [(-1, 96), (0, 96), (0, -1)])
def test_constant_reshape_of_channels_and_space(law: Law, shape: tuple[int, ...]) -> None:
    body = CONV + "f = Reshape(a, shape)\ny = Gemm<transB=1>(f, fc, fcb)\n"
    assert law(IMAGE, body, **CONV_WEIGHTS, shape=ints(*shape), fc=(5, 96), fcb=5) == FREE


@pytest.mark.parametrize("shape", [(1, -1), (1, 96), (-1, 96), (0, -1)])
def test_constant_reshape_with_a_static_batch(law: Law, shape: tuple[int, ...]) -> None:
    body = CONV + "f = Reshape(a, shape)\ny = Gemm<transB=1>(f, fc, fcb)\n"
    signature = "float[1,3,4,4] x => float[1,5] y"
    assert law(signature, body, **CONV_WEIGHTS, shape=ints(*shape), fc=(5, 96), fcb=5) == FREE


@pytest.mark.parametrize("shape", [(-1, 6), (0, -1), (0, 6)])
def test_reshape_after_the_pool(law: Law, shape: tuple[int, ...]) -> None:
    body = CONV + "p = GlobalAveragePool(a)\nf = Reshape(p, shape)\ny = Gemm<transB=1>(f, fc, fcb)\n"
    assert law(IMAGE, body, **CONV_WEIGHTS, shape=ints(*shape), fc=(5, 6), fcb=5) == FREE


def test_reshape_with_zeros_allowed(law: Law) -> None:
    body = CONV + "f = Reshape<allowzero=1>(a, shape)\ny = Gemm<transB=1>(f, fc, fcb)\n"
    assert law(IMAGE, body, **CONV_WEIGHTS, shape=ints(-1, 96), fc=(5, 96), fcb=5) == FREE


def test_channels_last_flatten_interleaves_channels(law: Law) -> None:
    body = CONV + "t = Transpose<perm=[0,2,3,1]>(a)\nf = Flatten(t)\ny = MatMul(f, fc)\n"
    assert law(IMAGE, body, **CONV_WEIGHTS, fc=(96, 5)) == ["6: w1.0 b1.0 fc.0"]


HEADS = {
    "mean": "f = ReduceMean<keepdims=0>(a, hw)",
    "mean_squeezed": "m = ReduceMean<keepdims=1>(a, hw)\nf = Squeeze(m, hw)",
    "maximum": "f = ReduceMax<keepdims=0>(a, hw)",
    "pool_squeezed": "m = GlobalAveragePool(a)\nf = Squeeze(m, hw)",
    "two_steps": "m = ReduceMean<keepdims=0>(a, h)\nf = ReduceSum<keepdims=0>(m, h)",
    "norm": "f = ReduceL2<keepdims=0>(a, hw)",
}


@pytest.mark.parametrize("name", HEADS)
def test_reduced_space(law: Law, name: str) -> None:
    body = CONV + HEADS[name] + "\ny = Gemm<transB=1>(f, fc, fcb)\n"
    found = law(IMAGE, body, **CONV_WEIGHTS, hw=ints(2, 3), h=ints(2), fc=(5, 6), fcb=5)
    assert found == FREE


def test_reduce_with_attributes_of_old_opsets(law: Law) -> None:
    body = CONV + "f = ReduceMean<keepdims=0, axes=[2,3]>(a)\ny = Gemm<transB=1>(f, fc, fcb)\n"
    assert law(IMAGE, body, opset=11, **CONV_WEIGHTS, fc=(5, 6), fcb=5) == FREE


COMPUTED = {
    "batch_by_gather": """
        s = Shape(a)
        n = Gather(s, zero)
        nu = Unsqueeze(n, first)
        shape = Concat<axis=0>(nu, minus)
    """,
    "batch_by_slice": """
        s = Shape(a)
        nu = Slice(s, first, one, first)
        shape = Concat<axis=0>(nu, minus)
    """,
    "batch_by_shape_range": "nu = Shape<start=0, end=1>(a)\nshape = Concat<axis=0>(nu, minus)\n",
    "extent_written_out": "nu = Shape<start=0, end=1>(a)\nshape = Concat<axis=0>(nu, columns)\n",
    "channels_by_gather": """
        s = Shape(a)
        c = Gather(s, ones)
        h = Gather(s, second)
        hw = Mul(h, h)
        chw = Mul(c, hw)
        shape = Concat<axis=0>(minus, chw)
    """,
    "product_of_extents": """
        s = Shape(a)
        nu = Slice(s, first, one, first)
        rest = Slice(s, one, big, first)
        chw = ReduceProd<keepdims=1>(rest)
        shape = Concat<axis=0>(nu, chw)
    """,
    "cast_on_the_way": """
        s = Shape(a)
        s32 = Cast<to=6>(s)
        n = Slice(s32, first, one, first)
        n64 = Cast<to=7>(n)
        shape = Concat<axis=0>(n64, minus)
    """,
}


@pytest.mark.parametrize(
    "signature", [IMAGE, "float[N,3,H,4] x => float[N,5] y", "float[?,3,?,?] x => float[?,5] y"]
)
@pytest.mark.parametrize("name", COMPUTED)
def test_computed_reshape(law: Law, name: str, signature: str) -> None:
    body = CONV + COMPUTED[name] + "f = Reshape(a, shape)\ny = Gemm<transB=1>(f, fc, fcb)\n"
    numbers = {"zero": np.array(0), "first": ints(0), "one": ints(1), "minus": ints(-1), "columns": ints(96)}
    numbers |= {"ones": ints(1), "second": ints(2), "big": ints(2**63 - 1)}
    trial = Trial(sizes=({"H": 4}, {"H": 4}), free=4)
    assert law(signature, body, trial=trial, **CONV_WEIGHTS, **numbers, fc=(5, 96), fcb=5) == FREE


def test_sequences_and_volumes(law: Law) -> None:
    body = """
        a = Conv<pads=[1,1]>(x, w1, b1)
        r = Relu(a)
        m = MaxPool<kernel_shape=[2], strides=[2]>(r)
        c = Conv<group=2>(m, w2)
        p = GlobalAveragePool(c)
        f = Flatten(p)
        y = Gemm<transB=1>(f, fc)
    """
    flat: dict[str, Weight] = {"w1": (6, 3, 3), "b1": 6, "w2": (8, 3, 2), "fc": (5, 8)}
    free = ["3: w1.0 b1.0 w2.1", "4: w2.0 fc.1"]
    assert law("float[N,3,10] x => float[N,5] y", body, **flat) == free
    body = body.replace("[1,1]", "[1,1,1,1,1,1]").replace("[2]", "[2,2,2]")
    deep: dict[str, Weight] = {"w1": (6, 3, 3, 3, 3), "b1": 6, "w2": (8, 3, 2, 2, 2), "fc": (5, 8)}
    assert law("float[N,3,4,4,4] x => float[N,5] y", body, **deep) == free


def test_a_matrix_on_the_left_of_the_product(law: Law) -> None:
    body = """
        a = MatMul(w1, x)
        r = Relu(a)
        y = MatMul(w2, r)
    """
    assert law("float[4,7] x => float[5,7] y", body, w1=(6, 4), w2=(5, 6)) == ["6: w1.0 w2.1"]


def test_gemm_with_both_operands_transposed(law: Law) -> None:
    body = """
        a = Gemm<transA=1>(x, w1, b1)
        t = Transpose(a)
        y = Gemm<transA=1, transB=1, alpha=0.5>(t, w2, b2)
    """
    found = law(
        "float[4,N] x => float[N,5] y",
        body,
        w1=(4, 6),
        b1=6,
        w2=(5, 6),
        b2=(1, 5),
        trial=Trial(batches=(4, 4)),
    )
    assert found == ["6: w1.1 b1.0 w2.1"]

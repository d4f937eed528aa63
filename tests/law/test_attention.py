"""The law on transformers: heads in every way of cutting them, feed-forward, residual streams, norms."""

import numpy as np
import pytest

from tests.law.build import Weight, ints
from tests.law.check import Trial
from tests.law.conftest import Law

# 8 channels, 6 tokens, 2 heads of 3 indices
STREAM = "float[N,6,8] x => float[N,6,8] y"
CORE = """
    kt = Transpose<perm=[0,1,3,2]>(k)
    scores = MatMul(q, kt)
    scaled = Mul(scores, scale)
    weights = Softmax<axis=-1>(scaled)
    mixed = MatMul(weights, v)
    back = Transpose<perm=[0,2,1,3]>(mixed)
    joined = Reshape(back, flat)
    o = MatMul(joined, wo)
    y = Add(o, bo)
"""
CORE_WEIGHTS: dict[str, Weight] = {
    "scale": np.array(0.5, np.float32), "flat": ints(0, 0, -1), "wo": (6, 8), "bo": 8,
}  # fmt: skip


def heads_of(name: str, source: str) -> str:
    return f"r{name} = Reshape({source}, grid)\n{name} = Transpose<perm=[0,2,1,3]>(r{name})\n"


SEPARATE = """
    lq = MatMul(x, wq)
    bq_ = Add(lq, bq)
    lk = MatMul(x, wk)
    lv = MatMul(x, wv)
    bv_ = Add(lv, bv)
""" + heads_of("q", "bq_") + heads_of("k", "lk") + heads_of("v", "bv_")  # fmt: skip
SEPARATE_WEIGHTS: dict[str, Weight] = {"wq": (8, 6), "bq": 6, "wk": (8, 6), "wv": (8, 6), "bv": 6}


@pytest.mark.parametrize("grid", [ints(0, 0, 2, 3), ints(-1, 6, 2, 3), ints(0, 6, 2, -1)])
def test_separate_projections_lose_equal_indices_of_all_heads(law: Law, grid: Weight) -> None:
    found = law(STREAM, SEPARATE + CORE, **SEPARATE_WEIGHTS, **CORE_WEIGHTS, grid=grid)
    assert found == ["3: wq.1 bq.0 wk.1", "3: wv.1 bv.0 wo.0"]


@pytest.mark.parametrize("grid", [ints(0, 0, 2, 3), ints(-1, 6, 2, 3), ints(0, 6, -1, 3)])
def test_separate_projections_lose_whole_heads_on_request(law: Law, grid: Weight) -> None:
    weights = {**SEPARATE_WEIGHTS, **CORE_WEIGHTS, "grid": grid}
    found = law(STREAM, SEPARATE + CORE, trial=Trial(heads=True), **weights)
    assert found == ["2: wq.1 bq.0 wk.1 wv.1 bv.0 wo.0"]


FUSED_WEIGHTS: dict[str, Weight] = {"wqkv": (8, 18), "bqkv": 18}
FUSED = "m = MatMul(x, wqkv)\nf = Add(m, bqkv)\n"


def test_fused_projection_cut_by_split(law: Law) -> None:
    body = FUSED + "sq, sk, sv = Split<axis=-1>(f, sizes)\n"
    body += heads_of("q", "sq") + heads_of("k", "sk") + heads_of("v", "sv") + CORE
    weights = {**FUSED_WEIGHTS, **CORE_WEIGHTS, "sizes": ints(6, 6, 6), "grid": ints(0, 0, 2, 3)}
    assert law(STREAM, body, **weights) == ["3: wqkv.1 bqkv.0", "3: wqkv.1 bqkv.0 wo.0"]
    assert law(STREAM, body, trial=Trial(heads=True), **weights) == ["2: wqkv.1 bqkv.0 wo.0"]


def test_fused_projection_cut_by_slices(law: Law) -> None:
    body = (
        FUSED
        + """
        sq = Slice(f, c0, c6, axis)
        sk = Slice(f, c6, c12, axis)
        sv = Slice(f, c12, c18, axis)
    """
    )
    body += heads_of("q", "sq") + heads_of("k", "sk") + heads_of("v", "sv") + CORE
    bounds = {"c0": ints(0), "c6": ints(6), "c12": ints(12), "c18": ints(18), "axis": ints(2)}
    weights = {**FUSED_WEIGHTS, **CORE_WEIGHTS, **bounds, "grid": ints(0, 0, 2, 3)}
    assert law(STREAM, body, **weights) == ["3: wqkv.1 bqkv.0", "3: wqkv.1 bqkv.0 wo.0"]
    assert law(STREAM, body, trial=Trial(heads=True), **weights) == ["2: wqkv.1 bqkv.0 wo.0"]


@pytest.mark.parametrize("grid", [ints(0, 0, 3, 2, 3), ints(-1, 6, 3, 2, 3)])
def test_fused_projection_cut_by_gather(law: Law, grid: Weight) -> None:
    """(N, T, 3, heads, d), permuted, then one index for each part: the usual ViT code."""
    body = FUSED + """
        g = Reshape(f, grid)
        t = Transpose<perm=[2,0,3,1,4]>(g)
        q = Gather<axis=0>(t, zero)
        k = Gather<axis=0>(t, one)
        v = Gather<axis=0>(t, two)
    """ + CORE  # fmt: skip
    picks = {"zero": np.array(0), "one": np.array(1), "two": np.array(2)}
    weights = {**FUSED_WEIGHTS, **CORE_WEIGHTS, **picks, "grid": grid}
    assert law(STREAM, body, **weights) == ["3: wqkv.1 bqkv.0 wo.0"]
    assert law(STREAM, body, trial=Trial(heads=True), **weights) == ["2: wqkv.1 bqkv.0 wo.0"]


def test_fused_projection_cut_by_split_of_the_grid(law: Law) -> None:
    body = FUSED + """
        g = Reshape(f, grid)
        t = Transpose<perm=[2,0,3,1,4]>(g)
        q1, k1, v1 = Split<axis=0>(t, sizes)
        q = Squeeze(q1, first)
        k = Squeeze(k1, first)
        v = Squeeze(v1, first)
    """ + CORE  # fmt: skip
    weights = {**FUSED_WEIGHTS, **CORE_WEIGHTS, "sizes": ints(1, 1, 1), "first": ints(0)}
    assert law(STREAM, body, **weights, grid=ints(0, 0, 3, 2, 3)) == ["3: wqkv.1 bqkv.0 wo.0"]


def test_heads_beside_the_tokens_in_one_axis(law: Law) -> None:
    """(N, T, heads, d) transposed and merged to (N * heads, T, d), as PyTorch's own attention does."""
    body = (
        SEPARATE.replace("grid)", "grid)")
        + """
        q3 = Reshape(q, merged)
        k3 = Reshape(k, merged)
        v3 = Reshape(v, merged)
        kt = Transpose<perm=[0,2,1]>(k3)
        scores = MatMul(q3, kt)
        weights = Softmax<axis=-1>(scores)
        mixed3 = MatMul(weights, v3)
        mixed = Reshape(mixed3, apart)
        back = Transpose<perm=[0,2,1,3]>(mixed)
        joined = Reshape(back, flat)
        y = MatMul(joined, wo)
    """
    )
    shapes = {"grid": ints(-1, 6, 2, 3), "merged": ints(-1, 6, 3), "apart": ints(-1, 2, 6, 3)}
    weights = {**SEPARATE_WEIGHTS, **shapes, "flat": ints(-1, 6, 6), "wo": (6, 8)}
    assert law(STREAM, body, **weights) == ["3: wq.1 bq.0 wk.1", "3: wv.1 bv.0 wo.0"]


def test_feed_forward_with_decomposed_gelu(law: Law) -> None:
    body = """
        a = MatMul(x, w1)
        b = Add(a, b1)
        d = Div(b, root)
        e = Erf(d)
        p = Add(e, one)
        m = Mul(b, p)
        g = Mul(m, half)
        c = MatMul(g, w2)
        o = Add(c, b2)
        y = Add(x, o)
    """
    scalars = {
        "root": np.array(1.414, np.float32),
        "one": np.array([1.0], np.float32),
        "half": np.array(0.5, np.float32),
    }
    assert law(STREAM, body, w1=(8, 12), b1=12, w2=(12, 8), b2=8, **scalars) == ["12: w1.1 b1.0 w2.0"]


def test_gated_feed_forward(law: Law) -> None:
    body = """
        a = MatMul(x, gate)
        s = Sigmoid(a)
        u = Mul(a, s)
        b = MatMul(x, up)
        m = Mul(u, b)
        y = MatMul(m, down)
    """
    assert law(STREAM, body, gate=(8, 12), up=(8, 12), down=(12, 8)) == ["12: gate.1 up.1 down.0"]


BLOCKS = """
    s0 = MatMul(x, enter)
    n1 = {norm1}
    a = MatMul(n1, w1)
    ab = Add(a, b1)
    r = Relu(ab)
    b = MatMul(r, w2)
    s1 = Add(s0, b)
    n2 = {norm2}
    y = MatMul(n2, leave)
"""
BLOCK_WEIGHTS: dict[str, Weight] = {
    "enter": (8, 10), "g1": 10, "h1": 10, "w1": (10, 12), "b1": 12, "w2": (12, 10), "g2": 10, "h2": 10,
    "leave": (10, 8),
}  # fmt: skip
STREAM_FREE = "~10: enter.1 g1.0 h1.0 w1.0 w2.1 g2.0 h2.0 leave.0"


def test_a_residual_stream_through_layer_norms_is_inexact(law: Law) -> None:
    norms = {f"norm{i}": f"LayerNormalization(s{i - 1}, g{i}, h{i})" for i in (1, 2)}
    assert law(STREAM, BLOCKS.format(**norms), **BLOCK_WEIGHTS) == [STREAM_FREE, "12: w1.1 b1.0 w2.0"]


def test_a_residual_stream_through_decomposed_layer_norms_is_inexact(law: Law) -> None:
    norm = """
        mean{i} = ReduceMean(s{j}, last)
        d{i} = Sub(s{j}, mean{i})
        p{i} = Pow(d{i}, two)
        v{i} = ReduceMean(p{i}, last)
        ve{i} = Add(v{i}, eps)
        sd{i} = Sqrt(ve{i})
        q{i} = Div(d{i}, sd{i})
        m{i} = Mul(q{i}, g{i})
        n{i} = Add(m{i}, h{i})
    """
    body = BLOCKS.replace("n1 = {norm1}", norm.format(i=1, j=0)).replace(
        "n2 = {norm2}", norm.format(i=2, j=1)
    )
    scalars = {"two": np.array(2.0, np.float32), "eps": np.array(1e-5, np.float32), "last": ints(-1)}
    assert law(STREAM, body, **BLOCK_WEIGHTS, **scalars) == [STREAM_FREE, "12: w1.1 b1.0 w2.0"]


def test_a_residual_stream_through_rms_norms_is_inexact(law: Law) -> None:
    norm = """
        p{i} = Mul(s{j}, s{j})
        v{i} = ReduceMean(p{i}, last)
        ve{i} = Add(v{i}, eps)
        sd{i} = Sqrt(ve{i})
        rs{i} = Reciprocal(sd{i})
        q{i} = Mul(s{j}, rs{i})
        m{i} = Mul(q{i}, g{i})
        n{i} = Add(m{i}, h{i})
    """
    body = BLOCKS.replace("n1 = {norm1}", norm.format(i=1, j=0)).replace(
        "n2 = {norm2}", norm.format(i=2, j=1)
    )
    scalars = {"eps": np.array(1e-5, np.float32), "last": ints(-1)}
    assert law(STREAM, body, **BLOCK_WEIGHTS, **scalars) == [STREAM_FREE, "12: w1.1 b1.0 w2.0"]


def test_embeddings_and_position_tables_belong_to_the_stream(law: Law) -> None:
    body = """
        e = Gather(table, x)
        s = Add(e, positions)
        n = LayerNormalization(s, gain)
        y = MatMul(n, leave)
    """
    weights = {"table": (9, 8), "positions": (1, 6, 8), "gain": 8, "leave": (8, 5)}
    found = law("int64[N,6] x => float[N,6,5] y", body, trial=Trial(limit=9), **weights)
    assert found == ["~8: table.1 positions.2 gain.0 leave.0"]


def test_a_class_token_is_cut_with_its_stream(law: Law) -> None:
    body = """
        p = Conv<strides=[4,4]>(x, wp)
        f = Reshape(p, tokens)
        t = Transpose<perm=[0,2,1]>(f)
        shape = Shape(t)
        n = Gather(shape, zero)
        nu = Unsqueeze(n, zero1)
        full = Concat<axis=0>(nu, minus)
        first = Expand(cls, full)
        s = Concat<axis=1>(first, t)
        sp = Add(s, positions)
        c = Gather<axis=1>(sp, zero)
        y = Gemm(c, head)
    """
    weights = {"wp": (6, 3, 4, 4), "tokens": ints(0, 6, -1), "zero": np.array(0), "zero1": ints(0)}
    weights |= {"minus": ints(1, 6), "cls": (1, 1, 6), "positions": (1, 5, 6), "head": (6, 5)}
    found = law("float[N,3,8,8] x => float[N,5] y", body, **weights)
    assert found == ["6: wp.0 cls.2 positions.2 head.0"]

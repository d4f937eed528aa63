"""Attention as one operator, of ai.onnx and of com.microsoft: inner channels, whole heads, masks, caches."""

import numpy as np
import pytest

from tests.law.build import Weight, ints
from tests.law.check import Trial
from tests.law.conftest import Law

SEQUENCE = "float[N,3,4] x => float[N,3,5] y"
HEADS = Trial(heads=True)
H, D = 2, 6  # heads, channels of each


def projections(kv_heads: int = H, value: int = D) -> dict[str, Weight]:
    return {
        "wq": (4, H * D),
        "bq": H * D,
        "wk": (4, kv_heads * D),
        "wv": (4, kv_heads * value),
        "wo": (H * value, 5),
    }


QKV = """
    q0 = MatMul(x, wq)
    q = Add(q0, bq)
    k = MatMul(x, wk)
    v = MatMul(x, wv)
"""
INNER = [f"{D}: wq.1 bq.0 wk.1", f"{D}: wv.1 wo.0"]
WHOLE = [f"{H}: wq.1 bq.0 wk.1 wv.1 wo.0"]


@pytest.mark.parametrize("opset", [23, 24])
@pytest.mark.parametrize("attributes", ["", ", is_causal=1", ", softcap=2.0", ", scale=0.3"])
def test_packed_heads_lose_inner_channels_and_keep_their_scale(law: Law, opset: int, attributes: str) -> None:
    body = QKV + f"a = Attention<q_num_heads=2, kv_num_heads=2{attributes}>(q, k, v)\ny = MatMul(a, wo)"
    assert law(SEQUENCE, body, opset=opset, **projections()) == INNER


def test_packed_heads_go_whole_on_request(law: Law) -> None:
    body = QKV + "a = Attention<q_num_heads=2, kv_num_heads=2>(q, k, v)\ny = MatMul(a, wo)"
    assert law(SEQUENCE, body, opset=23, trial=HEADS, **projections()) == WHOLE


def test_values_may_be_wider_than_keys(law: Law) -> None:
    body = QKV + "a = Attention<q_num_heads=2, kv_num_heads=2>(q, k, v)\ny = MatMul(a, wo)"
    found = law(SEQUENCE, body, opset=23, **projections(value=8))
    assert found == [INNER[0], "8: wv.1 wo.0"]


@pytest.mark.parametrize("heads", [False, True])
def test_query_heads_that_share_a_key_head(law: Law, heads: bool) -> None:
    body = """
        q = MatMul(x, wq)
        k = MatMul(x, wk)
        v = MatMul(x, wv)
        a = Attention<q_num_heads=4, kv_num_heads=2>(q, k, v)
        y = MatMul(a, wo)
    """
    shared: dict[str, Weight] = {"wq": (4, 24), "wk": (4, 12), "wv": (4, 12), "wo": (24, 5)}
    found = law(SEQUENCE, body, opset=23, trial=Trial(heads=heads), **shared)
    assert found == (["2: wq.1 wk.1 wv.1 wo.0"] if heads else ["6: wq.1 wk.1", "6: wv.1 wo.0"])


FOUR_AXES = """
    q1 = Reshape(q, split)
    qh = Transpose<perm=[0,2,1,3]>(q1)
    k1 = Reshape(k, split)
    kh = Transpose<perm=[0,2,1,3]>(k1)
    v1 = Reshape(v, split)
    vh = Transpose<perm=[0,2,1,3]>(v1)
    ah = Attention(qh, kh, vh, mask)
    a1 = Transpose<perm=[0,2,1,3]>(ah)
    a = Reshape(a1, merge)
    y = MatMul(a, wo)
"""


@pytest.mark.parametrize("heads", [False, True])
def test_heads_on_an_axis_of_their_own(law: Law, heads: bool) -> None:
    more: dict[str, Weight] = {
        "split": ints(0, 0, 2, -1) if not heads else ints(0, 0, -1, D),
        "merge": ints(0, 0, -1),
    }
    found = law(
        SEQUENCE,
        QKV + FOUR_AXES,
        opset=23,
        trial=Trial(heads=heads),
        mask=(3, 3),
        **more,
        **projections(),
    )
    assert found == (WHOLE if heads else INNER)


def test_a_mask_for_each_head_goes_with_the_heads(law: Law) -> None:
    more: dict[str, Weight] = {"split": ints(0, 0, -1, D), "merge": ints(0, 0, -1)}
    found = law(SEQUENCE, QKV + FOUR_AXES, opset=23, trial=HEADS, mask=(1, 2, 3, 3), **more, **projections())
    assert found == [f"{WHOLE[0].removesuffix(' wo.0')} mask.1 wo.0"]


def test_caches_that_are_inputs_freeze_keys_and_values(law: Law) -> None:
    signature = "float[N,3,4] x, float[N,2,2,6] pk, float[N,2,2,6] pv => float[N,3,5] y, float[N,2,5,6] kk"
    body = QKV + "a, kk, vv = Attention<q_num_heads=2, kv_num_heads=2>(q, k, v, , pk, pv)\ny = MatMul(a, wo)"
    assert law(signature, body, opset=23, **projections()) == []


def test_constant_caches_shrink_with_the_heads(law: Law) -> None:
    body = QKV + "a, kk, vv = Attention<q_num_heads=2, kv_num_heads=2>(q, k, v, , pk, pv)\ny = MatMul(a, wo)"
    signature = "float[1,3,4] x => float[1,3,5] y"
    found = law(signature, body, opset=23, pk=(1, 2, 2, D), pv=(1, 2, 2, D), **projections())
    assert found == [f"{D}: wq.1 bq.0 wk.1 pk.3", f"{D}: wv.1 pv.3 wo.0"]


def test_keys_and_values_from_elsewhere(law: Law) -> None:
    body = """
        q = MatMul(x, wq)
        k = MatMul(z, wk)
        v = MatMul(z, wv)
        a = Attention<q_num_heads=2, kv_num_heads=2>(q, k, v)
        y = MatMul(a, wo)
    """
    weights = {name: w for name, w in projections().items() if name != "bq"}
    found = law("float[N,3,4] x, float[N,7,4] z => float[N,3,5] y", body, opset=23, **weights)
    assert found == [f"{D}: wq.1 wk.1", f"{D}: wv.1 wo.0"]


ROTARY = (
    QKV
    + """
    qr = RotaryEmbedding<num_heads=2{attributes}>(q, cos, sin, positions)
    kr = RotaryEmbedding<num_heads=2{attributes}>(k, cos, sin, positions)
    a = Attention<q_num_heads=2, kv_num_heads=2>(qr, kr, v)
    y = MatMul(a, wo)
"""
)


@pytest.mark.parametrize("interleaved", [0, 1])
def test_rotated_channels_go_in_pairs_with_their_angle(law: Law, interleaved: int) -> None:
    positions = np.arange(3)[None]
    body = ROTARY.format(attributes=f", interleaved={interleaved}")
    found = law(
        "float[1,3,4] x => float[1,3,5] y",
        body,
        opset=23,
        positions=positions,
        cos=(8, D // 2),
        sin=(8, D // 2),
        **projections(),
    )
    assert found == ["3: wq.1 bq.0 wk.1 cos.1 sin.1", INNER[1]]


def test_channels_behind_the_rotated_ones_go_one_by_one(law: Law) -> None:
    found = law(
        "float[1,3,4] x => float[1,3,5] y",
        ROTARY.format(attributes=", rotary_embedding_dim=4"),
        opset=23,
        positions=np.arange(3)[None],
        cos=(8, 2),
        sin=(8, 2),
        **projections(),
    )
    assert found == ["2: wq.1 bq.0 wk.1 cos.1 sin.1", "2: wq.1 bq.0 wk.1", INNER[1]]


def test_rotated_heads_go_whole_on_request(law: Law) -> None:
    found = law(
        "float[1,3,4] x => float[1,3,5] y",
        ROTARY.format(attributes=""),
        opset=23,
        trial=HEADS,
        positions=np.arange(3)[None],
        cos=(8, D // 2),
        sin=(8, D // 2),
        **projections(),
    )
    assert found == WHOLE


def test_the_rotation_of_com_microsoft(law: Law) -> None:
    rotate = "com.microsoft.RotaryEmbedding"
    body = ROTARY.format(attributes="").replace("RotaryEmbedding<num_heads=2>", rotate)
    body = body.replace("cos, sin, positions", "positions, cos, sin")
    found = law(
        "float[1,3,4] x => float[1,3,5] y",
        body,
        opset=23,
        positions=np.arange(3)[None],
        cos=(8, D // 2),
        sin=(8, D // 2),
        **projections(),
    )
    assert found == ["3: wq.1 bq.0 wk.1 cos.1 sin.1", INNER[1]]


# --- com.microsoft ---------------------------------------------------------------------------------


@pytest.mark.parametrize("heads", [False, True])
@pytest.mark.parametrize("attributes", ["", ", scale=0.3", ", unidirectional=1"])
def test_multi_head_attention(law: Law, heads: bool, attributes: str) -> None:
    body = QKV + f"a = com.microsoft.MultiHeadAttention<num_heads=2{attributes}>(q, k, v)\ny = MatMul(a, wo)"
    assert law(SEQUENCE, body, trial=Trial(heads=heads), **projections()) == (WHOLE if heads else INNER)


def test_a_bias_over_query_key_and_value_is_cut_in_three_parts(law: Law) -> None:
    body = QKV + "a = com.microsoft.MultiHeadAttention<num_heads=2>(q, k, v, b)\ny = MatMul(a, wo)"
    found = law(SEQUENCE, body, b=3 * H * D, **projections())
    assert found == [f"{D}: wq.1 bq.0 wk.1 b.0", f"{D}: wv.1 b.0 wo.0"]


def test_a_bias_of_the_scores_goes_with_the_heads(law: Law) -> None:
    body = QKV + "a = com.microsoft.MultiHeadAttention<num_heads=2>(q, k, v, , , s)\ny = MatMul(a, wo)"
    found = law(SEQUENCE, body, trial=HEADS, s=(1, 2, 3, 3), **projections())
    assert found == [f"{H}: wq.1 bq.0 wk.1 wv.1 s.1 wo.0"]


def test_packed_query_key_and_value_are_frozen(law: Law) -> None:
    body = """
        p = MatMul(x, w)
        r = Reshape(p, shape)
        a = com.microsoft.MultiHeadAttention<num_heads=2>(r)
        y = MatMul(a, wo)
    """
    found = law(SEQUENCE, body, trial=Trial(runs=False), w=(4, 36), shape=ints(0, 0, 2, 3, 6), wo=(12, 5))
    assert found == []


FUSED = "e = MatMul(x, w0)\na = com.microsoft.Attention<num_heads=2{attributes}>(e, w, b)\ny = MatMul(a, wo)"


@pytest.mark.parametrize("attributes", ["", ", unidirectional=1", ", qkv_hidden_sizes=[12, 12, 12]"])
def test_fused_projections(law: Law, attributes: str) -> None:
    found = law(SEQUENCE, FUSED.format(attributes=attributes), w0=(4, 7), w=(7, 36), b=36, wo=(12, 5))
    assert found == ["7: w0.1 w.0", "6: w.1 b.0", "6: w.1 b.0 wo.0"]


def test_fused_projections_with_wider_values(law: Law) -> None:
    body = FUSED.format(attributes=", qkv_hidden_sizes=[12, 12, 16]")
    found = law(SEQUENCE, body, w0=(4, 7), w=(7, 40), b=40, wo=(16, 5))
    assert found == ["7: w0.1 w.0", "6: w.1 b.0", "8: w.1 b.0 wo.0"]


def test_fused_projections_by_heads(law: Law) -> None:
    found = law(SEQUENCE, FUSED.format(attributes=""), trial=HEADS, w0=(4, 7), w=(7, 36), b=36, wo=(12, 5))
    assert found == ["7: w0.1 w.0", "2: w.1 b.0 wo.0"]


def test_quantised_attention_loses_equal_channels_of_all_three(law: Law) -> None:
    rng = np.random.default_rng(5)
    body = """
        q = QuantizeLinear(x, s, z)
        a = com.microsoft.QAttention<num_heads=2>(q, w, b, s, ws, , z, wz)
        y = MatMul(a, wo)
    """
    found = law(
        SEQUENCE,
        body,
        s=np.array(0.02, np.float32),
        z=np.array(9, np.uint8),
        w=rng.integers(-60, 60, (4, 36)).astype(np.int8),
        b=36,
        ws=np.array(0.01, np.float32),
        wz=np.array(0, np.int8),
        wo=(12, 5),
    )
    assert found == ["6: w.1 b.0 wo.0"]


def test_grouped_queries_with_their_cache_are_frozen(law: Law) -> None:
    signature = "float[1,1,4] x, float[1,2,4,8] pk, float[1,2,4,8] pv => float[1,1,5] y, float[1,2,5,8] kk"
    body = """
        q = MatMul(x, wq)
        k = MatMul(x, wk)
        v = MatMul(x, wv)
        a, kk, vv = com.microsoft.GroupQueryAttention<num_heads=4, kv_num_heads=2>(
            q, k, v, pk, pv, length, total
        )
        y = MatMul(a, wo)
    """
    more: dict[str, Weight] = {"length": np.array([4], np.int32), "total": np.array(5, np.int32)}
    assert law(signature, body, wq=(4, 32), wk=(4, 16), wv=(4, 16), wo=(32, 5), **more) == []

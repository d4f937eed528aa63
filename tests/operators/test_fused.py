"""Fusions that ONNX Runtime's optimizer writes; those without a processor kernel run in numpy here."""

import numpy as np
import pytest
from onnx.reference.op_run import OpRun

from tests.law.build import Weight
from tests.law.conftest import Law

IMAGE = "float[N,3,4,4] x => float[N,5,4,4] y"
SEQUENCE = "float[N,3,4] x => float[N,3,5] y"
MS = "com.microsoft"


@pytest.mark.parametrize("activation", ["Relu", "Sigmoid", "Tanh"])
def test_a_fused_convolution_with_its_residual(law: Law, activation: str) -> None:
    body = f"""
        a = Conv(x, w1, b1)
        b = {MS}.FusedConv<activation="{activation}">(a, w2, b2, a)
        y = Conv(b, w3)
    """
    found = law(IMAGE, body, w1=(6, 3, 1, 1), b1=6, w2=(6, 6, 1, 1), b2=6, w3=(5, 6, 1, 1))
    assert found == ["6: w1.0 b1.0 w2.0 w2.1 b2.0 w3.1"]


def test_a_fused_convolution_keeps_its_activation_s_parameters(law: Law) -> None:
    body = f"""
        b = {MS}.FusedConv<activation="HardSigmoid", activation_params=[0.2, 0.6]>(x, w1, b1)
        y = Conv(b, w2)
    """
    assert law(IMAGE, body, w1=(6, 3, 1, 1), b1=6, w2=(5, 6, 1, 1)) == ["6: w1.0 b1.0 w2.1"]


@pytest.mark.parametrize("transposed", [0, 1])
def test_a_fused_gemm(law: Law, transposed: int) -> None:
    body = f"""
        a = {MS}.FusedGemm<activation="Relu", transB={transposed}>(x, w1, b1)
        y = MatMul(a, w2)
    """
    found = law("float[N,4] x => float[N,5] y", body, w1=(6, 4) if transposed else (4, 6), b1=6, w2=(6, 5))
    assert found == [f"6: w1.{1 - transposed} b1.0 w2.0"]


@pytest.mark.parametrize("operator", ["FusedMatMul", "TransposeMatMul"])
@pytest.mark.parametrize("transposed", [0, 1])
def test_a_fused_product_with_weights(law: Law, operator: str, transposed: int) -> None:
    body = f"""
        a = {MS}.{operator}<transB={transposed}, alpha=0.5>(x, w1)
        r = Tanh(a)
        y = {MS}.{operator}(r, w2)
    """
    found = law(SEQUENCE, body, w1=(6, 4) if transposed else (4, 6), w2=(6, 5))
    assert found == [f"6: w1.{1 - transposed} w2.0"]


def test_a_fused_product_of_two_branches(law: Law) -> None:
    body = f"""
        a = MatMul(x, w1)
        b = MatMul(x, w2)
        s = {MS}.FusedMatMul<transB=1, alpha=0.3>(a, b)
        y = MatMul(s, w3)
    """
    assert law(SEQUENCE, body, w1=(4, 6), w2=(4, 6), w3=(3, 5)) == ["6: w1.1 w2.1"]


def test_a_fused_product_whose_left_side_is_transposed(law: Law) -> None:
    body = f"""
        a = MatMul(x, w1)
        y = {MS}.FusedMatMul<transA=1>(a, w2)
    """
    # the channels become rows of the output
    assert law("float[N,3,4] x => float[N,6,5] y", body, w1=(4, 6), w2=(3, 5)) == []
    closed = f"{body}\n".replace("y =", "b =") + "t = Transpose<perm=[0,2,1]>(b)\ny = MatMul(t, w3)"
    assert law("float[N,3,4] x => float[N,5,2] y", closed, w1=(4, 6), w2=(3, 5), w3=(6, 2)) == [
        "6: w1.1 w3.0"
    ]


def test_a_fused_product_with_its_batch_axes_turned(law: Law) -> None:
    body = f"""
        q0 = MatMul(x, wq)
        q = Reshape(q0, heads)
        k0 = MatMul(x, wk)
        k = Reshape(k0, heads)
        s = {MS}.FusedMatMul<transBatchA=1, transBatchB=1, transB=1>(q, k)
        y = Softmax<axis=-1>(s)
    """
    weights: dict[str, Weight] = {"wq": (4, 12), "wk": (4, 12), "heads": np.array([0, 2, 6])}
    assert law("float[N,4] x => float[2,N,N] y", body, **weights) == ["6: wq.1 wk.1"]


ACTIVATIONS = {
    "gelu": f"{MS}.Gelu(a)",
    "quick": f"{MS}.QuickGelu<alpha=1.5>(a)",
    "fast": f"{MS}.FastGelu(a)",
    "fast_bias": f"{MS}.FastGelu(a, b)",
    "bias": f"{MS}.BiasGelu(a, b)",
    "silu": f"{MS}.ScaledSiLU<alpha=1.5>(a)",
}


@pytest.mark.parametrize("form", ACTIVATIONS)
def test_fused_activations_pass_channels_and_couple_their_bias(law: Law, form: str) -> None:
    body = f"a = MatMul(x, w1)\ng = {ACTIVATIONS[form]}\ny = MatMul(g, w2)"
    biased = ", b)" in body
    found = law(SEQUENCE, body, w1=(4, 6), w2=(6, 5), **({"b": 6} if biased else {}))
    assert found == ["6: w1.1 b.0 w2.0" if biased else "6: w1.1 w2.0"]


@pytest.mark.parametrize("bias", [False, True])
def test_a_skip_layer_norm_prunes_the_residual_stream(law: Law, bias: bool) -> None:
    body = f"""
        a = MatMul(x, w1)
        b = MatMul(a, w2)
        n, m, d, s = {MS}.SkipLayerNormalization(a, b, g, h{", i" if bias else ""})
        o = Add(n, s)
        y = MatMul(o, w3)
    """
    found = law(SEQUENCE, body, w1=(4, 6), w2=(6, 6), g=6, h=6, w3=(6, 5), **({"i": 6} if bias else {}))
    assert found == [f"~6: w1.1 w2.0 w2.1 g.0 h.0{' i.0' if bias else ''} w3.0"]


def test_a_simplified_skip_layer_norm(law: Law) -> None:
    body = f"""
        a = MatMul(x, w1)
        b = MatMul(a, w2)
        n = {MS}.SkipSimplifiedLayerNormalization(a, b, g, i)
        o = SimplifiedLayerNormalization<axis=-1>(n, g2)
        y = MatMul(o, w3)
    """
    found = law(SEQUENCE, body, w1=(4, 6), w2=(6, 6), g=6, i=6, g2=6, w3=(6, 5))
    assert found == ["~6: w1.1 w2.0 w2.1 g.0 i.0 g2.0 w3.0"]


def test_embeddings_with_their_norm(law: Law) -> None:
    body = f"""
        e, m, s = {MS}.EmbedLayerNormalization(x, t, words, places, kinds, g, h)
        y = MatMul(e, w)
    """
    found = law(
        "int32[N,3] x, int32[N,3] t => float[N,3,5] y",
        body,
        words=(9, 6),
        places=(8, 6),
        kinds=(4, 6),
        g=6,
        h=6,
        w=(6, 5),
    )
    assert found == ["~6: words.1 places.1 kinds.1 g.0 h.0 w.0"]


# --- no kernel for a processor ---------------------------------------------------------------------------


class BiasAdd(OpRun):
    op_domain = MS

    def _run(self, x, bias, skip):
        return (x + bias + skip,)


class BiasSplitGelu(OpRun):
    op_domain = MS

    def _run(self, x, bias):
        left, right = np.split(x + bias, 2, axis=-1)
        return (left * np.tanh(right),)  # any function of the right half alone shows the coupling


class GroupNorm(OpRun):
    op_domain = MS

    def _run(self, x, gamma, beta, activation=0, channels_last=1, epsilon=1e-5, groups=1):
        rows = x.reshape(*x.shape[:-1], groups, -1)
        spatial = tuple(range(1, x.ndim - 1))
        mean = rows.mean((*spatial, rows.ndim - 1), keepdims=True)
        deviation = rows.std((*spatial, rows.ndim - 1), keepdims=True) + epsilon
        return (((rows - mean) / deviation).reshape(x.shape) * gamma + beta,)


def test_bias_and_residual_in_one(reference_law: Law) -> None:
    body = f"a = MatMul(x, w1)\nb = {MS}.BiasAdd(a, c, a)\ny = MatMul(b, w2)"
    found = reference_law(SEQUENCE, body, operators=[BiasAdd], w1=(4, 6), c=6, w2=(6, 5))
    assert found == ["6: w1.1 c.0 w2.0"]


def test_a_split_gelu_couples_its_halves(reference_law: Law) -> None:
    body = f"a = MatMul(x, w1)\nb = {MS}.BiasSplitGelu(a, c)\ny = MatMul(b, w2)"
    found = reference_law(SEQUENCE, body, operators=[BiasSplitGelu], w1=(4, 12), c=12, w2=(6, 5))
    assert found == ["6: w1.1 c.0 w2.0"]


def test_a_group_norm_with_the_channels_last(reference_law: Law) -> None:
    body = f"""
        a = MatMul(x, w1)
        b = {MS}.GroupNorm<groups=2, activation=0>(a, g, h)
        y = MatMul(b, w2)
    """
    found = reference_law(
        "float[N,2,2,4] x => float[N,2,2,5] y", body, operators=[GroupNorm], w1=(4, 6), g=6, h=6, w2=(6, 5)
    )
    assert found == ["~3: w1.1 g.0 h.0 w2.0"]

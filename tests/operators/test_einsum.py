"""Einsum: contractions, batches, sums, diagonals, ellipses."""

import pytest

from onnxprune.operators.einsum import Equation
from tests.law.conftest import Law

SEQUENCE = "float[N,S,4] x => float[N,S,5] y"


def test_a_linear_layer_as_einsum_prunes_between_two_of_them(law: Law) -> None:
    body = (
        'a = Einsum<equation="bsi,io->bso">(x, w1)\nr = Sigmoid(a)\ny = Einsum<equation="bso,op->bsp">(r, w2)'
    )
    assert law(SEQUENCE, body, w1=(4, 6), w2=(6, 5)) == ["6: w1.1 w2.0"]


@pytest.mark.parametrize(
    "equation", ["...i,io->...o", "...i,io", "b...i,io->b...o", " b s i , i o -> b s o "]
)
def test_an_ellipsis_or_an_implied_output_is_read(law: Law, equation: str) -> None:
    body = f'a = Einsum<equation="{equation}">(x, w1)\ny = MatMul(a, w2)'
    assert law(SEQUENCE, body, w1=(4, 6), w2=(6, 5)) == ["6: w1.1 w2.0"]


def test_weights_may_come_first_and_transposed(law: Law) -> None:
    body = 'a = Einsum<equation="oi,bsi->bso">(w1, x)\ny = Einsum<equation="po,bso->bsp">(w2, a)'
    assert law(SEQUENCE, body, w1=(6, 4), w2=(5, 6)) == ["6: w1.0 w2.1"]


def test_attention_heads_as_einsum(law: Law) -> None:
    body = """
        q = Einsum<equation="bsi,ihd->bhsd">(x, wq)
        k = Einsum<equation="bsi,ihd->bhsd">(x, wk)
        v = Einsum<equation="bsi,ihd->bhsd">(x, wv)
        s = Einsum<equation="bhqd,bhkd->bhqk">(q, k)
        p = Softmax<axis=-1>(s)
        o = Einsum<equation="bhqk,bhkd->bqhd">(p, v)
        y = Einsum<equation="bqhd,hdo->bqo">(o, wo)
    """
    found = law(SEQUENCE, body, wq=(4, 2, 3), wk=(4, 2, 3), wv=(4, 2, 3), wo=(2, 3, 5))
    assert found == ["2: wq.1 wk.1 wv.1 wo.0", "3: wq.2 wk.2", "3: wv.2 wo.1"]


def test_an_index_summed_in_one_input_only_is_cut_there(law: Law) -> None:
    body = 'a = MatMul(x, w1)\nt = Tanh(a)\ny = Einsum<equation="bsi->bs">(t)'
    assert law("float[N,S,4] x => float[N,S] y", body, w1=(4, 6)) == ["6: w1.1"]


def test_an_index_summed_out_beside_a_contraction(law: Law) -> None:
    body = 'a = MatMul(x, w1)\nt = Sigmoid(a)\ny = Einsum<equation="bsi,jk->bk">(t, w2)'
    assert law("float[N,S,4] x => float[N,5] y", body, w1=(4, 6), w2=(3, 5)) == ["6: w1.1", "3: w2.0"]


def test_an_inner_product_of_two_branches(law: Law) -> None:
    body = """
        a = MatMul(x, w1)
        b = MatMul(x, w2)
        t = Tanh(a)
        y = Einsum<equation="bsi,bsi->bs">(t, b)
    """
    assert law("float[N,S,4] x => float[N,S] y", body, w1=(4, 6), w2=(4, 6)) == ["6: w1.1 w2.1"]


def test_an_outer_product_keeps_both_axes_apart(law: Law) -> None:
    body = """
        a = MatMul(x, w1)
        b = MatMul(x, w2)
        o = Einsum<equation="ni,nj->nij">(a, b)
        y = Einsum<equation="nij,ijk->nk">(o, w3)
    """
    found = law("float[N,4] x => float[N,5] y", body, w1=(4, 3), w2=(4, 6), w3=(3, 6, 5))
    assert found == ["3: w1.1 w3.0", "6: w2.1 w3.1"]


def test_scaling_each_channel_and_a_diagonal(law: Law) -> None:
    body = """
        a = MatMul(x, w1)
        b = Einsum<equation="ni,i->ni">(a, s)
        d = Einsum<equation="ii->i">(m)
        c = Mul(b, d)
        y = MatMul(c, w2)
    """
    assert law("float[N,4] x => float[N,5] y", body, w1=(4, 6), s=6, m=(6, 6), w2=(6, 5)) == [
        "6: w1.1 s.0 m.0 m.1 w2.0"
    ]


def test_three_operands(reference_law: Law) -> None:
    body = 'y = Einsum<equation="ni,ih,ho->no">(x, w1, w2)'
    assert reference_law("float[N,4] x => float[N,5] y", body, w1=(4, 6), w2=(6, 5)) == ["6: w1.1 w2.0"]


@pytest.mark.parametrize(
    ("text", "ranks", "output"),
    [
        ("ij,jk", [2, 2], ("i", "k")),
        ("ba", [2], ("a", "b")),
        ("...ij->...ji", [4], ("...2", "...1", "j", "i")),
        ("...a,...b", [3, 2], ("...2", "...1", "a", "b")),
        ("ij->", [2], ()),
    ],
)
def test_equations_name_the_axes_of_the_output(text: str, ranks: list[int], output: tuple[str, ...]) -> None:
    assert Equation.parse(text, ranks).output == output

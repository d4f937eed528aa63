"""The law where extents become numbers: outputs, subgraphs, scales, ranges, chunks by computed bounds."""

from pathlib import Path

import numpy as np
import pytest

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


def test_an_extent_that_is_an_output_freezes_its_axis(law: Law) -> None:
    body = "a = Conv(x, w1)\ns = Shape(a)\nlast = Conv(a, w2)\n" + HEAD
    weights = {"w1": (7, 3, 1, 1), "w2": (6, 7, 1, 1), **FC}
    assert law(IMAGE + ", int64[4] s", body, **weights) == ["6: w2.0 fc.1"]


def test_an_extent_of_space_that_is_an_output_freezes_nothing(law: Law) -> None:
    body = "a = Conv(x, w1)\ns = Shape<start=2>(a)\nlast = Conv(a, w2)\n" + HEAD
    weights = {"w1": (7, 3, 1, 1), "w2": (6, 7, 1, 1), **FC}
    assert law(IMAGE + ", int64[2] s", body, **weights) == ["7: w1.0 w2.1", "6: w2.0 fc.1"]


def test_an_extent_that_a_subgraph_reads_freezes_its_axis(tmp_path: Path) -> None:
    body = """
        a = Conv(x, w1)
        s = Shape(a)
        t = ReduceSum<keepdims=0>(x)
        zero = Constant<value_float=0.0>()
        c = Greater(t, zero)
        r = If (c) <
            then_branch = one () => (int64[4] o) { o = Identity(s) },
            else_branch = two () => (int64[4] p) { p = Abs(s) }
        >
        f = Cast<to=1>(r)
        g = ReduceSum<keepdims=1>(f)
        b = Conv(a, w2)
        last = Add(b, g)
    """
    groups = check_law(model(IMAGE, body + HEAD, w1=(7, 3, 1, 1), w2=(6, 7, 1, 1), **FC), tmp_path)
    assert free(groups) == ["6: w2.0 fc.1"]
    assert "'s'" in reasons(groups)["w1.0"]


@pytest.mark.parametrize("batch", ["N", "2"])
def test_a_scale_that_is_computed_from_the_width_stays_what_it_was(law: Law, batch: str) -> None:
    body = """
        a = Conv(x, w1)
        s = Shape(a)
        c = Gather(s, one)
        f = Cast<to=1>(c)
        root = Sqrt(f)
        b = Div(a, root)
        last = Conv(b, w2)
    """
    trial = Trial(batches=(2, 2)) if batch == "2" else Trial()
    found = law(
        IMAGE.replace("N", batch),
        body + HEAD,
        trial=trial,
        one=np.array(1),
        w1=(7, 3, 1, 1),
        w2=(6, 7, 1, 1),
        **FC,
    )
    assert found == ["7: w1.0 w2.1", "6: w2.0 fc.1"]


def test_chunks_whose_bounds_are_computed(law: Law) -> None:
    """What torch.chunk becomes when the width is traced."""
    body = """
        a = Conv(x, w1)
        s = Shape(a)
        c = Gather(s, one)
        cp = Add(c, one0)
        h = Div(cp, two)
        h1 = Mul(h, one0)
        h2 = Mul(h, two)
        l = Slice(a, zero, h1, one)
        r = Slice(a, h1, h2, one)
        g = Sigmoid(r)
        last = Mul(l, g)
    """
    weights = {"w1": (12, 3, 1, 1), "one": ints(1), "one0": ints(1), "two": ints(2), "zero": ints(0), **FC}
    assert law(IMAGE, body + HEAD, **weights) == ["6: w1.0 fc.1"]


def test_zeros_of_a_computed_shape_shrink_with_what_they_meet(law: Law) -> None:
    body = """
        a = Conv(x, w1)
        s = Shape(a)
        z = ConstantOfShape<value = float[1] {0.5}>(s)
        last = Add(a, z)
    """
    assert law(IMAGE, body + HEAD, w1=(6, 3, 1, 1), **FC) == ["6: w1.0 fc.1"]


def test_zeros_with_channels_of_their_own(law: Law) -> None:
    body = """
        a = Conv(x, w1)
        n = Shape<end=1>(a)
        shape = Concat<axis=0>(n, four, eight, eight)
        z = ConstantOfShape<value = float[1] {0.5}>(shape)
        last = Concat<axis=1>(a, z)
    """
    weights = {"w1": (6, 3, 1, 1), "four": ints(4), "eight": ints(8), "fc": (5, 10), "fcb": 5}
    assert law(IMAGE, body + HEAD, **weights) == ["6: w1.0 fc.1", "4: fc.1"]


def test_channels_counted_by_a_range_are_frozen(law: Law) -> None:
    """Position encodings over the channels: their meaning is their place."""
    body = """
        a = Conv(x, w1)
        s = Shape(a)
        c = Gather(s, one)
        r = Range(zero, c, one)
        f = Cast<to=1>(r)
        u = Unsqueeze(f, space)
        last = Add(a, u)
    """
    numbers = {"one": np.array(1), "zero": np.array(0), "space": ints(1, 2)}
    assert law(IMAGE, body + HEAD, w1=(6, 3, 1, 1), **numbers, **FC) == []


def test_an_expanded_token_and_a_broadcast_by_extents_of_another_value(law: Law) -> None:
    body = """
        a = Conv(x, w1)
        b = Conv(x, w2)
        p = GlobalAveragePool(b)
        s = Shape(a)
        e = Expand(p, s)
        last = Mul(a, e)
    """
    assert law(IMAGE, body + HEAD, w1=(6, 3, 1, 1), w2=(6, 3, 1, 1), **FC) == ["6: w1.0 w2.0 fc.1"]


ONE_SHAPE = """
    a = Conv(x, w1)
    n = Shape<end=1>(x)
    shape = Concat<axis=0>(n, six)
    ra = Reshape(a, shape)
    rb = Reshape(b, shape)
    fa = Gemm(ra, f1)
    fb = Gemm(rb, f2)
    y = Add(fa, fb)
"""
ONE_SHAPE_WEIGHTS = {"w1": (6, 3, 8, 8), "six": ints(6), "f1": (6, 5), "f2": (6, 5)}


def test_two_widths_that_one_literal_counts_are_coupled(law: Law) -> None:
    """What becomes of equal shapes where an exporter merges them; no number of it could follow both."""
    weights = {**ONE_SHAPE_WEIGHTS, "w2": (6, 3, 8, 8)}
    assert law(IMAGE, "b = Conv(x, w2)" + ONE_SHAPE, **weights) == ["6: w2.0 w1.0 f1.0 f2.0"]


def test_one_literal_that_counts_channels_and_what_never_changes_freezes_them(law: Law) -> None:
    signature = "float[N,3,8,8] x, float[N,6] z => float[N,5] y"
    assert law(signature, "b = Identity(z)" + ONE_SHAPE, **ONE_SHAPE_WEIGHTS) == []


def test_a_width_written_as_a_product_is_patched_in_its_factor(law: Law) -> None:
    """view(n, 6 * h * w) with free h and w: the 6 must follow."""
    body = """
        a = Conv(x, w1)
        s = Shape(a)
        h = Gather(s, two)
        w = Gather(s, three)
        c = Mul(six, h)
        chw = Mul(c, w)
        shape = Concat<axis=0>(minus, chw)
        f = Reshape(a, shape)
        y = Gemm<transB=1>(f, fc, fcb)
    """
    numbers = {"two": ints(2), "three": ints(3), "six": ints(6), "minus": ints(-1)}
    found = law(
        "float[N,3,H,W] x => float[N,5] y",
        body,
        trial=Trial(free=4),
        w1=(6, 3, 1, 1),
        **numbers,
        fc=(5, 96),
        fcb=5,
    )
    assert found == ["6: w1.0 fc.1"]


def test_two_numbers_that_go_wrong_over_one_width_freeze_no_other(law: Law) -> None:
    """A width written as twice the extent of an input: no factor of it counts what is left.

    Two layers meet it with one and the same width; what else the model holds stays prunable.
    """
    expanded = """
        s{i} = Shape(x)
        n{i} = Gather(s{i}, zero)
        c{i} = Gather(s{i}, one)
        twice{i} = Mul(c{i}, two)
        shape{i} = Concat<axis=0>(n{i}, twice{i}, eight, eight)
        e{i} = Expand({x}, shape{i})
    """
    body = "a = Conv(x, w1)" + expanded.format(i=1, x="a") + expanded.format(i=2, x="e1")
    body += "h = Conv(e2, w2)\nlast = Conv(h, w3)\n" + HEAD
    numbers = {"zero": ints(0), "one": ints(1), "two": ints(2), "eight": ints(8)}
    weights = {"w1": (6, 3, 1, 1), "w2": (7, 6, 1, 1), "w3": (6, 7, 1, 1), **numbers, **FC}
    assert law(IMAGE, body, **weights) == ["7: w2.0 w3.1", "6: w3.0 fc.1"]


def test_a_width_travels_through_the_choice_that_a_traced_expand_makes(law: Law) -> None:
    """repeat_kv of a decoder, traced with a free batch: Where(shape == -1, 1, shape) before each Expand."""
    body = """
        n = Shape<end=1>(x)
        k = MatMul(x, wk)
        k4 = Reshape(k, heads)
        grouped = Unsqueeze(k4, three)
        parts = Concat<axis=0>(n, minus, kv, repeats, six)
        shape = Reshape(parts, minus)
        length = Shape(shape)
        ones = ConstantOfShape<value = int64[1] {1}>(length)
        gaps = Mul(ones, minus)
        gap = Equal(shape, gaps)
        grown = Where(gap, ones, shape)
        e = Expand(grouped, grown)
        back = Reshape(e, joined)
        y = MatMul(back, wo)
    """
    numbers = {
        "heads": ints(0, -1, 2, 6), "three": ints(3), "minus": ints(-1), "kv": ints(2), "repeats": ints(3),
        "six": ints(6), "joined": ints(0, -1, 36),
    }  # fmt: skip
    found = law("float[N,5,8] x => float[N,5,7] y", body, wk=(8, 12), wo=(36, 7), **numbers)
    assert found == ["2: wk.1 wo.0"]


def test_bounds_that_are_data_freeze_only_the_axis_that_they_cut(law: Law) -> None:
    body = "a = MatMul(x, w1)\ns = Slice(a, from, end, one)\ny = MatMul(s, w2)\n"
    signature = "float[N,6,8] x, int64[1] from => float[N,T,5] y"
    found = law(signature, body, w1=(8, 7), w2=(7, 5), end=ints(6), one=ints(1), trial=Trial(batches=(1, 1)))
    assert found == ["7: w1.1 w2.0"]


def test_a_choice_that_the_count_itself_decides_is_not_followed(law: Law) -> None:
    """Where(shape == [7, 6], shape, [0, -1]) is another shape once the 6 is less."""
    body = """
        a = MatMul(x, w1)
        n = Shape<end=1>(x)
        shape = Concat<axis=0>(n, six)
        is_whole = Equal(shape, whole)
        chosen = Where(is_whole, shape, other)
        b = Reshape(a, chosen)
        h = MatMul(b, w2)
        y = MatMul(h, w3)
    """
    numbers = {"six": ints(6), "whole": ints(7, 6), "other": ints(0, -1)}
    weights = {"w1": (8, 6), "w2": (6, 7), "w3": (7, 5)}
    assert law("float[N,8] x => float[N,5] y", body, **weights, **numbers) == ["7: w2.1 w3.0"]

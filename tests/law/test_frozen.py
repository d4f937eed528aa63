"""The law where channels must stay: places that matter, numbers that cannot follow, what leaves the model."""

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
WEIGHTS: dict[str, Weight] = {"w1": (6, 3, 1, 1), "fc": (5, 6), "fcb": 5}

FREEZING = {
    "largest_channel": ("i = ArgMax<axis=1>(a)\nf = Cast<to=1>(i)\nlast = Mul(a, f)", {}, "i (ArgMax)"),
    "smallest_channel": ("i = ArgMin<axis=-3>(a)\nf = Cast<to=1>(i)\nlast = Mul(a, f)", {}, "i (ArgMin)"),
    "best_channels": ("last, i = TopK<axis=1>(a, six)", {"six": ints(6)}, "last (TopK)"),
    "reversed_part": ("last = Slice(a, four, zero, one, back)\n",
                      {"four": ints(6), "zero": ints(-7), "one": ints(1), "back": ints(-2)}, "last (Slice)"),
    "mirrored_channels": ('last = Pad<mode="reflect">(a, pads)', {"pads": ints(0, 2, 0, 0, 0, 1, 0, 0)},
                          "last (Pad)"),
    "cut_by_padding": ("last = Pad(a, pads)", {"pads": ints(0, -2, 0, 0, 0, 0, 0, 0)}, "last (Pad)"),
    "shared_maxima": ("last, i = MaxPool<kernel_shape=[2,2]>(a)\nj = Cast<to=1>(i)\nk = ReduceSum(j)\n", {},
                      "last (MaxPool)"),
    "hardmax": ("last = Hardmax<axis=1>(a)", {}, "last (Hardmax)"),
}  # fmt: skip


@pytest.mark.parametrize("name", FREEZING)
def test_places_that_matter_freeze_with_their_node_named(tmp_path: Path, name: str) -> None:
    body, numbers, blamed = FREEZING[name]
    width = {"reversed_part": 3, "mirrored_channels": 9, "cut_by_padding": 4}.get(name, 6)
    made = model(IMAGE, f"a = Conv(x, w1)\n{body}\n" + HEAD, **{**WEIGHTS, "fc": (5, width)}, **numbers)
    groups = check_law(made, tmp_path)
    assert not any("w1" in group for group in free(groups))
    assert blamed in reasons(groups)["w1.0"]


PASSING = {
    "places_of_maxima": "m = ArgMax<axis=2>(a)\nf = Cast<to=1>(m)\nlast = Mul(a, f)",
    "best_places": "last, i = TopK<axis=3>(a, two)\n",
    "their_indices": "b, i = TopK<axis=3>(a, two)\nlast = Cast<to=1>(i)",
    "sums_along_space": "last = CumSum(a, two)",
    "normalised_by_channel": "last = MeanVarianceNormalization(a)",
    "mirrored_space": 'last = Pad<mode="reflect">(a, pads)',
    "reversed_space": "last = Slice(a, end, start, two, back)",
}


@pytest.mark.parametrize("name", PASSING)
def test_channels_beside_such_an_axis_are_free(law: Law, name: str) -> None:
    numbers: dict[str, Weight] = {"two": ints(2), "pads": ints(0, 0, 2, 2, 0, 0, 1, 1), "end": ints(6)}
    numbers |= {"start": ints(0), "back": ints(-2)}
    body = f"a = Conv(x, w1)\n{PASSING[name]}\n" + HEAD
    assert law(IMAGE, body, **WEIGHTS, **numbers) == ["6: w1.0 fc.1"]


def test_a_norm_over_all_channels_is_inexact(law: Law) -> None:
    body = "a = Conv(x, w1)\nlast = MeanVarianceNormalization<axes=[1,2,3]>(a)\n" + HEAD
    assert law(IMAGE, body, **WEIGHTS) == ["~6: w1.0 fc.1"]


def test_statistics_that_are_read_freeze_what_they_are_taken_of(law: Law) -> None:
    """The means that LayerNormalization hands out beside its result."""
    body = """
        a = MatMul(x, w1)
        t = Transpose<perm=[0,2,1]>(a)
        n, mean = LayerNormalization<axis=2>(t, g)
        s = Add(n, mean)
        u = Transpose<perm=[0,2,1]>(s)
        y = MatMul(u, w2)
    """
    found = law("float[N,6,8] x => float[N,6,5] y", body, w1=(8, 7), g=6, w2=(7, 5))
    assert found == ["7: w1.1 w2.0"]


def test_an_extent_of_another_stream_couples_or_freezes(law: Law) -> None:
    body = """
        a = Conv(x, w1)
        b = Conv(x, w2)
        s = Shape(b)
        z = ConstantOfShape<value = float[1] {0.5}>(s)
        last = Add(a, z)
        q = GlobalAveragePool(b)
        r = Flatten(q)
        v = Gemm<transB=1>(r, f2)
    """
    found = law(IMAGE + ", float[N,4] v", body + HEAD, **WEIGHTS, w2=(6, 3, 1, 1), f2=(4, 6))
    assert found == []


SUM = """
    a = Conv(x, w1)
    b = Conv(x, w2)
    s = Shape(a)
    c = Gather(s, one)
    n = Gather(s, zero)
    {width}
    hw = Slice(s, two, four)
    shape = Concat<axis=0>(n, d, hw)
    z = ConstantOfShape<value = float[1] {{0.5}}>(shape)
    k = Concat<axis=1>(a, b)
    last = Add(k, z)
"""
SUM_WEIGHTS: dict[str, Weight] = {
    "w1": (4, 3, 1, 1), "w2": (2, 3, 1, 1), "fc": (5, 6), "fcb": 5, "zero": ints(0), "one": ints(1),
    "two": ints(2), "four": ints(4),
}  # fmt: skip


def test_a_sum_that_is_the_same_for_all_inputs_is_written_anew(law: Law) -> None:
    body = SUM.format(width="d = Add(c, two)") + HEAD
    assert law(IMAGE, body, **SUM_WEIGHTS) == ["4: w1.0 fc.1", "2: w2.0 fc.1"]


def test_a_sum_that_varies_with_the_input_and_does_not_follow_freezes(law: Law) -> None:
    body = SUM.format(width="e = Add(c, n)\nd = Add(e, one)") + HEAD
    assert law(IMAGE, body, trial=Trial(batches=(1, 1)), **SUM_WEIGHTS) == []


def test_the_number_of_elements_as_a_divisor_stays(law: Law) -> None:
    """A mean written as sum / size: the divisor is a number that is kept where it is constant."""
    body = """
        a = Conv(x, w1)
        n = Size(a)
        f = Cast<to=1>(n)
        b = Div(a, f)
        last = Relu(b)
    """
    signature = "float[1,3,8,8] x => float[1,5] y"
    assert law(signature, body + HEAD, trial=Trial(batches=(1, 1)), **WEIGHTS) == ["6: w1.0 fc.1"]


def test_the_number_of_elements_of_a_free_batch_freezes(law: Law) -> None:
    body = "a = Conv(x, w1)\nn = Size(a)\nf = Cast<to=1>(n)\nlast = Div(a, f)\n"
    assert law(IMAGE, body + HEAD, **WEIGHTS) == []


def test_channels_that_are_the_input_or_an_output_stay(tmp_path: Path) -> None:
    groups = check_law(model(IMAGE, "last = Conv(x, w1)\n" + HEAD, **WEIGHTS), tmp_path)
    assert free(groups) == ["6: w1.0 fc.1"]
    assert "'x'" in reasons(groups)["w1.1"]
    assert "'y'" in reasons(groups)["fc.0"]


def test_what_a_scan_reads_is_frozen(law: Law) -> None:
    body = """
        a = Conv(x, w1)
        q = ReduceMean<keepdims=0>(a, hw)
        zero = Constant<value = float[1] {0.0}>()
        t, o = Scan<num_scan_inputs=1, body = step (float[1] s, float[R] row) => (float[1] u, float[R] p) {
            u = Identity(s)
            p = Mul(row, gain)
        }>(zero, q)
        y = MatMul(o, f2)
    """
    found = law("float[N,3,8,8] x => float[N,5] y", body, w1=(6, 3, 1, 1), hw=ints(2, 3), gain=6, f2=(6, 5))
    assert found == []


def test_sequences_freeze_what_goes_into_them(law: Law) -> None:
    body = """
        a = Conv(x, w1)
        s = SplitToSequence<axis=1>(a, three)
        i = Constant<value_int=0>()
        b = SequenceAt(s, i)
        last = Conv(b, w2)
    """
    weights: dict[str, Weight] = {"w1": (6, 3, 1, 1), "w2": (4, 3, 1, 1), "fc": (5, 4), "fcb": 5}
    assert law(IMAGE, body + HEAD, **weights, three=np.array(3)) == ["4: w2.0 fc.1"]

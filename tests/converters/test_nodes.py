"""Single nodes over opsets and attributes that onnx's own cases leave out, in torch and in ONNX Runtime."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.converters.against_ort import feeds_of, in_torch, node_agrees, node_model, same

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 3, 4)).astype(np.float32)
WHOLE = RNG.integers(-9, 10, (2, 3, 4))
FLAG = st.integers(0, 1)
AXIS = st.integers(-3, 2)
REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
few = settings(max_examples=20, deadline=None)


@pytest.mark.parametrize("name", ["Softmax", "LogSoftmax", "Hardmax"])
@few
@given(axis=AXIS, opset=st.sampled_from([11, 13]))
def test_softmax_flattens_before_opset_13(name, axis, opset):
    node_agrees(name, [X], opset=opset, axis=axis)


@pytest.mark.parametrize("name", REDUCTIONS)
@few
@given(axes=st.sets(st.integers(0, 2), min_size=1), keep=FLAG, opset=st.sampled_from([7, 11, 18]))
def test_axes_are_an_attribute_or_an_input(name, axes, keep, opset):
    data = np.abs(X)
    if opset < 18:
        node_agrees(f"Reduce{name}", [data], opset=opset, axes=sorted(axes), keepdims=keep)
    else:
        node_agrees(f"Reduce{name}", [data, np.array(sorted(axes))], opset=opset, keepdims=keep)


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("noop", [0, 1])
def test_empty_axes_mean_all_or_none(name, noop):
    empty = np.array([], np.int64)
    node_agrees(f"Reduce{name}", [np.abs(X), empty], opset=18, noop_with_empty_axes=noop)
    node_agrees(f"Reduce{name}", [np.array(1.5, np.float32)], opset=18)


@pytest.mark.parametrize("name", ["ArgMax", "ArgMin"])
@few
@given(axis=AXIS, keep=FLAG, last=FLAG)
def test_ties_give_the_first_or_the_last_place(name, axis, keep, last):
    node_agrees(name, [X.round()], opset=13, axis=axis, keepdims=keep, select_last_index=last)


@few
@given(axis=AXIS, exclusive=FLAG, reverse=FLAG)
def test_sums_run_along_an_axis(axis, exclusive, reverse):
    node_agrees("CumSum", [X, np.array(axis)], opset=14, exclusive=exclusive, reverse=reverse)


@few
@given(
    transposed=st.tuples(FLAG, FLAG),
    bias=st.sampled_from([None, (), (1,), (4,), (2, 1), (1, 4), (2, 4)]),
    scales=st.tuples(st.sampled_from([1.0, 0.5]), st.sampled_from([1.0, 0.3])),
)
def test_gemm_broadcasts_its_bias(transposed, bias, scales):
    left, right = X[0, :2, :3], X[1]
    inputs = [left.T if transposed[0] else left, right.T if transposed[1] else right]
    inputs += [] if bias is None else [np.full(bias, 0.7, np.float32)]
    node_agrees(
        *("Gemm", inputs),
        opset=13,
        transA=transposed[0],
        transB=transposed[1],
        alpha=scales[0],
        beta=scales[1],
    )


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float32, np.float64])
@pytest.mark.parametrize(
    ("name", "opset"),
    [
        *((name, 7) for name in ("Add", "Sub", "Mul", "Div")),
        ("Mod", 13),
        ("Pow", 15),
        ("Max", 13),
        ("Less", 9),
    ],
)
def test_arithmetic_keeps_types_and_signs(name, opset, dtype):
    numbers, others = WHOLE.astype(dtype), np.array([[-2], [3], [1]], dtype)
    others = abs(others) if name == "Pow" else others
    fmod = {"fmod": 1} if name == "Mod" and dtype in (np.float32, np.float64) else {}
    node_agrees(name, [numbers, others], opset=opset, **fmod)


@pytest.mark.parametrize("exponent", [np.array(0.5, np.float32), np.array([2, 3, 2, 3]), np.array(-1)])
def test_a_power_has_the_type_of_its_base(exponent):
    node_agrees("Pow", [abs(WHOLE) + 1, exponent], opset=13)


@pytest.mark.parametrize("limits", [{"min": -0.5, "max": 0.5}, {"max": 0.5}, {}])
def test_limits_may_be_attributes(limits):
    node_agrees("Clip", [X], opset=6, **limits)


@pytest.mark.parametrize("shape", [(3, 1), (4,), (1,), (2, 3, 4), (1, 1, 4), (3, 4), ()])
def test_slopes_are_broadcast(shape):
    node_agrees("PRelu", [X, np.full(shape, 0.3, np.float32)], opset=16)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_opset_6_broadcasts_from_an_axis_on(axis):
    other = RNG.standard_normal(X.shape[axis]).astype(np.float32)
    model = node_model("Add", [X, other], opset=6, axis=axis, broadcast=1)
    wanted = X + np.expand_dims(other, [n for n in range(3) if n != axis])
    np.testing.assert_array_equal(in_torch(model, feeds_of([X, other]))[0], wanted)


@pytest.mark.parametrize("equation", ["bij, bjk", "...ij,...jk->...ik", "bij,bjk->", "bij,bjk->kbi"])
def test_equations_are_those_of_einsum(equation):
    node_agrees("Einsum", [X, X.transpose(0, 2, 1)], opset=12, equation=equation)


@pytest.mark.parametrize("opset", [7, 10, 13])
def test_dropout_rests_outside_training(opset):
    ratio = {"ratio": 0.3} if opset < 12 else {}
    node_agrees("Dropout", [X], opset=opset, **ratio)


@pytest.mark.parametrize("opset", [11, 13])
def test_extents_are_numbers_in_old_opsets_too(opset):
    added, removed = ("<axes = [0]>(n)", "<axes = [0]>(e)") if opset < 13 else ("(n, zeros)", "(e, zeros)")
    text = f"""<ir_version: 7, opset_import: ["" : {opset}]>
    g (float[a, b, c] x) => (float[r, s] y) {{
      zeros = Constant<value_ints = [0]>()
      zero = Constant<value_int = 0>()
      rest = Constant<value_ints = [-1]>()
      shape = Shape(x)
      n = Gather(shape, zero)
      e = Unsqueeze{added}
      m = Squeeze{removed}
      f = Unsqueeze{added.replace("(n", "(m")}
      wanted = Concat<axis = 0>(f, rest)
      y = Reshape(x, wanted)
    }}"""
    same(text, {"x": X})

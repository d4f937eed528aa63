"""The law on gates, activations and norms: squeeze-and-excitation, hard-swish, GroupNorm, LRN, Softmax."""

import numpy as np
import pytest

from tests.law.build import Weight, ints
from tests.law.check import Trial, check_law, reasons
from tests.law.conftest import Law

IMAGE = "float[N,3,8,8] x => float[N,5] y"
HEAD = """
    pool = GlobalAveragePool(last)
    flat = Flatten(pool)
    y = Gemm<transB=1>(flat, fc, fcb)
"""
FC: dict[str, Weight] = {"fc": (5, 6), "fcb": 5}


def scalar(value: float) -> np.ndarray:
    return np.array(value, np.float32)


EXCITE = """
    a = Conv<pads=[1,1,1,1]>(x, w1)
    {squeeze}
    d = Conv(q, down, db)
    r = Relu(d)
    u = Conv(r, up, ub)
    {gate}
    e = Mul(a, g)
    last = Add(e, a)
"""
EXCITE_WEIGHTS: dict[str, Weight] = {
    "w1": (6, 3, 3, 3),
    "down": (4, 6, 1, 1),
    "db": 4,
    "up": (6, 4, 1, 1),
    "ub": 6,
}
EXCITE_FREE = ["6: w1.0 down.1 up.0 ub.0 fc.1", "4: down.0 db.0 up.1"]
SQUEEZES = {
    "pool": ("q = GlobalAveragePool(a)", {}),
    "mean": ("q = ReduceMean<keepdims=1>(a, hw)", {"hw": ints(2, 3)}),
    "mean_negative": ("q = ReduceMean<keepdims=1>(a, hw)", {"hw": ints(-1, -2)}),
    "average": ("q = AveragePool<kernel_shape=[8,8]>(a)", {}),
    "maximum": ("q = GlobalMaxPool(a)", {}),
    "flat": ("m = ReduceMean<keepdims=0>(a, hw)\nq = Reshape(m, wide)",
             {"hw": ints(2, 3), "wide": ints(-1, 6, 1, 1)}),
    "unsqueezed": ("q0 = ReduceMean<keepdims=0>(a, hw)\nq = Unsqueeze(q0, hw)", {"hw": ints(2, 3)}),
}  # fmt: skip
GATES = {
    "sigmoid": ("g = Sigmoid(u)", {}),
    "hard_sigmoid": ("g = HardSigmoid<alpha=0.2, beta=0.5>(u)", {}),
    "written_out": ("p = Add(u, three)\nc = Clip(p, zero, six)\ng = Div(c, six)",
                    {"three": scalar(3), "zero": scalar(0), "six": scalar(6)}),
}  # fmt: skip


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("squeeze", SQUEEZES)
def test_squeeze_and_excitation_inside_a_residual(law: Law, squeeze: str, gate: str) -> None:
    (squeezed, shapes), (gated, numbers) = SQUEEZES[squeeze], GATES[gate]
    body = EXCITE.format(squeeze=squeezed, gate=gated) + HEAD
    assert law(IMAGE, body, **EXCITE_WEIGHTS, **shapes, **numbers, **FC) == EXCITE_FREE


def test_squeeze_and_excitation_by_linear_layers(law: Law) -> None:
    body = """
        a = Conv(x, w1)
        p = GlobalAveragePool(a)
        f = Flatten(p)
        d = Gemm(f, down, db)
        r = Relu(d)
        u = Gemm<transB=1>(r, up, ub)
        s = Sigmoid(u)
        g = Reshape(s, wide)
        last = Mul(a, g)
    """
    weights = {"w1": (6, 3, 1, 1), "down": (6, 4), "db": 4, "up": (6, 4), "ub": 6, "wide": ints(-1, 6, 1, 1)}
    assert law(IMAGE, body + HEAD, **weights, **FC) == [
        "6: w1.0 down.0 up.0 ub.0 fc.1",
        "4: down.1 db.0 up.1",
    ]


ACTIVATIONS = {
    "hard_swish": ("p = Add(a, three)\nc = Clip(p, zero, six)\nm = Mul(a, c)\nlast = Div(m, six)",
                   {"three": scalar(3), "zero": scalar(0), "six": scalar(6)}),
    "gelu": ("d = Div(a, root)\ne = Erf(d)\np = Add(e, one)\nm = Mul(a, p)\nlast = Mul(m, half)",
             {"root": scalar(1.414), "one": scalar(1), "half": scalar(0.5)}),
    "tanh_gelu": ("""c = Pow(a, three)
                     k = Mul(c, little)
                     s = Add(a, k)
                     t = Tanh(s)
                     p = Add(one, t)
                     last = Mul(a, p)""",
                  {"three": scalar(3), "little": scalar(0.04), "one": scalar(1)}),
    "affine": ("m = Mul(a, half)\nlast = Sub(one, m)",
               {"one": np.ones((1, 1, 1, 1), np.float32), "half": scalar(0.5)}),
    "mish": ("p = Softplus(a)\nt = Tanh(p)\nlast = Mul(a, t)", {}),
    "shared_slope": ("last = PRelu(a, slope)", {"slope": np.full((1, 1, 1), 0.1, np.float32)}),
    "where": ("c = Greater(a, zero)\nn = Mul(a, half)\nlast = Where(c, a, n)",
              {"zero": scalar(0), "half": scalar(0.5)}),
    "minimum": ("last = Min(a, one)", {"one": scalar(1)}),
    "mean_of_three": ("b = Neg(a)\nlast = Mean(a, b, a)", {}),
    "dropout": ("last = Dropout(a)", {}),
    "cast": ("c = Cast<to=11>(a)\nlast = Cast<to=1>(c)", {}),
    "cast_like": ("c = Cast<to=11>(a)\nlast = CastLike(c, a)", {}),
}  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_written_out_pass_channels_through(law: Law, name: str) -> None:
    body, numbers = ACTIVATIONS[name]
    found = law(IMAGE, f"a = Conv(x, w1, b1)\n{body}\n" + HEAD, w1=(6, 3, 1, 1), b1=6, **numbers, **FC)
    assert found == ["6: w1.0 b1.0 fc.1"]


PARAMETERS = {
    "slopes": ("last = PRelu(a, p)", {"p": (6, 1, 1)}, ["p.0"]),
    "exponents": ("b = Abs(a)\nlast = Pow(b, p)", {"p": (1, 6, 1, 1)}, ["p.1"]),
    "gain_and_shift": ("b = Mul(p, a)\nlast = Add(b, q)", {"p": (6, 1, 1), "q": (1, 6, 1, 1)},
                       ["p.0", "q.1"]),
    "instance_norm": ("last = InstanceNormalization(a, p, q)", {"p": 6, "q": 6}, ["p.0", "q.0"]),
    "batch_norm": ("last = BatchNormalization(a, p, q, m, var)", {"p": 6, "q": 6, "m": 6, "var": 6},
                   ["p.0", "q.0", "m.0", "var.0"]),
}  # fmt: skip


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_of_channels_go_with_them(law: Law, name: str) -> None:
    body, parameters, members = PARAMETERS[name]
    found = law(IMAGE, f"a = Conv(x, w1)\n{body}\n" + HEAD, w1=(6, 3, 1, 1), **parameters, **FC)
    assert found == [f"6: w1.0 {' '.join(members)} fc.1"]


GROUP_NORMS = {
    "operator_18": (18, "last = GroupNormalization<num_groups=3>(a, p, q)", {"p": 3, "q": 3}, []),
    "operator_21": (21, "last = GroupNormalization<num_groups=3>(a, p, q)", {"p": 6, "q": 6}, ["p.0", "q.0"]),
    "decomposed": (
        18,
        """r = Reshape(a, grouped)
           n = InstanceNormalization(r, ones, zeros)
           shape = Shape(a)
           b = Reshape(n, shape)
           m = Mul(b, p)
           last = Add(m, q)""",
        {"grouped": ints(0, 3, -1), "ones": np.ones(3, np.float32), "zeros": np.zeros(3, np.float32),
         "p": (6, 1, 1), "q": (6, 1, 1)},
        ["p.0", "q.0"],
    ),
    "decomposed_with_constant_shapes": (
        18,
        """r = Reshape(a, grouped)
           n = InstanceNormalization(r, ones, zeros)
           b = Reshape(n, back)
           m = Mul(b, p)
           last = Add(m, q)""",
        {"grouped": ints(-1, 3, 128), "ones": np.ones(3, np.float32), "zeros": np.zeros(3, np.float32),
         "back": ints(-1, 6, 8, 8), "p": (6, 1, 1), "q": (6, 1, 1)},
        ["p.0", "q.0"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GROUP_NORMS)
def test_group_norm_keeps_its_groups_and_is_inexact(law: Law, name: str) -> None:
    opset, norm, parameters, members = GROUP_NORMS[name]
    body = f"a = Conv(x, w1)\n{norm}\n" + HEAD
    found = law(IMAGE, body, opset=opset, ir=10, w1=(6, 3, 1, 1), **parameters, **FC)
    assert found == [f"~2: {' '.join(['w1.0', *members, 'fc.1'])}"]


FROZEN = {
    "local_response": "last = LRN<size=3>(a)",
    "softmax": "last = Softmax<axis=1>(a)",
    "log_softmax": "last = LogSoftmax<axis=-3>(a)",
    "cumulative_sum": "last = CumSum(a, one)",
    "unknown": "last = com.microsoft.NobodyKnows(a)",
}


@pytest.mark.parametrize("name", FROZEN)
def test_positions_that_matter_freeze_the_axis_with_a_reason(tmp_path, name: str) -> None:
    from tests.law.build import model

    body = f"a = Conv(x, w1)\n{FROZEN[name]}\n" + HEAD
    made = model(IMAGE, body, w1=(6, 3, 1, 1), one=np.array(1), **FC)
    groups = check_law(made, tmp_path, Trial(runs=name != "unknown"))
    assert groups.prunable == ()
    assert "last" in reasons(groups)["w1.0"]


def test_softmax_over_space_leaves_channels_free(law: Law) -> None:
    body = "a = Conv(x, w1)\nlast = Softmax<axis=-1>(a)\n" + HEAD
    assert law(IMAGE, body, w1=(6, 3, 1, 1), **FC) == ["6: w1.0 fc.1"]


def test_norm_of_a_vector_of_channels_is_exact(law: Law) -> None:
    body = "a = Conv(x, w1)\nlast = LpNormalization<axis=1>(a)\n" + HEAD
    assert law(IMAGE, body, w1=(6, 3, 1, 1), **FC) == ["6: w1.0 fc.1"]

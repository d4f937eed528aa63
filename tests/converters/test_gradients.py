"""Functions of operators: gradients against finite differences, vmap, half precision."""

import pytest
import torch

from onnxprune.converters.functions import (
    activation,
    elementwise,
    linear,
    reduction,
    training,
    trigonometry,
)
from tests.converters.differentiation import differentiates, halves, maps_samples, numbers

X, POSITIVE, SMALL = numbers(2, 3, 4), numbers(2, 3, 4, low=0.2), numbers(2, 3, low=-0.9, high=0.9)
MATRIX = numbers(3, 3) + 2 * torch.eye(3, dtype=torch.float64)
CASES = {
    "Add": (elementwise.add, [X, numbers(3, 1, seed=1)], {}),
    "Sub": (elementwise.sub, [X, numbers(4, seed=1)], {}),
    "Mul": (elementwise.mul, [X, numbers(3, 1, seed=1)], {}),
    "Div": (elementwise.div, [X, numbers(3, 1, low=0.5, seed=1)], {}),
    "Div of opset 6": (elementwise.div_limited, [X, numbers(3, low=0.5)], {"axis": 1, "broadcast": 1}),
    "Pow": (elementwise.pow_, [POSITIVE, numbers(4, seed=1)], {}),
    "Mod": (elementwise.mod, [X, torch.tensor(0.7, dtype=torch.float64)], {"fmod": 1}),
    "Sum": (elementwise.sum_, [X, numbers(4), numbers(3, 1)], {}),
    "Mean": (elementwise.mean, [X, numbers(4), numbers(3, 1)], {}),
    "Max": (elementwise.max_, [X, numbers(4, low=-1.93)], {}),
    "Min": (elementwise.min_, [X, numbers(4, low=-1.93)], {}),
    "Clip": (elementwise.clip, [X, -1.0, 1.0], {}),
    "Clip from below": (elementwise.clip, [X, -1.0], {}),
    "Clip at computed bounds": (elementwise.clip, [X, numbers(1, low=-1, high=0), 1.0], {}),
    "Where": (elementwise.where, [X > 0, X, numbers(4)], {}),
    **{name: (getattr(elementwise, name), [X], {}) for name in ("abs_", "neg", "exp", "erf", "reciprocal")},
    **{name: (getattr(elementwise, name), [POSITIVE], {}) for name in ("sqrt", "log")},
    **{
        name: (getattr(trigonometry, name), [SMALL], {})
        for name in ("acos", "asin", "asinh", "atan", "atanh", "cos", "cosh", "sin", "sinh", "tan")
    },
    "acosh": (trigonometry.acosh, [POSITIVE + 2], {}),
    **{
        name: (getattr(activation, name), [X], {})
        for name in (
            *("relu", "leaky_relu", "thresholded_relu", "elu", "selu", "celu", "sigmoid", "hard_sigmoid"),
            *("hard_swish", "swish", "mish", "gelu", "tanh", "softplus", "softsign", "shrink", "softmax"),
            *("log_softmax", "softmax_flattened", "log_softmax_flattened"),
        )
    },
    "Elu": (activation.elu, [X], {"alpha": 0.7}),
    "Celu": (activation.celu, [X], {"alpha": 0.7}),
    "Selu": (activation.selu, [X], {"alpha": 0.7, "gamma": 2.0}),
    "Swish": (activation.swish, [X], {"alpha": 1.7}),
    "SwiGLU": (activation.swi_glu, [X, numbers(2, 3, 4, seed=1)], {"alpha": 1.7}),
    "Gelu": (activation.gelu, [X], {"approximate": "tanh"}),
    "Shrink": (activation.shrink, [X], {"bias": 0.3, "lambd": 0.6}),
    "PRelu by channel": (activation.p_relu, [X, numbers(3, 1, low=0, high=1)], {}),
    "PRelu by place": (activation.p_relu, [X, numbers(4, low=0, high=1)], {}),
    "PRelu of one slope": (activation.p_relu, [X, numbers(1, low=0, high=1)], {}),
    **{
        f"{name} {axes} {keep}": (getattr(reduction, name), [data, axes], {"keepdims": keep})
        for axes, keep in (([1], 1), ([0, -1], 0), (None, 0))
        for name, data in (
            *((f"reduce_{name}", X) for name in ("sum", "mean", "sum_square", "l1", "l2", "log_sum_exp")),
            *(("reduce_prod", X), ("reduce_max", X), ("reduce_min", X), ("reduce_log_sum", POSITIVE)),
        )
    },
    **{
        f"{name} of no axes": (getattr(reduction, name), [POSITIVE, []], {"noop_with_empty_axes": 1})
        for name in ("reduce_sum", "reduce_mean", "reduce_l2", "reduce_log_sum", "reduce_max", "reduce_prod")
    },
    "CumSum": (reduction.cum_sum, [X, 1], {"exclusive": 1, "reverse": 1}),
    "CumProd": (reduction.cum_prod, [X, -1], {"exclusive": 1, "reverse": 1}),
    "MatMul": (linear.mat_mul, [X, numbers(4, 5)], {}),
    "Gemm": (
        linear.gemm,
        [numbers(3, 2), numbers(4, 3), numbers(4)],
        {"alpha": 0.5, "beta": 2.0, "transA": 1, "transB": 1},
    ),
    "Gemm without C": (linear.gemm, [numbers(2, 3), numbers(3, 4)], {"alpha": 0.5}),
    "Einsum": (linear.einsum, [X, numbers(4, 2)], {"equation": "...i, ij -> ...j"}),
    "Det": (linear.det, [MATRIX], {}),
    "NegativeLogLikelihoodLoss": (
        training.negative_log_likelihood_loss,
        [X, torch.tensor([[0, 1, 2, 1], [2, 2, 1, 0]]), numbers(3, low=0.1)],
        {"ignore_index": 1},
    ),
    "SoftmaxCrossEntropyLoss": (
        training.softmax_cross_entropy_loss,
        [X, torch.tensor([[0, 1, 2, 1], [2, 2, 1, 0]])],
        {"reduction": "sum"},
    ),
}


@pytest.mark.parametrize(("function", "inputs", "keywords"), CASES.values(), ids=CASES)
def test_gradients_are_those_of_finite_differences(function, inputs, keywords):
    assert differentiates(function, inputs, **keywords)


@pytest.mark.parametrize(("function", "inputs", "keywords"), CASES.values(), ids=CASES)
def test_each_sample_under_vmap_is_as_it_is_alone(function, inputs, keywords):
    if inputs[0].is_floating_point():
        assert maps_samples(function, inputs, **keywords)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("function", "inputs", "keywords"), CASES.values(), ids=CASES)
def test_half_precision_stays_half_and_near(function, inputs, keywords, dtype):
    assert halves(function, inputs, dtype, **keywords)

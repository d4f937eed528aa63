"""Operators on text and tables; onnx's reference evaluator says what comes out."""

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import helper
from onnx.reference import ReferenceEvaluator

from onnxprune.converters import to_torch
from onnxprune.converters.functions import text
from onnxprune.converters.types import array_of
from onnxprune.onnx_file.graph import view
from tests.converters.differentiation import differentiates, numbers

X = np.array([[1.5, -2.0, 0.5], [0.0, 3.0, -1.0], [0.0, 0.0, 0.0]], np.float32)
CASES = {
    "Scaler": ([X], {"offset": [0.5, 1.0, -1.0], "scale": [2.0, 0.5, 3.0]}),
    "Normalizer MAX": ([np.abs(X)], {"norm": "MAX"}),
    "Normalizer L1": ([X], {"norm": "L1"}),
    "Normalizer L2": ([X], {"norm": "L2"}),
    "LinearRegressor": (
        [X],
        {"coefficients": [1.0, 2.0, 3.0, -1.0, 0.5, 0.0], "intercepts": [0.1, 0.2], "targets": 2},
    ),
    "Binarizer": ([X], {"threshold": 0.4}),
    "FeatureVectorizer": ([X, X[:, :2]], {"inputdimensions": [3, 2]}),
    "LabelEncoder": (
        [np.array([1, 7, 5])],
        {"keys_int64s": [1, 5], "values_floats": [0.5, 2.5], "default_float": -1.0},
    ),
    "Imputer": ([X], {"replaced_value_float": 0.0, "imputed_value_floats": [9.0]}),
}


@pytest.mark.parametrize(("inputs", "attributes"), CASES.values(), ids=CASES)
def test_tables_are_those_of_the_reference_evaluator(inputs, attributes, request):
    operator = request.node.callspec.id.split()[0]
    names = [f"i{i}" for i in range(len(inputs))]
    node = helper.make_node(operator, names, ["y"], domain="ai.onnx.ml", **attributes)
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), None)
        for name, value in zip(names, inputs, strict=True)
    ]
    graph = helper.make_graph([node], "g", infos, [helper.make_empty_tensor_value_info("y")])
    opsets = [helper.make_opsetid("ai.onnx.ml", 3), helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets)
    (wanted,) = ReferenceEvaluator(model).run(None, dict(zip(names, inputs, strict=True)))
    got = to_torch(view(model, Path("model.onnx")))(*map(torch.from_numpy, inputs))
    np.testing.assert_allclose(array_of(got), wanted, rtol=1e-5)


def test_gradients_pass_the_linear_ones():
    values = numbers(2, 3).float().double()
    for function, attributes in ((text.scaler, {"scale": [2.0]}), (text.normalizer, {"norm": "L2"})):
        leaves = [values.clone().requires_grad_()]
        function(*leaves, **attributes).square().sum().backward()
        assert leaves[0].grad.abs().sum() > 0


@pytest.mark.parametrize("transform", sorted(text.POST_TRANSFORMS))
def test_scores_are_transformed_differentiably(transform):
    assert differentiates(text.POST_TRANSFORMS[transform], [numbers(2, 3, low=0.1, high=0.9)])

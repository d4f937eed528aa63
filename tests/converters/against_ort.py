"""Models of one node, in ONNX Runtime and in torch."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from onnx import ModelProto, helper, parser
from onnx.helper import np_dtype_to_tensor_dtype

from onnxprune.converters import to_torch
from onnxprune.converters.types import array_of, tensor_of
from onnxprune.onnx_file.graph import view


def node_model(
    op_type: str, inputs: list[Any], *, opset: int, outputs: int = 1, **attributes: Any
) -> ModelProto:
    """A model of one node; inputs are arrays, None where the node leaves one out."""
    names = ["" if value is None else f"i{i}" for i, value in enumerate(inputs)]
    results = [f"o{i}" for i in range(outputs)]
    node = helper.make_node(op_type, names, results, **attributes)
    types = [np_dtype_to_tensor_dtype(value.dtype) for value in inputs if value is not None]
    infos = [
        helper.make_tensor_value_info(name, type_, None)
        for name, type_ in zip((n for n in names if n), types, strict=True)
    ]
    outs = [helper.make_empty_tensor_value_info(name) for name in results]
    graph = helper.make_graph([node], "g", infos, outs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def feeds_of(inputs: list[Any]) -> dict[str, Any]:
    return {f"i{i}": value for i, value in enumerate(inputs) if value is not None}


def in_ort(model: ModelProto, feeds: dict[str, Any], *, optimized: bool = True) -> list[Any]:
    options = ort.SessionOptions()
    if not optimized:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def in_torch(model: ModelProto, feeds: dict[str, Any]) -> list[Any]:
    module = to_torch(view(model, Path("model.onnx"))).eval()
    with torch.no_grad():
        values = module(*(tensor_of(np.asarray(feeds[name])) for name in module.input_names))
    return [array_of(value) for value in (values if isinstance(values, tuple) else (values,))]


def same(model: ModelProto | str, feeds: dict[str, Any], *, rtol: float = 1e-4, atol: float = 1e-5) -> None:
    """Raises: AssertionError: outputs differ in type, shape or values."""
    model = parser.parse_model(model) if isinstance(model, str) else model
    for got, want in zip(in_torch(model, feeds), in_ort(model, feeds), strict=True):
        assert got.dtype == want.dtype, (got.dtype, want.dtype)
        assert got.shape == want.shape, (got.shape, want.shape)
        np.testing.assert_allclose(got, want, rtol=rtol, atol=atol)


def node_agrees(op_type: str, inputs: list[Any], *, opset: int, outputs: int = 1, **attributes: Any) -> None:
    model = node_model(op_type, inputs, opset=opset, outputs=outputs, **attributes)
    same(model, feeds_of(inputs))

"""Nodes of types that torch lacks (text, 2- and 4-bit numbers): the reference evaluator of onnx runs them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from onnx import ModelProto, NodeProto, TypeProto, helper
from onnx.reference import ReferenceEvaluator

from onnxprune.converters.types import array_of, tensor_of


def by_reference(
    *inputs: Any, _node: bytes, _opsets: Mapping[str, int], _device: torch.device
) -> tuple[Any, ...]:
    """The outputs of one node; arrays where torch has no such tensors. No gradient passes."""
    model = single_node(_node, tuple(_opsets.items()))
    node = model.graph.node[0]
    feeds = {name: array_of(value) for name, value in zip(node.input, inputs, strict=True) if name}
    outputs = iter(ReferenceEvaluator(model).run(None, feeds))
    return tuple(from_reference(next(outputs), _device) if name else None for name in node.output)


def can_run(node: bytes, opsets: Mapping[str, int]) -> bool:
    """Whether the reference evaluator has a node's operator."""
    try:
        ReferenceEvaluator(single_node(node, tuple(opsets.items())))
    except NotImplementedError:
        return False
    return True


def single_node(node: bytes, opsets: tuple[tuple[str, int], ...]) -> ModelProto:
    proto = NodeProto.FromString(node)
    inputs = [helper.make_value_info(name, TypeProto()) for name in dict.fromkeys(proto.input) if name]
    outputs = [helper.make_value_info(name, TypeProto()) for name in proto.output if name]
    graph = helper.make_graph([proto], "node", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid(*opset) for opset in opsets])


def from_reference(value: Any, device: torch.device) -> Any:
    if isinstance(value, list):
        return [from_reference(item, device) for item in value]
    if value is None or isinstance(value, dict):
        return value
    held = tensor_of(np.asarray(value))
    return held.to(device) if isinstance(held, torch.Tensor) else held

"""ONNX's own node tests as models in which every axis may be pruned.

Each input becomes an initializer, so that all its axes have channels; each output is weighed by random
factors and summed up, so that all its axes are contracted and a wrong or misplaced channel shows:

    x ── Op ── y ── Cast ── Mul(random) ── ReduceSum ── scalar
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases
from onnx.backend.test.case.test_case import TestCase

NEWEST_IR = 10  # as the tested ONNX Runtime reads; the cases use nothing newer than their opset
PLAIN_KINDS = "fiub"


@dataclass(frozen=True)
class Case:
    """A model without inputs."""

    name: str
    operators: tuple[str, ...]
    model: ModelProto


@cache
def onnx_cases() -> tuple[TestCase, ...]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy warns while the expected outputs are computed
        return tuple(collect_testcases(None))


def closed_cases() -> Iterator[Case]:
    """The cases of the default domain on plain tensors with finite outputs."""
    for case in onnx_cases():
        if case.model is None or not case.data_sets or any(node.domain for node in case.model.graph.node):
            continue
        inputs, outputs = case.data_sets[0]
        if all(is_plain(a) for a in inputs) and all(is_plain(a) and is_finite(a) for a in outputs):
            made = close(case.model, inputs, outputs)
            if made is not None:
                yield Case(case.name, tuple(node.op_type for node in case.model.graph.node), made)


def is_plain(array: Any) -> bool:
    return isinstance(array, (np.ndarray, np.generic)) and np.asarray(array).dtype.kind in PLAIN_KINDS


def is_finite(array: NDArray[Any]) -> bool:
    return bool(np.isfinite(np.asarray(array).astype(np.float64)).all())


def close(source: ModelProto, inputs: list[NDArray[Any]], outputs: list[NDArray[Any]]) -> ModelProto | None:
    """The model with its inputs inside and its outputs summed up; None where a type would change."""
    model = ModelProto()
    model.CopyFrom(source)
    model.ir_version = min(model.ir_version, NEWEST_IR)
    graph = model.graph
    for value, array in zip(graph.input, inputs, strict=True):
        tensor = numpy_helper.from_array(np.asarray(array), value.name)
        if tensor.data_type != value.type.tensor_type.elem_type:
            return None
        graph.initializer.append(tensor)
    names = [output.name for output in graph.output]
    for field in ("input", "output", "value_info"):
        graph.ClearField(field)
    rng = np.random.default_rng(1)
    for name, array in zip(names, outputs, strict=True):
        factors = rng.standard_normal(array.shape).astype(np.float32)
        graph.initializer.append(numpy_helper.from_array(factors, f"{name}_factors"))
        graph.node.extend(
            [
                helper.make_node("Cast", [name], [f"{name}_float"], to=TensorProto.FLOAT),
                helper.make_node("Mul", [f"{name}_float", f"{name}_factors"], [f"{name}_weighed"]),
                helper.make_node("ReduceSum", [f"{name}_weighed"], [f"{name}_sum"], keepdims=0),
            ]
        )
        graph.output.append(helper.make_tensor_value_info(f"{name}_sum", TensorProto.FLOAT, []))
    return model

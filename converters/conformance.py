"""The round trip as a backend on numpy arrays, for the conformance suite of onnx."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnx import ModelProto

from onnxprune.converters.round_trip import to_torch
from onnxprune.converters.types import array_of, tensor_of
from onnxprune.onnx_file.graph import view


def convert(model: ModelProto) -> Callable[..., dict[str, Any]]:
    """A function of the model's inputs, by position, that gives its outputs by name, all as arrays.

    Raises:
        UnsupportedError: E406, an operator that the round trip has no function for.
    """
    module = to_torch(view(model, Path("model.onnx"))).eval()

    def call(*inputs: Any) -> dict[str, Any]:
        with torch.no_grad():
            outputs = module(*(as_value(value) for value in inputs))
        values = [outputs] if len(module.output_names) == 1 else outputs
        return {name: array_of(value) for name, value in zip(module.output_names, values, strict=True)}

    return call


def as_value(value: Any) -> Any:
    """An array as a tensor, a sequence item by item, None as it is."""
    if isinstance(value, list | tuple):
        return [as_value(item) for item in value]
    return value if value is None else tensor_of(np.asarray(value))

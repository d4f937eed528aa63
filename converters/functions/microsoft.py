"""Fused operators of ONNX Runtime."""

from onnxprune.converters.signature import Function

OPERATORS: dict[str, dict[int, Function]] = {}

"""Attention and what goes with it."""

from onnxprune.converters.signature import Function

OPERATORS: dict[str, dict[int, Function]] = {}

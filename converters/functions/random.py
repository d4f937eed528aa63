"""Random numbers and dropout."""

from onnxprune.converters.signature import Function

OPERATORS: dict[str, dict[int, Function]] = {}

"""Text, tables and trees: the reference evaluator runs them."""

from onnxprune.converters.signature import Function

OPERATORS: dict[str, dict[int, Function]] = {}

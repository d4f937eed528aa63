"""Branches, loops, sequences and optional values."""

from onnxprune.converters.signature import Function

OPERATORS: dict[str, dict[int, Function]] = {}

"""Gathering, scattering and selecting."""

from onnxprune.converters.signature import Function

OPERATORS: dict[str, dict[int, Function]] = {}

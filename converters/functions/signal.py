"""Fourier transforms and windows."""

from onnxprune.converters.signature import Function

OPERATORS: dict[str, dict[int, Function]] = {}

"""Sampling, regions and rearrangement of images."""

from onnxprune.converters.signature import Function

OPERATORS: dict[str, dict[int, Function]] = {}

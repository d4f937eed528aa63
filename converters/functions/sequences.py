"""Sequences, which are Python lists, and optional values, which are None where there are none."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from onnxprune.converters.signature import Function
from onnxprune.converters.walking import Body


def sequence_construct(*inputs: Any) -> list[Any]:
    return list(inputs)


def sequence_empty(*, dtype: int = 1) -> list[Any]:
    return []


def sequence_at(input_sequence: Any, position: int) -> Any:
    return input_sequence[position]


def sequence_length(input_sequence: Any, *, _device: torch.device) -> Tensor:
    return torch.tensor(len(input_sequence), device=_device)


def sequence_insert(input_sequence: Any, tensor: Any, position: int | None = None) -> list[Any]:
    at = len(input_sequence) if position is None else position
    return [*input_sequence[:at], tensor, *input_sequence[at:]]


def sequence_erase(input_sequence: Any, position: int | None = None) -> list[Any]:
    at = (-1 if position is None else position) % len(input_sequence)
    return [*input_sequence[:at], *input_sequence[at + 1 :]]


def split_to_sequence(
    input: Tensor, split: list[int] | None = None, *, axis: int = 0, keepdims: int = 1
) -> list[Tensor]:
    """One length is that of each part; without any, each part has one place, whose axis may go."""
    if split is None:
        return list(input.split(1, axis) if keepdims else input.unbind(axis))
    return list(input.split(split[0] if len(split) == 1 else split, axis))


def concat_from_sequence(input_sequence: Any, *, axis: int, new_axis: int = 0) -> Any:
    items = list(input_sequence)
    if not isinstance(items[0], Tensor):
        return np.stack(items, axis) if new_axis else np.concatenate(items, axis)
    return torch.stack(items, axis) if new_axis else torch.cat(items, axis)


def sequence_map(input_sequence: Any, *additional_inputs: Any, body: Body, _outputs: int) -> tuple[Any, ...]:
    """The body on each item; a tensor beside the sequences is the same for all."""
    results = [
        body(item, *(more[i] if isinstance(more, list) else more for more in additional_inputs))
        for i, item in enumerate(input_sequence)
    ]
    return tuple([outputs[i] for outputs in results] for i in range(_outputs))


def optional(input: Any = None, *, type: bytes | None = None) -> Any:
    return (input,)


def optional_get_element(input: Any) -> Any:
    return input


def optional_has_element(input: Any = None, *, _device: torch.device) -> Tensor:
    return torch.tensor(input is not None, device=_device)


OPERATORS: dict[str, dict[int, Function]] = {
    "ConcatFromSequence": {11: concat_from_sequence},
    "Optional": {15: optional},
    "OptionalGetElement": {15: optional_get_element},
    "OptionalHasElement": {15: optional_has_element},
    "SequenceAt": {11: sequence_at},
    "SequenceConstruct": {11: sequence_construct},
    "SequenceEmpty": {11: sequence_empty},
    "SequenceErase": {11: sequence_erase},
    "SequenceInsert": {11: sequence_insert},
    "SequenceLength": {11: sequence_length},
    "SequenceMap": {17: sequence_map},
    "SplitToSequence": {11: split_to_sequence},
}

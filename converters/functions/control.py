"""Branches and loops: Python's own, over the plans of the subgraphs."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from onnxprune.converters.signature import Function
from onnxprune.converters.walking import Body


def if_(cond: bool, *, then_branch: Body, else_branch: Body) -> tuple[Any, ...]:
    return tuple(then_branch() if cond else else_branch())


def loop(M: int | None = None, cond: bool | None = None, *v_initial: Any, body: Body) -> tuple[Any, ...]:
    """What the body carries at the end, then what it gave in each trip, stacked along a new first axis.

    The body gets the number of the trip, and that it goes on, as Python's numbers.
    """
    carried, trips, trip = list(v_initial), [], 0
    going = cond is None or bool(cond)
    while going and (M is None or trip < M):
        outputs = body(trip, True, *carried)
        going, carried = bool(outputs[0]), outputs[1 : 1 + len(carried)]
        trips.append(outputs[1 + len(carried) :])
        trip += 1
    if trips:
        return *carried, *(stacked(values) for values in zip(*trips, strict=True))
    return *carried, *nothing(body, [0, True, *carried], 1 + len(carried))


def scan(
    *initial_state_and_scan_inputs: Any,
    body: Body,
    num_scan_inputs: int,
    scan_input_axes: list[int] | None = None,
    scan_input_directions: list[int] | None = None,
    scan_output_axes: list[int] | None = None,
    scan_output_directions: list[int] | None = None,
) -> tuple[Any, ...]:
    """The final states, then what the body gave at each place, stacked."""
    several = len(initial_state_and_scan_inputs) - num_scan_inputs
    states = list(initial_state_and_scan_inputs[:several])
    rows = [
        unstacked(value, axis, direction)
        for value, axis, direction in zip(
            initial_state_and_scan_inputs[several:],
            scan_input_axes or [0] * num_scan_inputs,
            scan_input_directions or [0] * num_scan_inputs,
            strict=True,
        )
    ]
    states, results = scanned(body, states, rows)
    if not rows[0]:
        items = (torch.zeros_like(value).sum(0) for value in initial_state_and_scan_inputs[several:])
        return *states, *nothing(body, [*states, *items], several)
    axes = scan_output_axes or [0] * len(results)
    directions = scan_output_directions or [0] * len(results)
    return *states, *(
        stacked(values[::-1] if direction else values, axis)
        for values, axis, direction in zip(results, axes, directions, strict=True)
    )


def scan_batch(
    sequence_lens: list[int] | None,
    *initial_state_and_scan_inputs: Any,
    body: Body,
    num_scan_inputs: int,
    directions: list[int] | None = None,
) -> tuple[Any, ...]:
    """Opset 8: states (batch, ...) and inputs (batch, length, ...), one sample of the batch after another."""
    several = len(initial_state_and_scan_inputs) - num_scan_inputs
    batch, longest = initial_state_and_scan_inputs[several].shape[:2]
    lengths = sequence_lens if sequence_lens is not None else [longest] * batch
    samples = []
    for sample, length in enumerate(lengths):
        values = [value[sample] for value in initial_state_and_scan_inputs]
        rows = [
            unstacked(value[:length], 0, direction)
            for value, direction in zip(values[several:], directions or [0] * num_scan_inputs, strict=True)
        ]
        states, results = scanned(body, values[:several], rows)
        samples.append([*states, *(padded(torch.stack(list(items)), longest) for items in results)])
    return tuple(torch.stack(values) for values in zip(*samples, strict=True))


def scanned(body: Body, states: list[Any], rows: list[list[Any]]) -> tuple[list[Any], list[tuple[Any, ...]]]:
    """The final states, and of each other output of the body what it was at each place."""
    several = len(states)
    trips = []
    for items in zip(*rows, strict=True):
        outputs = body(*states, *items)
        states = outputs[:several]
        trips.append(outputs[several:])
    return states, list(zip(*trips, strict=True))


def unstacked(value: Tensor, axis: int, direction: int) -> list[Any]:
    items = list(value.unbind(axis))
    return items[::-1] if direction else items


def stacked(values: Any, axis: int = 0) -> Any:
    """Along a new axis; arrays where torch has no such tensors."""
    if isinstance(values[0], Tensor):
        return torch.stack(list(values), axis)
    return np.stack(values, axis)


def padded(value: Tensor, length: int) -> Tensor:
    """With zeros behind it."""
    more = torch.zeros_like(value[:1]).expand(length - len(value), *value.shape[1:])
    return torch.cat([value, more]) if len(value) < length else value


def nothing(body: Body, inputs: list[Any], first: int) -> list[Any]:
    """Stacks of no trips: their items' extents and types are those that one trip would give."""
    if len(body.plan.outputs) == first:
        return []
    with torch.no_grad():
        return [stacked([value])[:0] for value in body(*inputs)[first:]]


OPERATORS: dict[str, dict[int, Function]] = {
    "If": {1: if_},
    "Loop": {1: loop},
    "Scan": {8: scan_batch, 9: scan},
}

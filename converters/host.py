"""Shape arithmetic on Python numbers: no tensor, no copy to a device, symbolic under torch.compile.

A value is *host* where it is a Python number (rank 0) or a list of them (rank 1). Which values are is decided
when the plan is made; each operator below says of its inputs' ranks what its output's rank is.
"""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
from onnx import TensorProto

Number = Any  # int, float or bool; SymInt and SymFloat under torch.compile
Host = Any  # a number or a list of numbers
MOST = 64  # items of a list that stays on the host


@dataclass(frozen=True)
class HostType:
    """Rank (0 or 1), ONNX's element type, and the value where it is the same in every run."""

    rank: int
    elem_type: int
    value: Host = None


@dataclass(frozen=True)
class HostOperator:
    """How to compute a host value, and the rank that it has; a rank of None means that it is none."""

    function: Callable[..., Host]
    rank: Callable[..., int | None]


def each(function: Callable[..., Number]) -> Callable[..., Host]:
    """Element by element; numbers and lists of one are stretched."""

    def apply(*values: Host) -> Host:
        if not any(isinstance(value, list) for value in values):
            return rounded(function(*values))
        lists = [value if isinstance(value, list) else [value] for value in values]
        extent = 0 if any(not part for part in lists) else max(map(len, lists))
        stretched = [part * extent if len(part) == 1 else part for part in lists]
        return [rounded(function(*items)) for items in zip_longest(*stretched)]

    return apply


def rounded(value: Number) -> Number:
    """Floats as float32 holds them: a floor behind a product depends on it."""
    return float(np.float32(value)) if type(value) is float else value


def divide(a: Number, b: Number) -> Number:
    """ONNX divides integers towards zero."""
    if isinstance(a, float) or isinstance(b, float):
        return a / b if b else math.copysign(math.inf, a) if a else math.nan
    return a // b if (a >= 0) == (b > 0) else -(-a // b)


def modulo(a: Number, b: Number) -> Number:
    return math.fmod(a, b) if isinstance(a, float) else a % b


def gather(data: Host, indices: Host, *, axis: int = 0) -> Host:
    return [data[i] for i in indices] if isinstance(indices, list) else data[indices]


def concat(*inputs: Host, axis: int = 0) -> Host:
    return [item for part in inputs for item in part]


def slice_list(data: Host, starts: Host, ends: Host, axes: Host = None, steps: Host = None) -> Host:
    step = one(steps) if steps is not None else 1
    start = max(one(starts), -len(data)) if step < 0 else one(starts)
    return data[slice(start, end_of(one(ends), step, len(data)), step)]


def end_of(end: int, step: int, extent: int) -> int | None:
    """The end for Python's slice: below -extent a negative step runs to the front."""
    return None if step < 0 and end < -extent else end


def one(value: Host) -> Number:
    return value[0] if isinstance(value, list) else value


def unsqueeze(data: Host, axes: Host = None) -> Host:
    return [data]


def squeeze(data: Host, axes: Host = None) -> Host:
    return data[0]


def constant_of_shape(shape: Host, *, value: Host = 0.0) -> Host:
    return [one(value)] * shape[0]


def cast(data: Host, *, to: int, **_: Any) -> Host:
    convert = CASTS[to]
    return [convert(item) for item in data] if isinstance(data, list) else convert(data)


def castable(data: HostType, *, to: int, **_: Any) -> int | None:
    return data.rank if to in CASTS else None


def where(condition: Number, x: Number, y: Number) -> Number:
    return x if condition else y


def reduce_by(function: Callable[[list[Number]], Number]) -> Callable[..., Host]:
    def apply(data: Host, axes: Host = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Host:
        result = rounded(function(data))
        return [result] if keepdims else result

    return apply


def reshape(data: Host, shape: Host, *, allowzero: int = 0) -> Host:
    items = data if isinstance(data, list) else [data]
    return items if shape else items[0]


def highest(*types: HostType, **_: Any) -> int:
    return max(t.rank for t in types)


def same(*types: HostType, **_: Any) -> int:
    return types[0].rank


def one_axis(*types: HostType, axis: int = 0, **_: Any) -> int | None:
    return 1 if min(t.rank for t in types) == 1 and axis in (0, -1) else None


def of_indices(data: HostType, indices: HostType, *, axis: int = 0) -> int | None:
    return indices.rank if data.rank == 1 and axis in (0, -1) else None


def sliced(data: HostType, *_: HostType, **__: Any) -> int | None:
    return 1 if data.rank == 1 else None


def unsqueezed(data: HostType, axes: HostType | list[int] | None = None, **_: Any) -> int | None:
    """From opset 13 on the axes are an input."""
    places = axes.value if isinstance(axes, HostType) else axes
    several = isinstance(places, list) and len(places) != 1
    return 1 if data.rank == 0 and not several else None


def squeezed(data: HostType, *_: HostType, **__: Any) -> int | None:
    return 0 if data.rank == 1 else None


def reduced(data: HostType, *_: HostType, keepdims: int = 1, noop_with_empty_axes: int = 0) -> int | None:
    return int(keepdims) if data.rank == 1 and not noop_with_empty_axes else None


def reshaped(_: HostType, shape: HostType, **__: Any) -> int | None:
    """To one axis or none; more axes need a tensor."""
    rank = len(shape.value) if isinstance(shape.value, list) else 2
    return rank if rank < 2 else None


def filled(shape: HostType, **_: Any) -> int | None:
    """A list of a fixed length; its items are the attribute's."""
    short = isinstance(shape.value, list) and len(shape.value) == 1 and shape.value[0] <= MOST
    return 1 if short else None


def expand(data: Host, shape: Host) -> Host:
    items = data if isinstance(data, list) else [data]
    return items * shape[0] if len(items) == 1 else items


def expanded(_: HostType, shape: HostType) -> int | None:
    return filled(shape)


def elementwise(function: Callable[..., Number]) -> HostOperator:
    return HostOperator(each(function), highest)


CASTS: dict[int, Callable[[Number], Number]] = {
    TensorProto.INT64: int,
    TensorProto.INT32: int,
    TensorProto.BOOL: bool,
    TensorProto.FLOAT: lambda value: rounded(float(value)),
}

HOST: dict[str, HostOperator] = {
    "Abs": elementwise(abs),
    "Add": elementwise(operator.add),
    "And": elementwise(lambda a, b: a and b),
    "Cast": HostOperator(cast, castable),
    "Ceil": elementwise(lambda a: float(math.ceil(a))),
    "Concat": HostOperator(concat, one_axis),
    "ConstantOfShape": HostOperator(constant_of_shape, filled),
    "Div": elementwise(divide),
    "Equal": elementwise(operator.eq),
    "Expand": HostOperator(expand, expanded),
    "Floor": elementwise(lambda a: float(math.floor(a))),
    "Gather": HostOperator(gather, of_indices),
    "Greater": elementwise(operator.gt),
    "GreaterOrEqual": elementwise(operator.ge),
    "Identity": HostOperator(lambda data: data, same),
    "Less": elementwise(operator.lt),
    "LessOrEqual": elementwise(operator.le),
    "Max": elementwise(max),
    "Min": elementwise(min),
    "Mod": elementwise(modulo),
    "Mul": elementwise(operator.mul),
    "Neg": elementwise(operator.neg),
    "Not": elementwise(operator.not_),
    "Or": elementwise(lambda a, b: a or b),
    "ReduceMax": HostOperator(reduce_by(max), reduced),
    "ReduceMin": HostOperator(reduce_by(min), reduced),
    "ReduceProd": HostOperator(reduce_by(math.prod), reduced),
    "ReduceSum": HostOperator(reduce_by(sum), reduced),
    "Reshape": HostOperator(reshape, reshaped),
    "Slice": HostOperator(slice_list, sliced),
    "Squeeze": HostOperator(squeeze, squeezed),
    "Sub": elementwise(operator.sub),
    "Unsqueeze": HostOperator(unsqueeze, unsqueezed),
    "Where": elementwise(where),
}

"""The operators with which graphs compute shapes, as numpy functions of the node and its inputs.

MOVES     elements keep their identity: Gather, Concat, Slice, ...
COMPUTES  arithmetic
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from onnxprune.onnx_file.graph import Node

Array = NDArray[Any]


def gather(node: Node, x: Array, indices: Array) -> Array:
    return np.take(x, indices.astype(np.int64), axis=node.attr("axis", 0))


def concat(node: Node, *parts: Array) -> Array:
    return np.concatenate(
        [np.atleast_1d(p) for p in parts], axis=node.attr("axis", 1 if node.opset < 4 else 0)
    )


def slice_(node: Node, x: Array, *bounds: Array) -> Array:
    if bounds:
        starts, ends = bounds[0], bounds[1]
        axes = bounds[2] if len(bounds) > 2 and bounds[2] is not None else np.arange(len(starts))
        steps = bounds[3] if len(bounds) > 3 and bounds[3] is not None else np.ones(len(starts), int)
    else:
        starts, ends = np.array(node.attr("starts")), np.array(node.attr("ends"))
        axes, steps = np.array(node.attr("axes", range(len(starts)))), np.ones(len(starts), int)
    index: list[slice] = [slice(None)] * x.ndim
    rows = np.stack([np.asarray(part).reshape(-1) for part in (starts, ends, axes, steps)], 1).tolist()
    for start, end, axis, step in rows:
        stop = None if step < 0 and end < -x.shape[axis] else end
        index[axis] = slice(start, stop, step)
    return x[tuple(index)]


def unsqueeze(node: Node, x: Array, axes: Array | None = None) -> Array:
    where = node.attr("axes") if axes is None else [int(a) for a in axes.reshape(-1)]
    return np.expand_dims(x, tuple(where))


def squeeze(node: Node, x: Array, axes: Array | None = None) -> Array:
    where = node.attr("axes") if axes is None else [int(a) for a in axes.reshape(-1)]
    return np.squeeze(x, None if where is None else tuple(where))


def reshape(node: Node, x: Array, shape: Array) -> Array:
    return x.reshape([x.shape[i] if n == 0 else int(n) for i, n in enumerate(shape)])


def cast(node: Node, x: Array, *like: Array) -> Array:
    kind = helper.tensor_dtype_to_np_dtype(node.attr("to")) if not like else like[0].dtype
    return x.astype(kind)


def where(node: Node, condition: Array, a: Array, b: Array) -> Array:
    return np.where(condition, a, b)


def identity(node: Node, x: Array) -> Array:
    return x


def transpose(node: Node, x: Array) -> Array:
    return np.transpose(x, node.attr("perm"))


def expand(node: Node, x: Array, shape: Array) -> Array:
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(shape)))


def divide(node: Node, a: Array, b: Array) -> Array:
    if a.dtype.kind in "iu":
        return np.asarray(np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b)), a.dtype)
    return np.asarray(a / b)


def constant_of_shape(node: Node, shape: Array) -> Array:
    value = node.attr("value")
    if not isinstance(value, TensorProto) or value.data_type not in (TensorProto.INT64, TensorProto.INT32):
        raise LookupError("only integers are numbers of a shape")
    fill = helper.tensor_dtype_to_np_dtype(value.data_type).type(
        (value.int64_data or value.int32_data or [0])[0]
    )
    if value.raw_data:
        fill = np.frombuffer(value.raw_data, helper.tensor_dtype_to_np_dtype(value.data_type))[0]
    return np.full(shape, fill)


def range_(node: Node, start: Array, limit: Array, delta: Array) -> Array:
    return np.arange(start.item(), limit.item(), delta.item(), dtype=start.dtype)


def reduce_(fold: Callable[..., Any]) -> Callable[..., Array]:
    def run(node: Node, x: Array, axes: Array | None = None) -> Array:
        where = node.attr("axes") if axes is None else axes.reshape(-1)
        keep = bool(node.attr("keepdims", 1))
        return np.asarray(
            fold(x, axis=None if where is None else tuple(int(a) for a in where), keepdims=keep)
        )

    return run


def elementwise(function: Callable[..., Any]) -> Callable[..., Array]:
    def run(node: Node, *arrays: Array) -> Array:
        result = arrays[0]
        for other in arrays[1:]:
            result = function(result, other)
        return np.asarray(function(result) if len(arrays) == 1 else result)

    return run


MOVES: dict[str, Callable[..., Array]] = {
    "Gather": gather,
    "Concat": concat,
    "Slice": slice_,
    "Unsqueeze": unsqueeze,
    "Squeeze": squeeze,
    "Reshape": reshape,
    "Identity": identity,
    "Transpose": transpose,
    "Expand": expand,
}
COMPUTES: dict[str, Callable[..., Array]] = {
    "Where": where,
    "Cast": cast,
    "CastLike": cast,
    "Div": divide,
    "ConstantOfShape": constant_of_shape,
    "Range": range_,
    "ReduceProd": reduce_(np.prod),
    "ReduceSum": reduce_(np.sum),
    "ReduceMax": reduce_(np.max),
    "ReduceMin": reduce_(np.min),
    "Add": elementwise(np.add),
    "Sub": elementwise(np.subtract),
    "Mul": elementwise(np.multiply),
    "Mod": elementwise(np.mod),
    "Min": elementwise(np.minimum),
    "Max": elementwise(np.maximum),
    "Pow": elementwise(np.power),
    "Equal": elementwise(np.equal),
    "Less": elementwise(np.less),
    "Greater": elementwise(np.greater),
    "LessOrEqual": elementwise(np.less_equal),
    "GreaterOrEqual": elementwise(np.greater_equal),
    "And": elementwise(np.logical_and),
    "Or": elementwise(np.logical_or),
    "Not": elementwise(np.logical_not),
    "Neg": elementwise(np.negative),
    "Abs": elementwise(np.abs),
    "Floor": elementwise(np.floor),
    "Ceil": elementwise(np.ceil),
    "Round": elementwise(np.round),
    "Sqrt": elementwise(np.sqrt),
}
COMPARE = ("Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "And", "Or")
BINARY = ("Add", "Sub", "Mul", "Div", "Mod", "Min", "Max", "Pow", *COMPARE)
RESIZES = {  # inputs whose numbers decide how many elements the result has
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "Range": (0, 1, 2),
    "Reshape": (1,),
    "Slice": (1, 2, 3, 4),
}
INDEX_SLOTS = {
    "Gather": (1,),
    "Slice": (1, 2, 3, 4),
    "Unsqueeze": (1,),
    "Squeeze": (1,),
    "Reshape": (1,),
    "Expand": (1,),
}


def attempt(node: Node, function: Callable[..., Array], inputs: Sequence[Array | None]) -> Array | None:
    """The result; None where the numbers do not fit."""
    if any(array is None for array, name in zip(inputs, node.inputs, strict=True) if name):
        return None
    try:
        with np.errstate(all="ignore"):
            return np.asarray(function(node, *inputs))
    except (LookupError, TypeError, ValueError, ArithmeticError):
        return None

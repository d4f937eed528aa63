"""Small integers that a graph computes from shapes: their values, and where each of them comes from.

Exporters write shapes as Shape-Gather-Concat chains. Each such node is evaluated here with numpy under
the assumed shapes; an element that only travelled (Gather, Concat, ...) keeps its origin: a literal in the
file, or an extent of some value. After pruning, `HostValues.evaluate` computes the same chains again
under the new shapes, which tells whether a Reshape still gets the extents that it needs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from onnxprune.onnx_file.graph import Edge, Graph, Node

Array = NDArray[Any]
SMALL_INTS = 4096
SMALL_FLOATS = 8


@dataclass(frozen=True)
class Literal:
    """One element of a constant, as it enters through one edge."""

    tensor: str
    index: int
    edge: Edge


@dataclass(frozen=True)
class Extent:
    """The extent of one axis of a value."""

    value: str
    axis: int


Origin = Literal | Extent | None


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
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        start, end, step = int(start), int(end), int(step)
        stop = None if step < 0 and end < -x.shape[axis] else end
        index[int(axis)] = slice(start, stop, step)
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


def divide(node: Node, a: Array, b: Array) -> Array:
    if a.dtype.kind in "iu":
        return (np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))).astype(a.dtype)
    return a / b


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
    "Where": where,
    "Transpose": transpose,
}
COMPUTES: dict[str, Callable[..., Array]] = {
    "Cast": cast,
    "CastLike": cast,
    "Div": divide,
    "ConstantOfShape": constant_of_shape,
    "Range": range_,
    "ReduceProd": reduce_(np.prod),
    "ReduceSum": reduce_(np.sum),
    "ReduceMax": reduce_(np.max),
    "ReduceMin": reduce_(np.min),
    "Expand": lambda node, x, shape: np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(shape))),
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
INDEX_SLOTS = {
    "Gather": (1,),
    "Slice": (1, 2, 3, 4),
    "Unsqueeze": (1,),
    "Squeeze": (1,),
    "Reshape": (1,),
    "Where": (0,),
}


@dataclass
class HostValue:
    """A small computed array, the origin of each element, and every extent it depends on."""

    array: Array
    origins: Array  # object array of the same shape
    behind: frozenset[Extent]


@dataclass
class HostValues:
    """The host values of a graph, found node by node in topological order."""

    graph: Graph
    found: dict[str, HostValue] = field(default_factory=dict)
    program: list[Node] = field(default_factory=list)

    def visit(self, node: Node) -> bool:
        """Evaluate the node if it computes small integers; True if it did."""
        if node.domain or len(node.outputs) != 1:
            return False
        if node.op_type in ("Shape", "Size"):
            return self._visit_shape(node)
        function = MOVES.get(node.op_type) or COMPUTES.get(node.op_type)
        if function is None:
            return False
        inputs = [self._input(Edge(node.index, slot), name) for slot, name in enumerate(node.inputs)]
        if not inputs or any(i is None for i, name in zip(inputs, node.inputs, strict=True) if name):
            return False
        value = apply(node, function, inputs)
        if value is None or not (value.behind or value.array.dtype.kind in "iub"):
            return False
        self.found[node.outputs[0]] = value
        self.program.append(node)
        return True

    def _visit_shape(self, node: Node) -> bool:
        shape = self.graph.shapes.get(node.inputs[0])
        if shape is None:
            return False
        extents = [Extent(node.inputs[0], axis) for axis in range(len(shape))]
        behind = frozenset(extents)
        if node.op_type == "Size":
            array, origins = np.array(np.prod(shape, dtype=np.int64)), np.array(None)
        else:
            part = slice(node.attr("start", 0), node.attr("end", len(shape)))
            array, origins = np.array(shape, np.int64)[part], objects(extents)[part]
        self.found[node.outputs[0]] = HostValue(array, origins, behind)
        self.program.append(node)
        return True

    def _input(self, edge: Edge, name: str) -> HostValue | None:
        if name in self.found or not name:
            return self.found.get(name)
        array = self._small_constant(name)
        if array is None:
            return None
        origins = objects([Literal(name, i, edge) for i in range(array.size)]).reshape(array.shape)
        return HostValue(array, origins, frozenset())

    def _small_constant(self, name: str) -> Array | None:
        constant = self.graph.initializers.get(name)
        if constant is None:
            return None
        limit = SMALL_INTS if constant.dtype.kind in "iub" else SMALL_FLOATS
        return constant.array() if constant.size <= limit else None

    def value(self, name: str) -> Array | None:
        """The computed array of that name; None if it is not a host value (constants are not)."""
        return self.found[name].array if name in self.found else None

    def extents_behind(self, name: str) -> list[tuple[str, int]]:
        found = self.found.get(name)
        return [(e.value, e.axis) for e in found.behind] if found else []

    def origin(self, edge: Edge, name: str, index: int) -> Origin:
        found = self._input(edge, name)
        return found.origins.reshape(-1)[index] if found is not None and index < found.array.size else None

    def literal(self, edge: Edge, name: str, index: int) -> Literal | None:
        origin = self.origin(edge, name, index)
        return origin if isinstance(origin, Literal) else None

    def evaluate(
        self, shapes: Callable[[str], tuple[int, ...]], patches: Mapping[Literal, int]
    ) -> dict[str, Array]:
        """All host values under other shapes and with some literals replaced."""
        by_edge: dict[Edge, list[Literal]] = {}
        for literal in patches:
            by_edge.setdefault(literal.edge, []).append(literal)
        values: dict[str, Array] = {}

        def read(edge: Edge, name: str) -> Array | None:
            if not name:
                return None
            if name in values:
                return values[name]
            array = self.graph.initializers[name].array()
            if edge in by_edge:
                array = array.copy()
                for literal in by_edge[edge]:
                    array.reshape(-1)[literal.index] = patches[literal]
            return array

        for node in self.program:
            if node.op_type == "Size":
                values[node.outputs[0]] = np.array(np.prod(shapes(node.inputs[0]), dtype=np.int64))
            elif node.op_type == "Shape":
                extents = np.array(shapes(node.inputs[0]), np.int64)
                values[node.outputs[0]] = extents[node.attr("start", 0) : node.attr("end", len(extents))]
            else:
                function = MOVES.get(node.op_type) or COMPUTES[node.op_type]
                inputs = [read(Edge(node.index, slot), name) for slot, name in enumerate(node.inputs)]
                values[node.outputs[0]] = function(node, *inputs)
        return values


def objects(items: Sequence[Any]) -> Array:
    array = np.empty(len(items), object)
    array[:] = items
    return array


def apply(node: Node, function: Callable[..., Array], inputs: Sequence[HostValue | None]) -> HostValue | None:
    """The result of a host node; None where its numbers do not fit (it is left to the operators)."""
    try:
        with np.errstate(all="ignore"):
            array = function(node, *(None if i is None else i.array for i in inputs))
            origins = np.full(array.shape, None, object)
            if node.op_type in MOVES or (node.op_type in ("Cast", "CastLike") and array.dtype.kind in "iu"):
                origins = travelled(node, function, inputs)
    except (LookupError, TypeError, ValueError, ArithmeticError):
        return None
    if array.size > SMALL_INTS:
        return None
    behind = frozenset[Extent]().union(*(i.behind for i in inputs if i is not None))
    return HostValue(array, origins, behind)


def travelled(node: Node, function: Callable[..., Array], inputs: Sequence[HostValue | None]) -> Array:
    """The same movement on the origins; index inputs keep their numbers."""
    if node.op_type in ("Cast", "CastLike"):
        return inputs[0].origins if inputs[0] is not None else objects([])
    indices = INDEX_SLOTS.get(node.op_type, ())
    return function(
        node,
        *(
            None if i is None else (i.array if slot in indices else i.origins)
            for slot, i in enumerate(inputs)
        ),
    )

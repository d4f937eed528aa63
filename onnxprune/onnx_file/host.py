"""Small integers that a graph computes from shapes: their values, and where each of them comes from.

Exporters write shapes as Shape-Gather-Concat chains. Each such node is evaluated here with numpy under
the assumed shapes; an element that only travelled (Gather, Concat, ...) keeps its origin: a literal in the
file, or an extent of some value. A value that follows from fixed extents alone is as good as a literal where
it is read. After pruning, `HostValues.evaluate` computes the same chains again
under the new shapes, which tells whether a Reshape still gets the extents that it needs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
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
    """One element of a constant (or of a value that is constant for all inputs), as it enters an edge."""

    tensor: str
    index: int
    edge: Edge


@dataclass(frozen=True)
class Extent:
    """The extent of one axis of a value."""

    value: str
    axis: int


@dataclass(frozen=True)
class Computed:
    """The result of arithmetic on these extents."""

    extents: frozenset[Extent]


Origin = Literal | Extent | Computed | None


def extents_of(origin: Origin) -> frozenset[Extent]:
    if isinstance(origin, Extent):
        return frozenset([origin])
    return origin.extents if isinstance(origin, Computed) else frozenset()


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
    "Expand": (1,),
    "Where": (0,),
}


@dataclass
class HostValue:
    """A small computed array and the origin of each element."""

    array: Array
    origins: Array  # of Origin, in the same shape

    @cached_property
    def behind(self) -> frozenset[Extent]:
        """Every extent that an element depends on."""
        return frozenset[Extent]().union(*(extents_of(origin) for origin in self.origins.reshape(-1)))


def never(_: Extent) -> bool:
    return False


@dataclass
class HostValues:
    """The host values of a graph, found node by node in topological order.

    `is_static` tells whether an extent is the same for all inputs of the model.
    """

    graph: Graph
    is_static: Callable[[Extent], bool] = never
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
        indices = INDEX_SLOTS.get(node.op_type, ())
        computed = any(name in self.found for slot, name in enumerate(node.inputs) if slot not in indices)
        if value is None or not (computed or value.array.dtype.kind in "iub"):
            return False
        self.found[node.outputs[0]] = value
        self.program.append(node)
        return True

    def _visit_shape(self, node: Node) -> bool:
        shape = self.graph.shapes.get(node.inputs[0])
        if shape is None:
            return False
        extents = [Extent(node.inputs[0], axis) for axis in range(len(shape))]
        if node.op_type == "Size":
            array, origins = np.array(np.prod(shape, dtype=np.int64)), objects([Computed(frozenset(extents))])
            origins = origins.reshape(())
        else:
            part = slice(node.attr("start", 0), node.attr("end", len(shape)))
            array, origins = np.array(shape, np.int64)[part], objects(extents)[part]
        self.found[node.outputs[0]] = HostValue(array, origins)
        self.program.append(node)
        return True

    def _input(self, edge: Edge, name: str) -> HostValue | None:
        if not name:
            return None
        if name in self.found:
            value = self.found[name]
            constant = all(self.is_static(extent) for extent in value.behind)
            return HostValue(value.array, literals(name, edge, value.array)) if constant else value
        array = self._small_constant(name)
        return None if array is None else HostValue(array, literals(name, edge, array))

    def _small_constant(self, name: str) -> Array | None:
        constant = self.graph.initializers.get(name)
        if constant is None:
            return None
        limit = SMALL_INTS if constant.dtype.kind in "iub" else SMALL_FLOATS
        return constant.array() if constant.size <= limit else None

    def value(self, name: str) -> Array | None:
        """The computed array of that name; None if it is not a host value (constants are not)."""
        return self.found[name].array if name in self.found else None

    def origins(self, edge: Edge, name: str) -> list[Origin]:
        """Where each element comes from that an edge reads; [] where it is computed from data."""
        found = self._input(edge, name)
        return [] if found is None else list(found.origins.reshape(-1))

    def literal(self, edge: Edge, name: str, index: int) -> Literal | None:
        origins = self.origins(edge, name)
        origin = origins[index] if index < len(origins) else None
        return origin if isinstance(origin, Literal) else None

    def original(self, name: str) -> Array:
        """The values of a constant or host value in the file as it is."""
        return self.found[name].array if name in self.found else self.graph.initializers[name].array()

    def evaluate(
        self, shapes: Callable[[str], tuple[int, ...]], patches: Mapping[Literal, Any]
    ) -> Callable[[Edge, str], Array]:
        """What each edge reads under other shapes and with some literals replaced."""
        by_edge: dict[Edge, list[Literal]] = {}
        for literal in patches:
            by_edge.setdefault(literal.edge, []).append(literal)
        values: dict[str, Array] = {}

        def read(edge: Edge, name: str) -> Array:
            if edge not in by_edge:
                return values[name] if name in values else self.original(name)
            array = self.original(name).copy()
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
                inputs = [read(Edge(node.index, s), n) if n else None for s, n in enumerate(node.inputs)]
                values[node.outputs[0]] = function(node, *inputs)
        return read


def objects(items: Sequence[Any]) -> Array:
    array = np.empty(len(items), object)
    array[:] = items
    return array


def literals(name: str, edge: Edge, array: Array) -> Array:
    return objects([Literal(name, index, edge) for index in range(array.size)]).reshape(array.shape)


def apply(node: Node, function: Callable[..., Array], inputs: Sequence[HostValue | None]) -> HostValue | None:
    """The result of a host node; None where its numbers do not fit (it is left to the operators)."""
    try:
        with np.errstate(all="ignore"):
            array = np.asarray(function(node, *(None if i is None else i.array for i in inputs)))
            if array.size > SMALL_INTS:
                return None
            return HostValue(array, travelled(node, function, inputs, array))
    except (LookupError, TypeError, ValueError, ArithmeticError):
        return None


def travelled(
    node: Node, function: Callable[..., Array], inputs: Sequence[HostValue | None], result: Array
) -> Array:
    """Origins of the elements of a result: moved along, or computed from everything that went in."""
    indices = INDEX_SLOTS.get(node.op_type, ())
    present = [i for i in inputs if i is not None]
    if node.op_type in ("Cast", "CastLike") and result.dtype.kind in "iu":
        return present[0].origins
    if node.op_type in MOVES and not any(i.behind for slot, i in enumerate(inputs) if i and slot in indices):
        arrays = [
            None if i is None else (i.array if slot in indices else i.origins)
            for slot, i in enumerate(inputs)
        ]
        moved = function(node, *arrays)
        return moved if isinstance(moved, np.ndarray) else objects([moved]).reshape(())
    behind = frozenset[Extent]().union(*(i.behind for i in present))
    origins = np.empty(result.shape, object)
    origins[...] = Computed(behind)
    return origins

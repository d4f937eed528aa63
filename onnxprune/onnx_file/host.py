"""Small integers that a graph computes from shapes: their values, and where each of them comes from.

Exporters write shapes as Shape-Gather-Concat chains. Each such node is evaluated here with numpy under
the assumed shapes; an element that only travelled (Gather, Concat, ...) keeps its origin: a literal in the
file, or an extent of some value. A value that follows from fixed extents alone is as good as a literal where
it is read. After pruning, `HostValues.evaluate` computes the same chains again
under the new shapes, which tells whether a Reshape still gets the extents that it needs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial, reduce
from typing import Any

import numpy as np

from onnxprune.onnx_file.blame import blaming
from onnxprune.onnx_file.graph import Edge, Graph, Node
from onnxprune.onnx_file.shape_functions import (
    BINARY,
    COMPUTES,
    INDEX_SLOTS,
    MOVES,
    RESIZES,
    Array,
    attempt,
)

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
    """The result of arithmetic on these extents; it is proportional to the literal `scale`."""

    extents: frozenset[Extent]
    scale: Literal | None = None


Origin = Literal | Extent | Computed | None


def extents_of(origin: Origin) -> frozenset[Extent]:
    if isinstance(origin, Extent):
        return frozenset([origin])
    return origin.extents if isinstance(origin, Computed) else frozenset()


def scale_of(origin: Origin) -> Literal | None:
    return origin.scale if isinstance(origin, Computed) else origin if isinstance(origin, Literal) else None


def result_of(a: Origin, b: Origin, *, product: bool) -> Computed:
    """Origin of a number computed from two."""
    scale = (scale_of(a) or scale_of(b)) if product else None
    return Computed(extents_of(a) | extents_of(b), scale)


@dataclass
class HostValue:
    """A small computed array and the origin of each element."""

    array: Array
    origins: Array  # of Origin, in the same shape
    sized_by: frozenset[Extent] = frozenset()  # what the number of elements depends on

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
        """Evaluate the node if it computes small integers; True if it did.

        Raises:
            ModelError: E309, the node breaks ONNX's rules.
        """
        if node.domain or len(node.outputs) != 1:
            return False
        with blaming(self.graph, node):
            return self._visit(node)

    def _visit(self, node: Node) -> bool:
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
            constant = all(self._is_fixed(extent) for extent in value.behind)
            return HostValue(value.array, literals(name, edge, value.array)) if constant else value
        array = self._small_constant(name)
        return None if array is None else HostValue(array, literals(name, edge, array))

    def _is_fixed(self, extent: Extent) -> bool:
        """The same for all inputs, as the length of most computed shapes is too."""
        if extent.value in self.found:
            return all(self._is_fixed(behind) for behind in self.found[extent.value].sized_by)
        return self.is_static(extent)

    def _small_constant(self, name: str) -> Array | None:
        constant = self.graph.initializers.get(name)
        if constant is None:
            return None
        if constant.dtype.kind in "iu" and constant.dtype.itemsize < 4:
            return None  # quantised weights, never numbers of a shape
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
    ) -> Callable[[Edge, str], Array | None]:
        """What each edge reads under other shapes and with some literals replaced; None where that fails."""
        by_edge: dict[Edge, list[Literal]] = {}
        for literal in patches:
            by_edge.setdefault(literal.edge, []).append(literal)
        values: dict[str, Array | None] = {}

        def read(edge: Edge, name: str) -> Array | None:
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
                values[node.outputs[0]] = attempt(node, function, inputs)
        return read


def objects(items: Sequence[Any]) -> Array:
    array = np.empty(len(items), object)
    array[:] = items
    return array


def literals(name: str, edge: Edge, array: Array) -> Array:
    return objects([Literal(name, index, edge) for index in range(array.size)]).reshape(array.shape)


def apply(node: Node, function: Callable[..., Array], inputs: Sequence[HostValue | None]) -> HostValue | None:
    """The result of a host node; None where its numbers do not fit (it is left to the operators)."""
    array = attempt(node, function, [None if i is None else i.array for i in inputs])
    if array is None or array.size > SMALL_INTS:
        return None
    return HostValue(array, travelled(node, function, inputs, array), sizes_behind(node, inputs))


def sizes_behind(node: Node, inputs: Sequence[HostValue | None]) -> frozenset[Extent]:
    """Every extent that the number of elements of a result depends on."""
    slots = RESIZES.get(node.op_type, ())
    parts = [i.behind if slot in slots else i.sized_by for slot, i in enumerate(inputs) if i]
    return frozenset[Extent]().union(*parts)


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
    if node.op_type == "Where":
        return chosen(*present)
    product = node.op_type in ("Mul", "ReduceProd")
    join = np.frompyfunc(partial(result_of, product=product), 2, 1)
    if node.op_type in BINARY:
        return np.asarray(reduce(join, [i.origins for i in present]), object).reshape(result.shape)
    everything = [origin for i in present for origin in i.origins.reshape(-1)]
    origins = np.empty(result.shape, object)
    origins[...] = reduce(partial(result_of, product=product), everything, Computed(frozenset()))
    return origins


def chosen(condition: HostValue, yes: HostValue, no: HostValue) -> Array:
    """Origins of the elements of a Where: of those that literals alone choose, where they come from.

    torch.Tensor.expand traced with a free batch is Where(shape == -1, 1, shape): the batch is computed, a
    count of channels travels.
    """

    def one(decided_by: Origin, bit: bool, yes: Origin, no: Origin) -> Origin:
        if extents_of(decided_by):
            return Computed(extents_of(decided_by) | extents_of(yes) | extents_of(no))
        return yes if bit else no

    origins = np.frompyfunc(one, 4, 1)(condition.origins, condition.array, yes.origins, no.origins)
    return np.asarray(origins, object)

"""The lens through which the analysis sees a model: nodes, constants and concrete shapes.

The ModelProto stays the truth and is never changed here; pruning patches a copy of it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, helper

from onnxprune.onnx_file.initializer import Initializer, constant_of
from onnxprune.onnx_file.ordering import captures, sort_nodes

Dim = int | str | None
UNSORTED = "nodes were not in topological order, as ONNX wants them; the written model has them sorted"


@dataclass(frozen=True)
class ValueInfo:
    """A graph input or output. `dims` is None where the rank is unknown; a str is a symbolic extent."""

    name: str
    dtype: np.dtype[Any] | None
    dims: tuple[Dim, ...] | None


@dataclass(frozen=True)
class Edge:
    """One input slot of one node."""

    node: int
    slot: int


@dataclass(frozen=True)
class Node:
    """A node as the operators see it. `opset` is the version of its own domain."""

    index: int
    proto: NodeProto
    opset: int

    @property
    def op_type(self) -> str:
        return self.proto.op_type

    @cached_property
    def domain(self) -> str:
        return "" if self.proto.domain == "ai.onnx" else self.proto.domain

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        return tuple(self.proto.input)

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        return tuple(self.proto.output)

    @property
    def name(self) -> str:
        """The node's name, or its first output where it has none."""
        return self.proto.name or next((o for o in self.outputs if o), f"#{self.index}")

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """Attribute values as Python values; references and subgraphs stay protos."""
        return {a.name: attribute_value(a) for a in self.proto.attribute}

    def attr(self, name: str, default: Any = None) -> Any:
        return self.attributes.get(name, default)

    def __str__(self) -> str:
        return f"{self.name} ({self.op_type})"


def attribute_value(attribute: AttributeProto) -> Any:
    value = helper.get_attribute_value(attribute)
    return value.decode(errors="replace") if isinstance(value, bytes) else value


@dataclass
class Graph:
    """A model seen as nodes in topological order.

    Attributes:
        path: Where the model was read; external data lies beside it.
        model: The truth. Tensors with external data are not loaded.
        nodes: In topological order, Constant nodes left out (they are initializers here).
        initializers: By name, Constant nodes included; arrays are read on demand.
        inputs, outputs: Of the graph; inputs that have an initializer (IR 3) are left out.
        shapes: Extents of each value whose shape is known, under the `assumed` input shapes.
        types: Element type (TensorProto.DataType) of each value where it is known.
        assumed: The concrete input shapes that `shapes` was derived from.
        warnings: What the user should know about how the model was read.
    """

    path: Path
    model: ModelProto
    nodes: list[Node]
    initializers: Mapping[str, Initializer]
    inputs: tuple[ValueInfo, ...]
    outputs: tuple[ValueInfo, ...]
    opset: int
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    types: dict[str, int] = field(default_factory=dict)
    assumed: dict[str, tuple[int, ...]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @cached_property
    def consumers(self) -> dict[str, list[Edge]]:
        """Every edge that reads a value; captures of subgraphs have slot -1."""
        edges: dict[str, list[Edge]] = defaultdict(list)
        for node in self.nodes:
            for slot, name in enumerate(node.inputs):
                if name:
                    edges[name].append(Edge(node.index, slot))
            for name in captures(node.proto):
                edges[name].append(Edge(node.index, -1))
        return edges

    @cached_property
    def by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}


def collect_initializers(graph: GraphProto, folder: Path) -> dict[str, Initializer]:
    found = {t.name: Initializer(t.name, t, folder) for t in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.domain in ("", "ai.onnx"):
            tensor = constant_of(node)
            if tensor is not None and node.output:
                found[node.output[0]] = Initializer(node.output[0], tensor, folder, node)
    return found


def value_infos(values: Iterable[Any], skip: Mapping[str, Any] = {}) -> tuple[ValueInfo, ...]:
    infos = []
    for value in values:
        if value.name in skip:
            continue
        tensor = value.type.tensor_type
        dims: tuple[Dim, ...] | None = None
        if tensor.HasField("shape"):
            # some exporters write -1 (or 0) for a free extent
            dims = tuple(d.dim_value if d.dim_value > 0 else (d.dim_param or None) for d in tensor.shape.dim)
        known = tensor.elem_type and tensor.elem_type in helper.get_all_tensor_dtypes()
        dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type) if known else None
        infos.append(ValueInfo(value.name, dtype, dims))
    return tuple(infos)


def view(model: ModelProto, path: Path) -> Graph:
    """The lens over a model, without shapes; nodes that are not in topological order are sorted in place.

    Raises:
        ModelError: E309, where nodes wait for each other or for a value that nobody makes.
    """
    graph = model.graph
    warnings = [UNSORTED] if sort_nodes(graph, path) else []
    initializers = collect_initializers(graph, path.parent)
    inputs = value_infos(graph.input, initializers)
    versions = {("" if o.domain == "ai.onnx" else o.domain): o.version for o in model.opset_import}
    nodes = [
        Node(index, proto, versions.get("" if proto.domain == "ai.onnx" else proto.domain, 1))
        for index, proto in enumerate(
            p for p in graph.node if p.output[:1] != [] and not is_constant(p, initializers)
        )
    ]
    outputs = value_infos(graph.output)
    return Graph(path, model, nodes, initializers, inputs, outputs, versions.get("", 1), warnings=warnings)


def is_constant(node: NodeProto, initializers: Mapping[str, Initializer]) -> bool:
    return node.op_type == "Constant" and node.output[0] in initializers

"""A copy of the original ModelProto under change: nodes by their output, constants by their name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from onnxprune.onnx_file.graph import Edge, Graph
from onnxprune.onnx_file.initializer import Initializer
from onnxprune.onnx_file.serializing import assign

Cut = Callable[[Initializer], NDArray[Any] | None]


def describe(target: TensorProto, source: TensorProto) -> TensorProto:
    """All but the values of a tensor, in place."""
    target.name, target.data_type = source.name, source.data_type
    if source.HasField("doc_string"):
        target.doc_string = source.doc_string
    if "metadata_props" in source.DESCRIPTOR.fields_by_name:
        target.metadata_props.extend(source.metadata_props)
    return target


@dataclass
class Patch:
    """The copy, and where things are in it."""

    graph: Graph
    model: ModelProto
    nodes: dict[str, NodeProto]  # by first output that has a name
    tensors: dict[str, TensorProto]  # initializers only
    copies: dict[tuple[str, bytes], str] = field(default_factory=dict)

    @staticmethod
    def of(graph: Graph, cut: Cut | None = None) -> "Patch":
        """A copy of the graph's model; `cut` gives the new values of a constant, None where it stays.

        Initializers are cut while they are copied: memory never holds the whole model twice.
        """
        source = graph.model
        model = ModelProto()
        for part, value in source.ListFields():
            if part.name != "graph":
                assign(model, part.name, value)
        for part, value in source.graph.ListFields():
            if part.name != "initializer":
                assign(model.graph, part.name, value)
        for tensor in source.graph.initializer:
            array = cut(graph.initializers[tensor.name]) if cut is not None else None
            if array is None:
                model.graph.initializer.add().CopyFrom(tensor)
            else:
                refill(describe(model.graph.initializer.add(), tensor), array)
        nodes = {next((o for o in n.output if o), ""): n for n in model.graph.node}
        patch = Patch(graph, model, nodes, {t.name: t for t in model.graph.initializer})
        if cut is not None:
            for constant in graph.initializers.values():
                array = cut(constant) if constant.node is not None else None
                if array is not None:
                    patch.replace(constant.name, array)
        return patch

    def node(self, index: int) -> NodeProto:
        """The copy of a node of the lens."""
        return self.nodes[next(o for o in self.graph.nodes[index].outputs if o)]

    def replace(self, name: str, array: NDArray[Any]) -> None:
        """Give a constant new values, in place; its type stays."""
        if name in self.tensors:
            refill(self.tensors[name], array)
            return
        for attribute in self.nodes[name].attribute:
            if attribute.name == "value":
                refill(attribute.t, array)
            elif attribute.name in ("value_ints", "value_floats"):
                field_ = attribute.ints if attribute.name == "value_ints" else attribute.floats
                del field_[:]
                field_.extend(array.tolist())
            elif attribute.name == "value_int":
                attribute.i = int(array)

    def replace_reads(self, name: str, arrays: Mapping[Edge, NDArray[Any]]) -> None:
        """Give what these edges read of one value other numbers, in place; its other readers keep theirs."""
        others = {*self.graph.consumers[name]} - {*arrays} or name in {o.name for o in self.graph.outputs}
        free = name in self.graph.initializers and not others
        in_place = next(iter(arrays.values())) if free else None
        for edge, array in arrays.items():
            if in_place is None or not np.array_equal(array, in_place):
                self.node(edge.node).input[edge.slot] = self.copy_of(name, array)
        if in_place is not None:
            self.replace(name, in_place)

    def copy_of(self, name: str, array: NDArray[Any]) -> str:
        """Name of a new initializer with these values; equal copies of one constant are made once."""
        key = name, array.tobytes()
        if key not in self.copies:
            fresh = self.fresh_name(name)
            self.add(fresh, array)
            self.copies[key] = fresh
        return self.copies[key]

    def fresh_name(self, base: str) -> str:
        taken = (
            self.tensors.keys() | self.graph.shapes.keys() | {o for n in self.graph.nodes for o in n.outputs}
        )
        return next(n for n in (f"{base}_pruned{i or ''}" for i in range(len(taken) + 1)) if n not in taken)

    def add(self, name: str, array: NDArray[Any]) -> None:
        tensor = self.model.graph.initializer.add()
        tensor.CopyFrom(numpy_helper.from_array(np.asarray(array, order="C"), name))
        self.tensors[name] = tensor

    def set_attribute(self, index: int, name: str, value: float | Sequence[int]) -> None:
        """Set a number or a list of integers, in place; the attribute may be new."""
        node = self.node(index)
        found = next((a for a in node.attribute if a.name == name), None)
        made = helper.make_attribute(
            name, value, attr_type=AttributeProto.INTS if isinstance(value, Sequence) else None
        )
        if found is None:
            node.attribute.append(made)
        else:
            found.CopyFrom(made)

    def drop_attribute(self, index: int, name: str) -> None:
        node = self.node(index)
        kept = [a for a in node.attribute if a.name != name]
        if len(kept) < len(node.attribute):
            del node.attribute[:]
            node.attribute.extend(kept)


def refill(tensor: TensorProto, array: NDArray[Any]) -> None:
    """New dims and data, in place; name, type and doc string stay, external data becomes internal."""
    made = numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape))
    assert made.data_type == tensor.data_type, f"{tensor.name}: type would change"
    for field_ in ("float_data", "int32_data", "int64_data", "double_data", "uint64_data", "external_data"):
        tensor.ClearField(field_)
    tensor.ClearField("data_location")
    del tensor.dims[:]
    tensor.dims.extend(array.shape)
    tensor.raw_data = made.raw_data

"""A copy of the model with the edits of a batch that was followed, and its batch axis symbolic."""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, ValueInfoProto, helper, numpy_helper

from onnxprune.converters.batch.search import Found
from onnxprune.converters.batch.types import Become, Edit, Entry, MoveFirst, SetInput, TileInput, Times
from onnxprune.onnx_file.graph import Graph
from onnxprune.onnx_file.ordering import captures
from onnxprune.onnx_file.patch import Patch


class Editor:
    """The copy under change: new nodes are made here and put before the nodes that read them."""

    def __init__(self, graph: Graph, batch_input: str) -> None:
        self.patch = Patch.of(graph)
        self.batch_input = batch_input
        self.taken = names(graph)
        self.first: list[NodeProto] = []  # before every other node
        self.made: list[NodeProto] = []  # before the node in hand
        self.batch = ""

    def fresh(self, base: str) -> str:
        name = next(n for i in count() if (n := f"{base}_batch{i or ''}") not in self.taken)
        self.taken.add(name)
        return name

    def constant(self, values: Sequence[int], base: str) -> str:
        tensor = numpy_helper.from_array(np.array(values, np.int64))
        return self._add("Constant", [], base, value=tensor)

    def _add(self, operator: str, inputs: list[str], base: str, **attributes: Any) -> str:
        name = self.fresh(base)
        self.made.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def batch_length(self) -> str:
        """A vector of one element: the batch."""
        if not self.batch:
            kept, self.made = self.made, self.first
            shape = self._add("Shape", [self.batch_input], "shape")
            self.batch = self._add("Gather", [shape, self.constant([0], "first")], "length", axis=0)
            self.made = kept
        return self.batch

    def vector(self, entries: Sequence[Entry], base: str) -> str:
        """A vector of integers, some of them a multiple of the batch."""
        if not any(isinstance(entry, Times) for entry in entries):
            return self.constant([e for e in entries if isinstance(e, int)], base)
        parts = [
            self.multiple(entry.factor, base) if isinstance(entry, Times) else self.constant([entry], base)
            for entry in entries
        ]
        return self._add("Concat", parts, base, axis=0)

    def multiple(self, factor: int, base: str) -> str:
        batch = self.batch_length()
        return batch if factor == 1 else self._add("Mul", [batch, self.constant([factor], base)], base)

    def edit(self, node: NodeProto, edit: Edit) -> None:
        """Change the node, in place."""
        base = next(o for o in node.output if o)
        if isinstance(edit, SetInput):
            node.input[edit.slot] = self.vector(edit.entries, base)
        elif isinstance(edit, TileInput):
            repeats = [Times(1) if axis == edit.axis else 1 for axis in range(edit.rank)]
            inputs = [node.input[edit.slot], self.vector(repeats, base)]
            node.input[edit.slot] = self._add("Tile", inputs, base)
        elif isinstance(edit, MoveFirst):
            apart = [node.input[edit.slot], self.constant([edit.before, -1, edit.after], base)]
            parts = self._add("Reshape", apart, base)
            node.input[edit.slot] = self._add("Transpose", [parts], base, perm=[1, 0, 2])
        else:
            self.become(node, edit, base)

    def become(self, node: NodeProto, edit: Become, base: str) -> None:
        node.op_type = "Identity" if edit.entries is None else "Reshape"
        del node.attribute[:], node.input[1:]
        if edit.entries is not None:
            node.input.append(self.vector(edit.entries, base))

    def finish(self, edits: Mapping[int, tuple[Edit, ...]]) -> ModelProto:
        """The copy with all edits made."""
        wanted = {next(o for o in self.patch.node(i).output if o): todo for i, todo in edits.items()}
        nodes: list[NodeProto] = []
        for node in self.patch.model.graph.node:
            self.made = []
            for edit in wanted.get(next((o for o in node.output if o), ""), ()):
                self.edit(node, edit)
            nodes += [*self.made, node]
        graph = self.patch.model.graph
        del graph.node[:], graph.value_info[:]
        graph.node.extend([*self.first, *nodes])
        return self.patch.model


def names(graph: Graph) -> set[str]:
    """Every name that a new value or node must not have."""
    protos = [*graph.model.graph.node]
    values = {*graph.initializers, *(i.name for i in graph.model.graph.input)}
    return values.union(*({n.name, *n.output, *n.input, *captures(n)} for n in protos))


def freed(graph: Graph, found: Found, inputs: tuple[str, ...]) -> ModelProto:
    """A copy of the model whose batch axis is symbolic."""
    model = Editor(graph, inputs[0]).finish(found.edits)
    symbol = symbol_for(graph, inputs)
    for value in [*model.graph.input, *model.graph.output]:
        place = found.places.get(value.name)
        if place is not None:
            free_axis(value, place.axis, symbol)
    return model


def symbol_for(graph: Graph, inputs: tuple[str, ...]) -> str:
    """The name that the batch has already, or a new one."""
    dims = {value.name: value.dims or () for value in graph.inputs}
    own = [d for name in inputs if isinstance(d := dims[name][0], str)]
    used = {d for value in graph.inputs for d in value.dims or () if isinstance(d, str)}
    return own[0] if own else next(n for i in count() if (n := f"batch{i or ''}") not in used)


def free_axis(value: ValueInfoProto, axis: int, symbol: str) -> None:
    """Make an extent symbolic, in place; one that is a multiple of the batch becomes unknown."""
    dims = value.type.tensor_type.shape.dim
    if axis < len(dims):
        alone = dims[axis].dim_value <= 1
        dims[axis].Clear()
        if alone:
            dims[axis].dim_param = symbol

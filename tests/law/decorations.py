"""The same model written in another way: shared constants, Constant nodes, weights behind other nodes.

Each decoration changes a model in place; weights are what `Builder.weight` called w...; `pick(n)` draws an
integer in [0, n).
"""

from collections import defaultdict
from collections.abc import Callable

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

Pick = Callable[[int], int]


def rename_inputs(made: ModelProto, names: dict[str, str]) -> None:
    for node in made.graph.node:
        for slot, name in enumerate(node.input):
            if name in names:
                node.input[slot] = names[name]


def merge(made: ModelProto, groups: dict[object, list[TensorProto]], pick: Pick) -> None:
    """Let some constants of each group be one, in place."""
    names: dict[str, str] = {}
    for first, *others in groups.values():
        names |= {other.name: first.name for other in others if pick(2)}
    rename_inputs(made, names)
    kept = [t for t in made.graph.initializer if t.name not in names]
    del made.graph.initializer[:]
    made.graph.initializer.extend(kept)


def share_integers(made: ModelProto, pick: Pick) -> None:
    """Equal shapes, axes, bounds and indices become one constant, whoever reads them."""
    groups: dict[object, list[TensorProto]] = defaultdict(list)
    for tensor in made.graph.initializer:
        if tensor.data_type == TensorProto.INT64:
            groups[tuple(tensor.dims), tensor.raw_data].append(tensor)
    merge(made, groups, pick)


def tie_weights(made: ModelProto, pick: Pick) -> None:
    """Weights of the same shape become one."""
    groups: dict[object, list[TensorProto]] = defaultdict(list)
    for tensor in made.graph.initializer:
        if tensor.name.startswith("w"):
            groups[tuple(tensor.dims)].append(tensor)
    merge(made, groups, pick)


def use_constant_nodes(made: ModelProto, pick: Pick) -> None:
    """Initializers become Constant nodes."""
    chosen = [t for t in made.graph.initializer if pick(2)]
    nodes = [helper.make_node("Constant", [], [t.name], value=t) for t in chosen]
    prepend(made, nodes)
    gone = {t.name for t in chosen}
    kept = [t for t in made.graph.initializer if t.name not in gone]
    del made.graph.initializer[:]
    made.graph.initializer.extend(kept)


def prepend(made: ModelProto, nodes: list[NodeProto]) -> None:
    others = list(made.graph.node)
    del made.graph.node[:]
    made.graph.node.extend([*nodes, *others])


def hide_weights(made: ModelProto, pick: Pick) -> None:
    """Weights come through Identity, Cast, Transpose or Reshape."""
    nodes = []
    for tensor in list(made.graph.initializer):
        if not tensor.name.startswith("w") or pick(3):
            continue
        name, array = f"{tensor.name}_stored", numpy_helper.to_array(tensor)
        way = pick(4)
        if way == 0:
            nodes.append(helper.make_node("Identity", [name], [tensor.name]))
        elif way == 1:
            array = array.astype(np.float64)
            nodes.append(helper.make_node("Cast", [name], [tensor.name], to=TensorProto.FLOAT))
        elif way == 2:
            nodes.append(helper.make_node("Transpose", [name], [tensor.name]))
            array = np.ascontiguousarray(array.T)
        else:
            shape = f"{name}_shape"
            made.graph.initializer.append(numpy_helper.from_array(np.array(array.shape, np.int64), shape))
            nodes.append(helper.make_node("Reshape", [name, shape], [tensor.name]))
            array = array[None, ..., None]
        rename = numpy_helper.from_array(array, name)
        tensor.CopyFrom(rename)
    prepend(made, nodes)


def compute_shapes(made: ModelProto, pick: Pick) -> None:
    """Targets of Reshape are concatenated from single numbers, some of them products or extents."""
    constants = {t.name: t for t in made.graph.initializer}
    nodes: list[NodeProto] = []
    done: set[str] = set()
    for index, node in enumerate(made.graph.node):
        target = constants.get(node.input[1]) if node.op_type == "Reshape" else None
        if target is None or target.name in done or 0 in numpy_helper.to_array(target):
            continue
        done.add(target.name)
        parts = []
        for place, number in enumerate(numpy_helper.to_array(target).tolist()):
            part = f"{target.name}_{place}"
            parts.append(part)
            if number > 2 and number % 2 == 0 and pick(2):
                for name, value in ((f"{part}_a", number // 2), (f"{part}_b", 2)):
                    made.graph.initializer.append(numpy_helper.from_array(np.array([value], np.int64), name))
                nodes.append(helper.make_node("Mul", [f"{part}_a", f"{part}_b"], [part]))
            else:
                made.graph.initializer.append(numpy_helper.from_array(np.array([number], np.int64), part))
        computed = f"{target.name}_computed{index}"
        nodes.append(helper.make_node("Concat", parts, [computed], axis=0))
        rename_inputs(made, {target.name: computed})
    prepend(made, nodes)


DECORATIONS = (share_integers, tie_weights, hide_weights, compute_shapes, use_constant_nodes)


def decorate(made: ModelProto, pick: Pick) -> ModelProto:
    """Some of the decorations, in place."""
    for decoration in DECORATIONS:
        if pick(2):
            decoration(made, pick)
    return made

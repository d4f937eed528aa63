"""The masked original: the model whose consumers ignore the removed channels.

Every contraction (Conv, MatMul, a sum over channels) gets its input with the removed channels set to zero.
The cut is at the consumer, not at the producer: behind a Sigmoid or a BatchNormalization a zeroed producer
is not zero any more.

    x ── Conv          becomes          x ── Mul(mask) ── Conv
"""

from collections import defaultdict
from collections.abc import Mapping
from math import prod

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from onnxprune.groups import Groups
from onnxprune.onnx_file.ordering import key
from onnxprune.onnx_file.patch import Patch
from onnxprune.operators.findings import Cut
from onnxprune.operators.slots import QUANTISED

FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)


def masked_model(groups: Groups, masks: Mapping[str, NDArray[np.bool_]]) -> ModelProto:
    """A copy of the original in which contractions ignore the removed channels."""
    keep = groups.keep_labels(dict(masks))
    patch = Patch.of(groups.graph)
    before: dict[str, list[NodeProto]] = defaultdict(list)  # by the key of the node that they precede
    for number, cut in enumerate(groups.findings.cuts):
        bits = keep[cut.labels]
        if not bits.all():
            node = patch.node(cut.edge.node)
            before[key(node)].append(mask_input(patch, cut, bits, f"masked_{number}"))
    insert(patch.model, before)
    return patch.model


def mask_input(patch: Patch, cut: Cut, bits: NDArray[np.bool_], name: str) -> NodeProto:
    """Let one input of one node be the output of a new node, in place; that node, not yet in the graph."""
    node = patch.node(cut.edge.node)
    source = node.input[cut.edge.slot]
    value = patch.graph.nodes[cut.edge.node].inputs[cut.edge.slot]
    shape = [1] * len(patch.graph.shapes[value])
    shape[cut.axis] = len(bits)
    kind = patch.graph.types.get(value, TensorProto.FLOAT)
    mask = bits.reshape(shape)
    if kind in FLOATS:
        mask = mask.astype(helper.tensor_dtype_to_np_dtype(kind))
        made = helper.make_node("Mul", [source, f"{name}_bits"], [name], name)
    else:
        zero = zero_of(patch, cut, kind, f"{name}_zero")
        made = helper.make_node("Where", [f"{name}_bits", source, zero], [name], name)
    patch.model.graph.initializer.append(numpy_helper.from_array(mask, f"{name}_bits"))
    node.input[cut.edge.slot] = name
    return made


def insert(model: ModelProto, before: Mapping[str, list[NodeProto]]) -> None:
    """Put new nodes in front of those that read them, in place; linear in the number of nodes."""
    if not before:
        return
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        nodes += before.get(key(node), [])
        nodes.append(node)
    ordered = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(ordered)


def zero_of(patch: Patch, cut: Cut, kind: int, name: str) -> str:
    """Name of the value that a removed channel of a quantised input takes: its zero point, else 0."""
    node = patch.graph.nodes[cut.edge.node]
    held = QUANTISED.get((node.domain, node.op_type), {}).get(cut.edge.slot)
    found = node.inputs[held.zero_point] if held and 0 <= held.zero_point < len(node.inputs) else ""
    if found and prod(patch.graph.shapes.get(found, (2,))) == 1:
        return found
    value = np.zeros((), helper.tensor_dtype_to_np_dtype(kind))
    constant = patch.graph.initializers.get(found)
    if held is not None and constant is not None and len(constant.shape) == 1:
        shape = [1] * len(patch.graph.shapes[node.inputs[cut.edge.slot]])
        shape[held.axis or 0] = -1
        value = constant.array().reshape(shape)
    patch.model.graph.initializer.append(numpy_helper.from_array(value, name))
    return name

"""The masked original: the model whose consumers ignore the removed channels.

Every contraction (Conv, MatMul, a sum over channels) gets its input with the removed channels set to zero.
The cut is at the consumer, not at the producer: behind a Sigmoid or a BatchNormalization a zeroed producer
is not zero any more.

    x ── Conv          becomes          x ── Mul(mask) ── Conv
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from onnxprune.groups import Groups
from onnxprune.onnx_file.patch import Patch
from onnxprune.operators.context import Cut

FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)


def masked_model(groups: Groups, masks: Mapping[str, NDArray[np.bool_]]) -> ModelProto:
    """A copy of the original in which contractions ignore the removed channels."""
    keep = groups.keep_labels(dict(masks))
    patch = Patch.of(groups.graph)
    for number, cut in enumerate(groups.findings.cuts):
        bits = keep[cut.labels]
        if not bits.all():
            insert_mask(patch, cut, bits, f"masked_{number}")
    return patch.model


def insert_mask(patch: Patch, cut: Cut, bits: NDArray[np.bool_], name: str) -> None:
    """Put a mask before one input of one node, in place."""
    node = patch.node(cut.edge.node)
    source = node.input[cut.edge.slot]
    rank = len(patch.graph.shapes[patch.graph.nodes[cut.edge.node].inputs[cut.edge.slot]])
    shape = [1] * rank
    shape[cut.axis] = len(bits)
    kind = patch.graph.types.get(patch.graph.nodes[cut.edge.node].inputs[cut.edge.slot], TensorProto.FLOAT)
    if kind in FLOATS:
        mask = bits.reshape(shape).astype(helper.tensor_dtype_to_np_dtype(kind))
        made = [helper.make_node("Mul", [source, f"{name}_bits"], [name], name)]
    else:
        mask = bits.reshape(shape)
        zero = numpy_helper.from_array(zero_point(patch, cut, kind), f"{name}_zero")
        patch.model.graph.initializer.append(zero)
        made = [helper.make_node("Where", [f"{name}_bits", source, zero.name], [name], name)]
    patch.model.graph.initializer.append(numpy_helper.from_array(mask, f"{name}_bits"))
    node.input[cut.edge.slot] = name
    nodes = patch.model.graph.node
    position = next(i for i, other in enumerate(nodes) if other is node or other == node)
    for extra in made:
        nodes.insert(position, extra)


def zero_point(patch: Patch, cut: Cut, kind: int) -> NDArray[np.generic]:
    """What zero looks like in a quantised input: the zero point that follows it, else 0."""
    node = patch.graph.nodes[cut.edge.node]
    slot = ZERO_POINTS.get((node.op_type, cut.edge.slot))
    name = node.inputs[slot] if slot is not None and slot < len(node.inputs) else ""
    constant = patch.graph.initializers.get(name)
    if constant is not None and constant.size == 1:
        return constant.array().reshape(())
    return np.zeros((), helper.tensor_dtype_to_np_dtype(kind))


ZERO_POINTS = {
    ("QLinearConv", 0): 2,
    ("QLinearMatMul", 0): 2,
    ("ConvInteger", 0): 2,
    ("MatMulInteger", 0): 2,
}

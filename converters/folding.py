"""Nodes that read whole-number constants alone, such as the amounts of a Pad: computed when planning."""

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import AttributeProto, NodeProto, numpy_helper
from onnx.reference import ReferenceEvaluator

from onnxprune.converters.functions.reference import single_node
from onnxprune.onnx_file import Initializer

Array = NDArray[Any]
MOST = 4096  # elements of what is folded
LARGER = ("Pad", "Resize", "Upsample")  # than their inputs
GRAPHS = (AttributeProto.GRAPH, AttributeProto.GRAPHS)


def folded(node: NodeProto, inputs: Sequence[Array], opsets: Mapping[str, int]) -> dict[str, Initializer]:
    """The outputs of a node with these inputs; none where it is not one to fold."""
    if not inputs or not all(foldable(array) for array in inputs) or len(inputs) != len(node.input):
        return {}
    if any(a.type in GRAPHS for a in node.attribute) or grows(node, inputs):
        return {}
    model = single_node(node.SerializeToString(), tuple(opsets.items()))
    values = ReferenceEvaluator(model).run(None, dict(zip(node.input, inputs, strict=True)))
    named = zip((name for name in node.output if name), values, strict=True)
    return {
        name: Initializer(name, numpy_helper.from_array(np.asarray(value), name), Path(), node)
        for name, value in named
        if isinstance(value, np.ndarray | np.generic)
    }


def foldable(array: Array) -> bool:
    return array.dtype.kind in "bi" and array.size <= MOST


def grows(node: NodeProto, inputs: Sequence[Array]) -> bool:
    """Whether the result may be larger than `MOST`."""
    match node.op_type, [array.reshape(-1).tolist() for array in inputs]:
        case "ConstantOfShape", [shape]:
            return prod(shape) > MOST
        case "Expand", [data, shape]:
            return len(data) * prod(shape) > MOST
        case "Tile", [data, repeats]:
            return len(data) * prod(repeats) > MOST
        case "Range", [[start], [limit], [delta]]:
            return abs(limit - start) > MOST * abs(delta)
    return node.op_type in LARGER


def shape_constant(node: NodeProto, extents: Sequence[int]) -> Initializer:
    """What Shape or Size gives of a tensor whose extents are known."""
    name = node.output[0]
    limits = {a.name: a.i for a in node.attribute}
    values = list(extents)[limits.get("start", 0) : limits.get("end")]
    array = np.array(values if node.op_type == "Shape" else prod(extents), np.int64)
    return Initializer(name, numpy_helper.from_array(array, name), Path(), node)

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
LARGER = ("ConstantOfShape", "Expand", "Range", "Tile", "Pad", "Resize", "Upsample")  # than their inputs
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
    """Whether the result may be larger than what it is made of."""
    if node.op_type == "ConstantOfShape":
        return prod(inputs[0].tolist()) > MOST
    return node.op_type in LARGER

"""Operators that onnx does not know, by one that it knows whose output has the same shape and type.

Only for shape inference, and only where it is cheap: any other shape is read from a run in ONNX Runtime.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from onnx import NodeProto, helper

from onnxprune.onnx_file.graph import Node

MICROSOFT = "com.microsoft"
CONV = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")


@dataclass(frozen=True)
class StandIn:
    """How one operator is replaced.

    Attributes:
        op_type: Of the default domain.
        inputs: Which of the inputs it reads.
        outputs: Which outputs have the shape; one node is made for each.
        kept: Names of attributes that mean the same.
        added: Attributes with fixed values.
    """

    op_type: str
    inputs: slice = field(default_factory=lambda: slice(0, 1))
    outputs: tuple[int, ...] = (0,)
    kept: tuple[str, ...] = ()
    added: Mapping[str, Any] = field(default_factory=dict)


SAME = StandIn("Relu")  # the shape of the first input
SUM = StandIn("Add", slice(0, 2))
QUANTISED_SUM = StandIn("Add", slice(0, 4, 3))  # A, scale, zero point, B
HALF = StandIn("AveragePool", added={"kernel_shape": [2], "strides": [2]})  # of the last of three axes
STAND_INS: Mapping[tuple[str, str], StandIn] = {
    ("", "SimplifiedLayerNormalization"): SAME,
    (MICROSOFT, "BiasAdd"): SAME,
    (MICROSOFT, "BiasGelu"): SAME,
    (MICROSOFT, "BiasSplitGelu"): HALF,
    (MICROSOFT, "FastGelu"): SAME,
    (MICROSOFT, "FusedConv"): StandIn("Conv", slice(0, 3), kept=CONV),
    (MICROSOFT, "FusedGemm"): StandIn("Gemm", slice(0, 3), kept=("transA", "transB")),
    (MICROSOFT, "GatedAdd"): SUM,
    (MICROSOFT, "Gelu"): SAME,
    (MICROSOFT, "GroupNorm"): SAME,
    (MICROSOFT, "QLinearAdd"): QUANTISED_SUM,
    (MICROSOFT, "QLinearConcat"): StandIn("Concat", slice(2, None, 3), kept=("axis",)),
    (MICROSOFT, "QLinearLeakyRelu"): SAME,
    (MICROSOFT, "QLinearMul"): QUANTISED_SUM,
    (MICROSOFT, "QLinearSigmoid"): SAME,
    (MICROSOFT, "QLinearSoftmax"): SAME,
    (MICROSOFT, "QuickGelu"): SAME,
    (MICROSOFT, "RotaryEmbedding"): SAME,
    (MICROSOFT, "ScaledSiLU"): SAME,
    (MICROSOFT, "SkipGroupNorm"): StandIn("Relu", outputs=(0, 1)),
    (MICROSOFT, "SkipLayerNormalization"): StandIn("Relu", outputs=(0, 3)),
    (MICROSOFT, "SkipSimplifiedLayerNormalization"): StandIn("Relu", outputs=(0, 3)),
}


def known_to_onnx(node: Node) -> list[NodeProto]:
    """The node itself, or what stands in for it in shape inference."""
    other = STAND_INS.get((node.domain, node.op_type))
    if other is None:
        return [node.proto]
    attributes = {n: value for n, value in node.attributes.items() if n in other.kept} | dict(other.added)
    made = []
    for index in other.outputs:
        if index < len(node.outputs) and node.outputs[index]:
            inputs, outputs = list(node.inputs[other.inputs]), [node.outputs[index]]
            made.append(helper.make_node(other.op_type, inputs, outputs, name=node.name, **attributes))
    return made

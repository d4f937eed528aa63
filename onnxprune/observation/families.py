"""Families of operators, told from the function that couples their channels: no operator is named here."""

from onnxprune.onnx_file import Node
from onnxprune.operators import (
    elementwise,
    fused,
    indexing,
    layout,
    normalization,
    quantization,
    quantized_elementwise,
    reduction,
    selection,
)
from onnxprune.operators.context import CouplingFunction
from onnxprune.operators.table import COUPLING

CONTRACTION, OTHER = "contraction", "other"
NORMALISATION, ACTIVATION, ELEMENTWISE, POOL, LAYOUT = (
    "normalisation", "activation", "elementwise", "pool", "layout",
)  # fmt: skip
FAMILIES = (CONTRACTION, NORMALISATION, ACTIVATION, ELEMENTWISE, POOL, LAYOUT, OTHER)

BY_FUNCTION: dict[CouplingFunction, str] = {
    elementwise.unary: ACTIVATION,
    elementwise.dropout: ACTIVATION,
    reduction.softmax: NORMALISATION,
    quantized_elementwise.softmax: NORMALISATION,
    quantized_elementwise.pool: POOL,
    quantized_elementwise.concat: LAYOUT,
    fused.add_bias: ELEMENTWISE,
    fused.bias_dropout: ELEMENTWISE,
    fused.bias_split_gelu: ELEMENTWISE,
}
BY_MODULE = {
    module.__name__: family
    for module, family in (
        (elementwise, ELEMENTWISE),
        (fused, NORMALISATION),
        (indexing, LAYOUT),
        (layout, LAYOUT),
        (normalization, NORMALISATION),
        (quantization, ELEMENTWISE),
        (quantized_elementwise, ELEMENTWISE),
        (reduction, POOL),
        (selection, LAYOUT),
    )
}


def family_of(node: Node, *, contracts: bool) -> str:
    """One of FAMILIES; "contraction" for whatever multiplies and adds, "other" where nothing is known."""
    if contracts:
        return CONTRACTION
    function = COUPLING.get((node.domain, node.op_type))
    if function is None:
        return OTHER
    return BY_FUNCTION.get(function) or BY_MODULE.get(function.__module__, OTHER)

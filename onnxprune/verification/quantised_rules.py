"""Extents of com.microsoft's quantised operators, where scales and zero points lie between the operands."""

from collections.abc import Iterator
from dataclasses import replace

from onnxprune.verification.contraction_rules import fused_matmul, gemm, matmul_slots, qlinear_conv
from onnxprune.verification.elementwise_rules import elementwise, pool, reduction, unary
from onnxprune.verification.extents import NodeExtents, Rule, expect, expect_out
from onnxprune.verification.layout_rules import concat, pad
from onnxprune.verification.recurrent_rules import packed_attention

NAME = "com.microsoft"


def operands(rule: Rule, *slots: int) -> Rule:
    """A rule for the operands alone, as if scales and zero points were not there."""

    def check(node: NodeExtents) -> Iterator[str]:
        if all(node.has(slot) for slot in slots[:2]):
            yield from rule(without(node, [slot for slot in slots if slot < len(node.ins)]))

    return check


def without(node: NodeExtents, slots: list[int]) -> NodeExtents:
    """The node with these inputs only."""
    proto = type(node.node.proto)()
    proto.CopyFrom(node.node.proto)
    del proto.input[:]
    proto.input.extend(node.node.inputs[slot] for slot in slots)
    lean = replace(node.node, proto=proto)
    return replace(node, node=lean, ins=tuple(node.ins[slot] for slot in slots), numbers=lambda _: None)


def joined(node: NodeExtents) -> Iterator[str]:
    """Scale and zero point of the result first, then three inputs for each operand."""
    yield from concat(without(node, list(range(2, len(node.ins), 3))))


def channels_first(rule: Rule) -> Rule:
    """The rule, where the channels are axis 1."""

    def check(node: NodeExtents) -> Iterator[str]:
        if not node.node.attr("channels_last", 0):
            yield from rule(node)

    return check


def with_bias(rule: Rule, bias: int) -> Rule:
    """A product with a bias for each column."""

    def check(node: NodeExtents) -> Iterator[str]:
        yield from rule(node)
        weight, given = node.given(1), node.given(bias)
        if weight is not None and given is not None:
            yield from expect("bias", given, weight[-1:])

    return check


def matmul_nbits(node: NodeExtents) -> Iterator[str]:
    """A (..., K) times packed weights (N, blocks, bytes); K and N are attributes."""
    inner, columns = int(node.node.attr("K", 0)), int(node.node.attr("N", 0))
    block = max(1, int(node.node.attr("block_size", 1)))
    known = node.known(0, 1)
    if known is None:
        return
    data, weight = known
    yield from expect("K", inner, data[-1])
    yield from expect("rows and blocks of the weight", weight[:2], (columns, -(-inner // block)))
    bias = node.given(5)
    if bias is not None:
        yield from expect("bias", bias, (columns,))
    yield from expect_out(node, (*data[:-1], columns))


QUANTISED_RULES: dict[tuple[str, str], Rule] = {
    (NAME, "QLinearAdd"): operands(elementwise, 0, 3),
    (NAME, "QLinearMul"): operands(elementwise, 0, 3),
    (NAME, "QLinearWhere"): operands(elementwise, 0, 1, 4),
    (NAME, "QLinearConcat"): joined,
    (NAME, "QLinearConv"): channels_first(qlinear_conv),
    (NAME, "QLinearAveragePool"): channels_first(pool),
    (NAME, "QLinearGlobalAveragePool"): channels_first(pool),
    (NAME, "QLinearLeakyRelu"): unary,
    (NAME, "QLinearSigmoid"): unary,
    (NAME, "QLinearSoftmax"): unary,
    (NAME, "QLinearReduceMean"): reduction,
    (NAME, "QGemm"): operands(gemm, 0, 3, 6),
    (NAME, "QAttention"): packed_attention,
    (NAME, "MatMulIntegerToFloat"): with_bias(matmul_slots(0, 1), 6),
    (NAME, "DynamicQuantizeMatMul"): with_bias(matmul_slots(0, 1), 4),
    (NAME, "MatMulNBits"): matmul_nbits,
    (NAME, "TransposeMatMul"): fused_matmul,
    (NAME, "Pad"): pad,
    (NAME, "ScaledSiLU"): unary,
    (NAME, "RotaryEmbedding"): unary,
    (NAME, "Trilu"): unary,
}

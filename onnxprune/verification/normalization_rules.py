"""Extents of normalisations, of quantisation and of per-channel slopes: parameters against channels."""

from collections.abc import Iterator

from onnxprune.verification.extents import NodeExtents, Rule, expect, expect_out, one_way, positive


def per_channel(*slots: int) -> Rule:
    """Parameters (C) of an input (N, C, ...) whose extents do not change.

    Before opset 9, `spatial` 0 gave BatchNormalization parameters for every element: (C, ...).
    """

    def check(node: NodeExtents) -> Iterator[str]:
        data = node.given(0)
        if data is None:
            return
        channels = data[1:2] if node.node.attr("spatial", 1) else data[1:]
        for slot in slots:
            given = node.given(slot)
            if given is not None:
                yield from expect(f"parameter {slot}", given, channels or (1,))
        yield from expect_out(node, data)

    return check


def layer_norm(node: NodeExtents) -> Iterator[str]:
    """Scale and bias broadcast to the normalised axes."""
    data = node.given(0)
    if data is None:
        return
    axis = positive(int(node.node.attr("axis", -1)), len(data))
    for slot in (1, 2):
        given = node.given(slot)
        if given is not None and not one_way(given, data[axis:]):
            yield f"parameter {slot} has extents {given}, the normalised axes {data[axis:]}"
    yield from expect_out(node, data)


def group_norm(node: NodeExtents) -> Iterator[str]:
    """Parameters one for each channel (opset 21) or for each group (opset 18)."""
    data, groups = node.given(0), int(node.node.attr("num_groups", 1))
    if data is None:
        return
    if groups < 1 or data[1] % groups:
        yield f"{data[1]} channels are not divisible into {groups} groups"
    expected = data[1] if node.node.opset >= 21 else groups
    for slot in (1, 2):
        given = node.given(slot)
        if given is not None:
            yield from expect(f"parameter {slot}", given, (expected,))
    yield from expect_out(node, data)


def skip_norm(node: NodeExtents) -> Iterator[str]:
    """Input and skip of the same extents; gamma, beta and bias (hidden)."""
    data, skip = node.given(0), node.given(1)
    if data is None:
        return
    if skip is not None and not one_way(skip, data):
        yield f"skip has extents {skip}, the input {data}"
    for slot in range(2, len(node.ins)):
        given = node.given(slot)
        if given is not None:
            yield from expect(f"parameter {slot}", given, data[-1:])


def last_axis(slot: int) -> Rule:
    """A vector added to, or scaling, the last axis."""

    def check(node: NodeExtents) -> Iterator[str]:
        data, given = node.given(0), node.given(slot)
        if data is not None and given is not None:
            yield from expect(f"input {slot}", given, data[-1:])

    return check


def prelu(node: NodeExtents) -> Iterator[str]:
    known = node.known(0, 1)
    if known is None:
        return
    data, slope = known
    # before broadcasting existed (opset 7), a slope (C) belonged to axis 1
    if not one_way(slope, data) and slope != data[1:2]:
        yield f"slope has extents {slope}, which do not broadcast to {data}"
    yield from expect_out(node, data)


def linear_quantisation(node: NodeExtents) -> Iterator[str]:
    """Scale and zero point: one number, one for each index of an axis, or one for each block."""
    known = node.known(0, 1)
    if known is None:
        return
    data, scale = known
    zero, block = node.given(2), int(node.node.attr("block_size", 0))
    if zero is not None:
        yield from expect("zero point", zero if zero != (1,) else (), scale if scale != (1,) else ())
    axis = positive(int(node.node.attr("axis", 1)), len(data))
    if block and len(scale) == len(data):
        blocks = tuple(-(-n // block) if i == axis else n for i, n in enumerate(data))
        yield from expect("scale", scale, blocks)
    elif scale not in ((), (1,)):
        yield from expect("scale", scale, data[axis : axis + 1])
    yield from expect_out(node, data)


NORMALIZATIONS: dict[tuple[str, str], Rule] = {
    ("", "BatchNormalization"): per_channel(1, 2, 3, 4),
    ("", "InstanceNormalization"): per_channel(1, 2),
    ("", "LayerNormalization"): layer_norm,
    ("", "RMSNormalization"): layer_norm,
    ("", "SimplifiedLayerNormalization"): layer_norm,
    ("", "GroupNormalization"): group_norm,
    ("", "PRelu"): prelu,
    ("", "QuantizeLinear"): linear_quantisation,
    ("", "DequantizeLinear"): linear_quantisation,
    ("com.microsoft", "QuantizeLinear"): linear_quantisation,
    ("com.microsoft", "DequantizeLinear"): linear_quantisation,
    ("com.microsoft", "SkipLayerNormalization"): skip_norm,
    ("com.microsoft", "SkipSimplifiedLayerNormalization"): skip_norm,
    ("com.microsoft", "SimplifiedLayerNormalization"): layer_norm,
    ("com.microsoft", "BiasGelu"): last_axis(1),
    ("com.microsoft", "FastGelu"): last_axis(1),
    ("com.microsoft", "BiasAdd"): last_axis(1),
}

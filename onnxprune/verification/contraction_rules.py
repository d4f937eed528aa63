"""Extents of the operators that multiply by weights: channels of the input against channels of the weight."""

from collections.abc import Iterator

from onnxprune.verification.extents import NodeExtents, Rule, Shape, broadcast, expect, expect_out, one_way


def conv_slots(x: int, w: int, b: int) -> Rule:
    """X (N, C, ...), W (M, C/group, k...), B (M)."""

    def conv(node: NodeExtents) -> Iterator[str]:
        known = node.known(x, w)
        if known is None:
            return
        data, weight = known
        group = int(node.node.attr("group", 1))
        yield from expect("axes of the weight", len(weight), len(data))
        if len(data) > 1 and len(weight) > 1 and data[1] != weight[1] * group:
            yield f"input has {data[1]} channels, weight expects {weight[1] * group}"
        if group < 1 or weight[0] % group:
            yield f"{weight[0]} output channels are not divisible into {group} groups"
        yield from conv_rest(node, weight, b, weight[0])

    return conv


def conv_rest(node: NodeExtents, weight: Shape, bias: int, outputs: int) -> Iterator[str]:
    """Kernel, bias and output of a convolution."""
    kernel = node.node.attr("kernel_shape")
    if kernel:
        yield from expect("kernel_shape", tuple(kernel), weight[2:])
    given = node.given(bias)
    if given is not None:
        yield from expect("bias", given, (outputs,))
    out = node.out()
    if out is not None and len(out) > 1:
        yield from expect("output channels", out[1], outputs)


def fused_conv(node: NodeExtents) -> Iterator[str]:
    """A convolution that adds its fourth input to the result."""
    yield from conv_slots(0, 1, 2)(node)
    added, out = node.given(3), node.out()
    if added is not None and out is not None:
        yield from expect("added input", added, out)


def qlinear_conv(node: NodeExtents) -> Iterator[str]:
    """As a convolution; scale and zero point of the weight are one number or one for each output channel."""
    yield from conv_slots(0, 3, 8)(node)
    weight = node.given(3)
    for slot in (4, 5):
        given = node.given(slot)
        if given is not None and weight is not None and given not in ((), (1,), (weight[0],)):
            yield f"input {slot} has extents {given}, expected one for each of {weight[0]} output channels"


def conv_transpose(node: NodeExtents) -> Iterator[str]:
    """X (N, C, ...), W (C, M/group, k...), B (M)."""
    known = node.known(0, 1)
    if known is None:
        return
    data, weight = known
    group = int(node.node.attr("group", 1))
    yield from expect("axes of the weight", len(weight), len(data))
    if data[1] != weight[0]:
        yield f"input has {data[1]} channels, weight expects {weight[0]}"
    if group < 1 or weight[0] % group:
        yield f"{weight[0]} input channels are not divisible into {group} groups"
    yield from conv_rest(node, weight, 2, weight[1] * group)


def deform_conv(node: NodeExtents) -> Iterator[str]:
    """A convolution with offsets: 2 (times 3 with a mask) for each kernel position and offset group."""
    yield from conv_slots(0, 1, 3)(node)
    known, offsets = node.known(0, 1, 2), int(node.node.attr("offset_group", 1))
    if known is None:
        return
    data, weight, offset = known
    places = offsets
    for extent in weight[2:]:
        places *= extent
    yield from expect("offset channels", offset[1], places * len(weight[2:]))
    mask = node.given(4)
    if mask is not None:
        yield from expect("mask channels", mask[1], places)
    if data[1] % offsets:
        yield f"{data[1]} input channels are not divisible into {offsets} offset groups"


def gemm(node: NodeExtents) -> Iterator[str]:
    """A (M, K) or its transpose, B (K, N) or its transpose, C broadcasts to (M, N)."""
    known = node.known(0, 1)
    if known is None:
        return
    a, b = known
    if len(a) != 2 or len(b) != 2:
        yield f"operands have {len(a)} and {len(b)} axes, expected 2 and 2"
        return
    rows, inner = a[::-1] if node.node.attr("transA", 0) else a
    depth, columns = b[::-1] if node.node.attr("transB", 0) else b
    if inner != depth:
        yield f"input has {inner} features, weight expects {depth}"
    added = node.given(2)
    if added is not None and not one_way(added, (rows, columns)):
        yield f"C has extents {added}, which do not broadcast to {(rows, columns)}"
    yield from expect_out(node, (rows, columns))


def matmul_slots(left: int, right: int) -> Rule:
    """A (..., M, K) times B (..., K, N)."""

    def matmul(node: NodeExtents) -> Iterator[str]:
        known = node.known(left, right)
        if known is not None:
            yield from product(node, *known)

    return matmul


def product(node: NodeExtents, a: Shape, b: Shape) -> Iterator[str]:
    """The product of two stacks of matrices; vectors as in numpy."""
    if not a or not b:
        yield f"operands {a} and {b}, expected at least one axis each"
        return
    left, right = a if len(a) > 1 else (1, *a), b if len(b) > 1 else (*b, 1)
    if left[-1] != right[-2]:
        yield f"input has {left[-1]} features, weight expects {right[-2]}"
    batch = broadcast(left[:-2], right[:-2])
    if batch is None:
        yield f"leading extents {left[:-2]} and {right[:-2]} do not fit each other"
        return
    rows, columns = left[-2:-1] if len(a) > 1 else (), right[-1:] if len(b) > 1 else ()
    yield from expect_out(node, (*batch, *rows, *columns))


def fused_matmul(node: NodeExtents) -> Iterator[str]:
    """A product of operands that may be transposed first."""
    known = node.known(0, 1)
    if known is None or any(node.node.attr(f"transBatch{side}", 0) for side in "AB"):
        return
    a, b = (
        (*shape[:-2], shape[-1], shape[-2]) if node.node.attr(f"trans{side}", 0) and len(shape) > 1 else shape
        for side, shape in zip("AB", known, strict=True)
    )
    yield from product(node, a, b)


def matmul_per_column(scales: tuple[int, ...]) -> Rule:
    """A quantised product; scales and zero points of B are one number or one for each column."""

    def check(node: NodeExtents) -> Iterator[str]:
        right = 3 if len(scales) > 1 else 1
        yield from matmul_slots(0, right)(node)
        weight = node.given(right)
        for slot in scales:
            given = node.given(slot)
            if given is None or weight is None or len(given) != 1:
                continue
            if given[0] not in (1, weight[-1]):
                yield f"input {slot} has {given[0]} elements, the weight {weight[-1]} columns"

    return check


def einsum(node: NodeExtents) -> Iterator[str]:
    """Every letter of the equation has one extent."""
    equation = str(node.node.attr("equation", "")).replace(" ", "")
    left, _, right = equation.partition("->")
    extents: dict[str, int] = {}
    for slot, term in enumerate(left.split(",")):
        shape = node.given(slot)
        if shape is None:
            continue
        for letter, extent in letters(term, shape):
            known = extents.setdefault(letter, extent)
            if known != extent and 1 not in (known, extent):
                yield f"index {letter!r} has extent {known} and, in input {slot}, {extent}"
            extents[letter] = max(known, extent)
    out = node.out()
    if right and out is not None:
        for letter, extent in letters(right, out):
            yield from expect(f"output index {letter!r}", extent, extents.get(letter, extent))


def letters(term: str, shape: Shape) -> Iterator[tuple[str, int]]:
    """(letter, extent) of one term of an equation; what an ellipsis covers is left out."""
    head, dots, tail = term.partition("...")
    if not dots and len(head) != len(shape):
        return
    yield from zip(head, shape, strict=False)
    if tail:
        yield from zip(tail, shape[-len(tail) :], strict=True)


CONTRACTIONS: dict[tuple[str, str], Rule] = {
    ("", "Conv"): conv_slots(0, 1, 2),
    ("", "ConvInteger"): conv_slots(0, 1, 99),
    ("", "QLinearConv"): qlinear_conv,
    ("", "ConvTranspose"): conv_transpose,
    ("", "DeformConv"): deform_conv,
    ("", "Gemm"): gemm,
    ("", "MatMul"): matmul_slots(0, 1),
    ("", "MatMulInteger"): matmul_per_column((3,)),
    ("", "QLinearMatMul"): matmul_per_column((4, 5)),
    ("", "Einsum"): einsum,
    ("com.microsoft", "FusedConv"): fused_conv,
    ("com.microsoft", "FusedGemm"): gemm,
    ("com.microsoft", "FusedMatMul"): fused_matmul,
}

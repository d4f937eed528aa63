"""Extents of operators that work element by element, of pools and of reductions."""

from collections.abc import Iterator

from onnxprune.verification.extents import (
    NodeExtents,
    Rule,
    anything,
    broadcast,
    expect,
    expect_out,
    positive,
)


def unary(node: NodeExtents) -> Iterator[str]:
    """The output has the extents of the first input."""
    data = node.given(0)
    if data is not None:
        yield from expect_out(node, data)


def elementwise(node: NodeExtents) -> Iterator[str]:
    """All inputs broadcast to the output."""
    if any(shape is None for shape, name in zip(node.ins, node.node.inputs, strict=True) if name):
        return
    shapes = [shape for shape in node.ins if shape is not None]
    common = broadcast(*shapes)
    if node.node.attr("broadcast", 0):
        return  # opset 6 and older: the axis is an attribute
    if common is None:
        yield f"extents {' and '.join(map(str, shapes))} do not fit each other"
    else:
        yield from expect_out(node, common)


def pool(node: NodeExtents) -> Iterator[str]:
    """Batch and channels stay."""
    data, out = node.given(0), node.out()
    if data is not None and out is not None:
        yield from expect("output batch and channels", out[:2], data[:2])


def reduction(node: NodeExtents) -> Iterator[str]:
    """The reduced axes vanish, or have extent 1; the others stay."""
    data, out = node.given(0), node.out()
    axes = node.ints("axes", 1)
    if data is None or out is None or (axes is None and node.has(1)):
        return
    if not axes:
        if node.node.attr("noop_with_empty_axes", 0):
            return
        axes = list(range(len(data)))
    yield from reduced(node, {positive(axis, len(data)) for axis in axes})


def arg_extremum(node: NodeExtents) -> Iterator[str]:
    data = node.given(0)
    if data is not None:
        yield from reduced(node, {positive(int(node.node.attr("axis", 0)), len(data))})


def reduced(node: NodeExtents, axes: set[int]) -> Iterator[str]:
    data = node.given(0) or ()
    if any(axis >= len(data) for axis in axes):
        yield f"reduces axis {max(axes)} of an input with {len(data)} axes"
    elif node.node.attr("keepdims", 1):
        yield from expect_out(node, tuple(1 if i in axes else n for i, n in enumerate(data)))
    else:
        yield from expect_out(node, tuple(n for i, n in enumerate(data) if i not in axes))


def top_k(node: NodeExtents) -> Iterator[str]:
    data, count = node.given(0), node.ints("k", 1)
    if data is None or not count:
        return
    axis = positive(int(node.node.attr("axis", -1)), len(data))
    if count[0] > data[axis]:
        yield f"takes {count[0]} of {data[axis]} elements"
    for index in range(2):
        yield from expect_out(node, (*data[:axis], count[0], *data[axis + 1 :]), index)


UNARY = (
    *("Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BitwiseNot", "Cast", "CastLike"),
    *("Ceil", "Celu", "Clip", "Cos", "Cosh", "CumSum", "Dropout", "DynamicQuantizeLinear", "Elu"),
    *("Erf", "Exp", "Floor", "Gelu", "Hardmax", "HardSigmoid", "HardSwish", "Identity", "IsInf"),
    *("IsNaN", "LeakyRelu", "Log", "LogSoftmax", "LpNormalization", "LRN"),
    *("MeanVarianceNormalization", "Mish", "Neg", "Not", "Reciprocal", "Relu", "Round", "Selu"),
    *("Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softmax", "Softplus", "Softsign", "Sqrt"),
    *("Swish", "Tan", "Tanh", "ThresholdedRelu"),
    *("Bernoulli", "CumProd", "RandomNormalLike", "RandomUniformLike", "ReverseSequence"),
    *("RotaryEmbedding", "ScatterElements", "ScatterND", "TensorScatter", "Trilu"),
)
BROADCASTING = (
    *("Add", "And", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Equal", "Greater"),
    *("GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul", "Or", "Pow"),
    *("Sub", "Sum", "Where", "Xor"),
)
POOLS = (*("AveragePool", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "LpPool", "MaxPool"),)
REDUCTIONS = (
    *("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean"),
    *("ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare"),
)
FREE = (
    *("Constant", "ConstantOfShape", "EyeLike", "NonZero", "RandomNormal", "RandomUniform"),
    *("Range", "Shape", "Size", "Unique"),
)

ELEMENTWISE: dict[tuple[str, str], Rule] = {
    **{("", name): unary for name in UNARY},
    **{("", name): elementwise for name in BROADCASTING},
    **{("", name): pool for name in POOLS},
    **{("", name): reduction for name in REDUCTIONS},
    **{("", name): anything for name in FREE},
    **{("", name): pool for name in ("GridSample", "MaxUnpool")},
    ("", "ArgMax"): arg_extremum,
    ("", "ArgMin"): arg_extremum,
    ("", "TopK"): top_k,
    ("com.microsoft", "Gelu"): unary,
    ("com.microsoft", "QuickGelu"): unary,
}

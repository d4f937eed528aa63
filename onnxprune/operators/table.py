"""The operators that are known: one literal table, (domain, op_type) -> coupling function.

Those of com.microsoft stand in `table_microsoft`; what is known and yet frozen stands in `frozen`.
"""

from onnxprune.operators import (
    attention,
    contraction,
    einsum,
    elementwise,
    indexing,
    layout,
    normalization,
    quantization,
    quantized,
    recurrent,
    reduction,
    rotary,
    sampling,
    selection,
)
from onnxprune.operators.context import CouplingFunction
from onnxprune.operators.table_microsoft import MICROSOFT

UNARY = (
    "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BitCast", "BitwiseNot", "Cast", "Ceil",
    "Celu", "Clip", "Cos", "Cosh", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish",
    "Identity", "IsInf", "IsNaN", "LeakyRelu", "Log", "Mish", "Neg", "Not", "Reciprocal", "Relu",
    "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt",
    "Swish", "Tan", "Tanh", "ThresholdedRelu",
)  # fmt: skip
BROADCAST = (
    "Add", "And", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Equal", "Greater",
    "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul", "Or", "Pow", "PRelu",
    "Sub", "Sum", "SwiGLU", "Where", "Xor",
)  # fmt: skip
POOLS = (
    "AveragePool", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "LpPool", "MaxPool",
)  # fmt: skip
REDUCE_EXACT = (
    "ReduceL1", "ReduceL2", "ReduceSum", "ReduceSumSquare",
)  # fmt: skip
REDUCE_INEXACT = (
    "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd",
)  # fmt: skip

ONNX: dict[tuple[str, str], CouplingFunction] = {
    **{("", name): elementwise.unary for name in UNARY},
    **{("", name): elementwise.broadcast for name in BROADCAST},
    **{("", name): reduction.pool for name in POOLS},
    **{("", name): reduction.reduce_sum for name in REDUCE_EXACT},
    **{("", name): reduction.reduce_inexact for name in REDUCE_INEXACT},
    ("", "Conv"): contraction.conv,
    ("", "ConvTranspose"): contraction.conv_transpose,
    ("", "Gemm"): contraction.gemm,
    ("", "MatMul"): contraction.matmul,
    ("", "BatchNormalization"): normalization.per_channel,
    ("", "InstanceNormalization"): normalization.instance_norm,
    ("", "LayerNormalization"): normalization.layer_norm,
    ("", "RMSNormalization"): normalization.layer_norm,
    ("", "GroupNormalization"): normalization.group_norm,
    ("", "MeanVarianceNormalization"): normalization.mean_variance,
    ("", "LpNormalization"): normalization.lp_norm,
    ("", "Softmax"): reduction.softmax,
    ("", "LogSoftmax"): reduction.softmax,
    ("", "Hardmax"): reduction.softmax,
    ("", "ArgMax"): reduction.arg_extremum,
    ("", "ArgMin"): reduction.arg_extremum,
    ("", "TopK"): reduction.top_k,
    ("", "CumSum"): reduction.cum_sum,
    ("", "Transpose"): layout.transpose,
    ("", "Reshape"): layout.reshape,
    ("", "Flatten"): layout.flatten,
    ("", "Squeeze"): layout.squeeze,
    ("", "Unsqueeze"): layout.unsqueeze,
    ("", "Expand"): layout.expand,
    ("", "ConstantOfShape"): layout.constant_of_shape,
    ("", "Tile"): layout.tile,
    ("", "DepthToSpace"): layout.depth_to_space,
    ("", "SpaceToDepth"): layout.space_to_depth,
    ("", "Resize"): layout.resize,
    ("", "Upsample"): layout.resize,
    ("", "Concat"): selection.concat,
    ("", "Split"): selection.split,
    ("", "Slice"): selection.slice_,
    ("", "Gather"): selection.gather,
    ("", "Pad"): selection.pad,
    ("", "CastLike"): elementwise.cast_like,
    ("", "Dropout"): elementwise.dropout,
    ("", "QuantizeLinear"): quantization.quantize,
    ("", "DequantizeLinear"): quantization.quantize,
    ("", "DynamicQuantizeLinear"): quantization.dynamic_quantize,
    ("", "QLinearConv"): quantized.qlinear_conv,
    ("", "ConvInteger"): quantized.conv_integer,
    ("", "QLinearMatMul"): quantized.qlinear_matmul,
    ("", "MatMulInteger"): quantized.matmul_integer,
    ("", "Einsum"): einsum.einsum,
    ("", "LSTM"): recurrent.lstm,
    ("", "GRU"): recurrent.gru,
    ("", "RNN"): recurrent.rnn,
    ("", "Attention"): attention.attention,
    ("", "RotaryEmbedding"): rotary.rotary,
    ("", "SimplifiedLayerNormalization"): normalization.layer_norm,
    ("", "GatherElements"): indexing.gather_elements,
    ("", "GatherND"): indexing.gather_nd,
    ("", "Scatter"): indexing.scatter_elements,
    ("", "ScatterElements"): indexing.scatter_elements,
    ("", "ScatterND"): indexing.scatter_nd,
    ("", "TensorScatter"): indexing.tensor_scatter,
    ("", "OneHot"): indexing.one_hot,
    ("", "Compress"): indexing.compress,
    ("", "ReverseSequence"): indexing.reverse_sequence,
    ("", "CenterCropPad"): indexing.center_crop_pad,
    ("", "CumProd"): reduction.cum_sum,
    ("", "Trilu"): indexing.last_two,
    ("", "Det"): indexing.determinant,
    ("", "GridSample"): sampling.sample,
    ("", "RoiAlign"): sampling.sample,
    ("", "MaxRoiPool"): sampling.sample,
    ("", "Col2Im"): sampling.col2im,
    ("", "DeformConv"): sampling.deform_conv,
    ("", "CausalConvWithState"): sampling.causal_conv,
    ("", "DFT"): sampling.fourier,
}

COUPLING = {**ONNX, **MICROSOFT}

"""The batch through one operator at a time: right at three samples in ONNX Runtime, or given up."""

from pathlib import Path

import pytest

from tests.converters.batch_runs import TOLERANCE, free_and_compare, load

IMAGE = "float[1,4,6,6] x"

UNARY = [
    "GlobalAveragePool",
    "GlobalMaxPool",
    "GlobalLpPool",
    "SpaceToDepth<blocksize=2>",
    "DepthToSpace<blocksize=2>",
    "LRN<size=3>",
    "MaxPool<kernel_shape=[2,2]>",
    "AveragePool<kernel_shape=[2,2]>",
    "LpPool<kernel_shape=[2,2]>",
    "Softmax<axis=1>",
    "LogSoftmax",
    "Hardmax",
    "LpNormalization<axis=1>",
    "MeanVarianceNormalization<axes=[2,3]>",
    "Trilu",
    "Softsign",
    "Erf",
    "Dropout",
    "ReduceL2<axes=[1],keepdims=0>",
    "ReduceLogSumExp<axes=[2]>",
    "ArgMax<axis=2>",
    "ArgMin<axis=1,keepdims=0>",
    "Squeeze",
    "Flatten<axis=2>",
    "Flatten<axis=0>",
    "Flatten<axis=4>",
]

Case = tuple[str, str, str, str]  # inputs, constants, body, opsets
DEFAULT = '"" : 17'
FREED: dict[str, Case] = {
    "CumSum": (IMAGE, "int64 a = {1}", "y = CumSum(x, a)", DEFAULT),
    "TopK": (IMAGE, "int64[1] k = {2}", "y, i = TopK<axis=-1>(x, k)", DEFAULT),
    "OneHot": ("int64[1,4] x", "int64 k={5}, float[2] v={0,1}", "y = OneHot<axis=1>(x,k,v)", DEFAULT),
    "InstanceNormalization": (
        IMAGE,
        "float[4] s={1,2,3,4}",
        "y = InstanceNormalization(x, s, s)",
        DEFAULT,
    ),
    "BatchNormalization": (
        IMAGE,
        "float[4] s={1,2,3,4}",
        "y = BatchNormalization(x, s, s, s, s)",
        DEFAULT,
    ),
    "GroupNormalization": (
        IMAGE,
        "float[4] s={1,2,3,4}",
        "y = GroupNormalization<num_groups=2>(x,s,s)",
        '"" : 21',
    ),
    "LayerNormalization": (
        "float[1,2,2] x",
        "float[2,2] s={1,2,3,4}",
        "y = LayerNormalization<axis=1>(x,s)",
        DEFAULT,
    ),
    "RMSNormalization": ("float[1,2,2] x", "float[2] s={1,2}", "y = RMSNormalization(x,s)", '"" : 23'),
    "PRelu": (IMAGE, "float[4,1,1] s={1,2,3,4}", "y = PRelu(x,s)", DEFAULT),
    "Where": (IMAGE, "float[1,4,1,1] m={1,2,3,4}", "c = Greater(x,m)  y = Where(c,x,m)", DEFAULT),
    "Split": (IMAGE, "", "a, y = Split<axis=1>(x)", DEFAULT),
    "a sequence": (
        IMAGE,
        "int64 i={1}",
        "s = SplitToSequence<axis=1,keepdims=0>(x)  y = SequenceAt(s,i)",
        DEFAULT,
    ),
    "Pad": (IMAGE, "int64[8] p={0,0,1,1,0,0,2,2}", "y = Pad(x,p)", DEFAULT),
    "GatherElements": (
        "float[1,4] x",
        "int64[1,3] i={0,2,1}",
        "y = GatherElements<axis=1>(x,i)",
        DEFAULT,
    ),
    "GridSample": (
        "float[1,1,3,3] x",
        "float[1,1,2,2] g={0,0.5,0.1,0.2}",
        "y = GridSample(x,g)",
        DEFAULT,
    ),
    "Gemm transposed": (
        "float[1,2] x",
        "float[2,2] w={1,2,3,4}, float[1,2] b={1,2}",
        "t = Transpose(x)  z = Gemm<transA=1>(t,w,b)  y = Relu(z)",
        DEFAULT,
    ),
    "Gemm with itself added": (
        "float[1,2] x",
        "float[2,2] w={1,2,3,4}",
        "y = Gemm(x,w,x)",
        DEFAULT,
    ),
    "Gemm with an addend for each row": (
        "float[1,2,2] x",
        "int64[2] s={2,2}, int64[3] u={1,2,2}, float[2,2] w={1,2,3,4}",
        "a = Reshape(x,s)  b = Gemm(a,w,w)  y = Reshape(b,u)",
        DEFAULT,
    ),
    "MatMul from the left": ("float[1,2,3] x", "float[2,2] w={1,2,3,4}", "y = MatMul(w,x)", DEFAULT),
    "MatMul by a vector": ("float[1,3,2] x", "float[2] w={1,2}", "y = MatMul(x,w)", DEFAULT),
    "MatMul of a vector": (
        "float[1,2] x",
        "float[2] w={1,2}, int64[2] s={1,1}",
        "t = Transpose(x)  z = MatMul(w,t)  y = Reshape(z,s)",
        DEFAULT,
    ),
    "Einsum": (
        "float[1,3] x",
        "float[1,2] w={1,2}",
        'y = Einsum<equation="bi,bj->bij">(x,w)',
        DEFAULT,
    ),
    "CastLike": (IMAGE, "float w={1}", "y = CastLike(x,w)", DEFAULT),
    "ConvTranspose": (
        "float[1,1,2,2] x",
        "float[1,1,2,2] w={1,2,3,4}",
        "y = ConvTranspose(x,w)",
        DEFAULT,
    ),
    "Resize of some axes": (
        IMAGE,
        "int64[2] s={12,12}",
        'y = Resize<mode="nearest",axes=[2,3]>(x,,,s)',
        '"" : 18',
    ),
    "Resize of the batch axis too": (
        IMAGE,
        "int64[3] s={1,12,12}",
        'y = Resize<mode="linear",axes=[0,2,3]>(x,,,s)',
        '"" : 18',
    ),
    "Resize in opset 10": (IMAGE, "float[4] s={1,1,2,2}", 'y = Resize<mode="nearest">(x,s)', '"" : 10'),
    "Upsample": (IMAGE, "float[4] s={1,1,2,2}", 'y = Upsample<mode="nearest">(x,s)', '"" : 9'),
    "Slice in opset 9": (
        IMAGE,
        "",
        "y = Slice<axes=[0,1],starts=[0,1],ends=[2147483647,3]>(x)",
        '"" : 9',
    ),
    "Softmax in opset 11": (IMAGE, "", "y = Softmax<axis=1>(x)", '"" : 11'),
    "Squeeze in opset 11": (IMAGE, "", "z = Squeeze<axes=[0]>(x)  y = Unsqueeze<axes=[0]>(z)", '"" : 11'),
    "Attention": (
        "float[1,2,3,4] x",
        "float[3,3] m={0,1,2,3,4,5,6,7,8}",
        "y = Attention(x,x,x,m)",
        '"" : 23',
    ),
    "quantization": (
        IMAGE,
        "float[4] s={0.1,0.2,0.3,0.4}, uint8[4] z={1,2,3,4}",
        "q = QuantizeLinear<axis=1>(x,s,z)  y = DequantizeLinear<axis=1>(q,s,z)",
        DEFAULT,
    ),
    "Expand beside the batch": (
        "float[1,2] x",
        "int64[3] s={3,1,2}",
        "e = Expand(x,s)  y = ReduceMax<axes=[0],keepdims=0>(e)",
        DEFAULT,
    ),
    **{text: (IMAGE, "", f"z = {text} (x)  y = Cast<to=1>(z)", DEFAULT) for text in UNARY},
}

GIVEN_UP: dict[str, Case] = {
    "positions in the whole batch": (IMAGE, "", "a, y = MaxPool<kernel_shape=[2,2]>(x)", DEFAULT),
    "statistics of the whole batch": (IMAGE, "", "y = MeanVarianceNormalization(x)", DEFAULT),
    "CumSum over samples": (IMAGE, "int64 a = {0}", "y = CumSum(x, a)", DEFAULT),
    "LayerNormalization over samples": (
        "float[1,2] x",
        "float[1,2] s={1,2}",
        "y = LayerNormalization<axis=0>(x,s)",
        DEFAULT,
    ),
    "a kernel that has the batch": (
        "float[1,1,2,2] x",
        "float[1,1,2,2] w={1,2,3,4}",
        "y = Conv(w,x)",
        DEFAULT,
    ),
    "an end of 1 in an attribute": (IMAGE, "", "y = Slice<axes=[0],starts=[0],ends=[1]>(x)", '"" : 9'),
    "two samples out of one": ("float[1,2] x", "", "y = Concat<axis=0>(x,x)", DEFAULT),
    "the mean of two": (
        "float[1,2] x",
        "",
        "a = Concat<axis=0>(x,x)  y = ReduceMean<axes=[0]>(a)",
        DEFAULT,
    ),
    "a batch of 1 that broadcasts": ("float[1,2] x", "float[3,2] s={3,1,2,1,1,1}", "y = Add(x,s)", DEFAULT),
    "a batch of 1 that expands": ("float[1,2] x", "int64[2] s={3,2}", "y = Expand(x,s)", DEFAULT),
    "a padded batch": (IMAGE, "int64[8] p={1,0,1,1,0,0,2,2}", "y = Pad(x,p)", DEFAULT),
    "a diagonal of samples": ("float[1,3] x", "", 'y = Einsum<equation="bi,cj->bcj">(x,x)', DEFAULT),
}


def text_of(inputs: str, constants: str, body: str, opsets: str) -> str:
    kept = f"<{constants}>" if constants else ""
    kind = "int64" if body.startswith("a, y = MaxPool") else "float"
    return f"<ir_version: 10, opset_import: [{opsets}]> g ({inputs}) => ({kind} y) {kept} {{ {body} }}"


@pytest.mark.parametrize("parts", FREED.values(), ids=FREED)
def test_three_samples_at_once_give_what_each_gives_alone(parts: Case, tmp_path: Path) -> None:
    free, error = free_and_compare(load(text_of(*parts), tmp_path))
    assert free.model is not None, free.reason
    assert error <= TOLERANCE


@pytest.mark.parametrize("parts", GIVEN_UP.values(), ids=GIVEN_UP)
def test_what_mixes_samples_is_given_up(parts: Case, tmp_path: Path) -> None:
    free, _ = free_and_compare(load(text_of(*parts), tmp_path))
    assert free.model is None
    assert free.reason

"""What the contracting operators cost, against the formula of each, written out."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from onnxprune.cost import CostModel
from onnxprune.groups import find_groups
from onnxprune.onnx_file import load_graph
from tests.law.build import Weight, model, save

MS = "com.microsoft"


@dataclass(frozen=True)
class Counted:
    """A node and its MACs."""

    signature: str
    body: str
    macs: int
    weights: dict[str, Weight] = field(default_factory=dict)
    opset: int = 23


def int8(*shape: int) -> np.ndarray:
    return np.ones(shape, np.int8)


SCALE = {"s": np.array(0.1, np.float32), "z": np.array(0, np.uint8), "wz": np.array(0, np.int8)}
TOKENS = "float[2,7,12] q, float[2,7,12] k, float[2,7,20] v => float[2,7,20] y"
CASES = {
    "einsum": Counted(
        "float[2,3,5] a, float[2,4,5] b => float[2,3,4] y",
        'y = Einsum<equation="bqd,bkd->bqk">(a, b)',
        2 * 3 * 4 * 5,
    ),
    "einsum_sum": Counted("float[2,3] a => float[2] y", 'y = Einsum<equation="ij->i">(a)', 0),
    "einsum_outer": Counted(
        "float[2] a, float[3] b => float[2,3] y", 'y = Einsum<equation="i,j->ij">(a, b)', 0
    ),
    "lstm": Counted(
        "float[6,2,4] x => float[6,2,2,5] y",
        'y = LSTM<hidden_size=5, direction="bidirectional">(x, w, r)',
        6 * 2 * 2 * 4 * 5 * (4 + 5),
        {"w": (2, 20, 4), "r": (2, 20, 5)},
    ),
    "gru": Counted(
        "float[6,2,4] x => float[6,1,2,5] y",
        "y = GRU<hidden_size=5>(x, w, r)",
        6 * 2 * 3 * 5 * (4 + 5),
        {"w": (1, 15, 4), "r": (1, 15, 5)},
    ),
    "attention": Counted(
        TOKENS, "y = Attention<q_num_heads=2, kv_num_heads=2>(q, k, v)", 2 * 7 * 7 * (12 + 20)
    ),
    "attention_by_axes": Counted(
        "float[2,4,7,3] q, float[2,2,9,3] k, float[2,2,9,5] v => float[2,4,7,5] y",
        "y = Attention(q, k, v)",
        2 * 4 * 7 * 9 * (3 + 5),
    ),
    "multi_head": Counted(
        TOKENS, f"y = {MS}.MultiHeadAttention<num_heads=2>(q, k, v)", 2 * 7 * 7 * (12 + 20)
    ),
    "fused_attention": Counted(
        "float[2,7,6] x => float[2,7,20] y",
        f"y = {MS}.Attention<num_heads=2, qkv_hidden_sizes=[12,12,20]>(x, w, b)",
        2 * 7 * 6 * 44 + 2 * 7 * 7 * (12 + 20),
        {"w": (6, 44), "b": 44},
    ),
    "qlinear_conv": Counted(
        "uint8[1,4,6,6] x => uint8[1,8,6,6] y",
        "y = QLinearConv<group=2>(x, s, z, w, s, wz, s, z)",
        6 * 6 * 8 * 2,
        {"w": int8(8, 2, 1, 1), **SCALE},
    ),
    "conv_integer": Counted(
        "uint8[1,4,6,6] x => int32[1,8,4,4] y",
        "y = ConvInteger(x, w)",
        16 * 8 * 4 * 9,
        {"w": int8(8, 4, 3, 3)},
    ),
    "qlinear_matmul": Counted(
        "uint8[3,4] x => uint8[3,8] y",
        "y = QLinearMatMul(x, s, z, w, s, wz, s, z)",
        3 * 4 * 8,
        {"w": int8(4, 8), **SCALE},
    ),
    "matmul_integer": Counted(
        "uint8[2,3,4] x => int32[2,3,8] y", "y = MatMulInteger(x, w)", 2 * 3 * 4 * 8, {"w": int8(4, 8)}
    ),
    "matmul_nbits": Counted(
        "float[3,32] x => float[3,6] y",
        f"y = {MS}.MatMulNBits<K=32, N=6, bits=4, block_size=16>(x, w, s)",
        3 * 32 * 6,
        {"w": np.ones((6, 2, 8), np.uint8), "s": (6, 2)},
    ),
    "fused_matmul": Counted(
        "float[2,4,3] a, float[2,5,4] b => float[2,3,5] y",
        f"y = {MS}.FusedMatMul<transA=1, transB=1>(a, b)",
        2 * 3 * 4 * 5,
    ),
    "fused_gemm": Counted(
        "float[3,4] x => float[3,6] y",
        f'y = {MS}.FusedGemm<activation="Relu">(x, w)',
        3 * 4 * 6,
        {"w": (4, 6)},
    ),
    "deform_conv": Counted(
        "float[1,4,6,6] x => float[1,8,4,4] y",
        "y = DeformConv(x, w, o)",
        16 * 8 * 4 * 9,
        {"w": (8, 4, 3, 3), "o": (1, 18, 4, 4)},
    ),
    "causal_conv": Counted(
        "float[1,4,9] x => float[1,4,9] y",
        f"y, t = {MS}.CausalConvWithState(x, w)",
        4 * 9 * 3,
        {"w": (4, 1, 3)},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_multiply_accumulates(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    made = model(case.signature, case.body, opset=case.opset, **case.weights)
    graph = load_graph(save(made, tmp_path))
    assert CostModel(find_groups(graph)).count({}).macs == case.macs

"""The rules of the channel check: silent on valid nodes, loud on extents that do not fit."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx import numpy_helper, parser
from onnx.backend.test.case.node import collect_testcases

from onnxprune.onnx_file import Graph
from onnxprune.onnx_file.graph import view
from onnxprune.verification.channels import RULES, node_faults

# operator, attributes, extents of the inputs and of the outputs, what is said of them
MISFITS: list[tuple[str, str, list[tuple[int, ...]], list[tuple[int, ...]], str]] = [
    ("Conv", "", [(1, 4, 8, 8), (6, 3, 3, 3)], [(1, 6, 6, 6)], "input has 4 channels, weight expects 3"),
    ("Conv", "group=2", [(1, 4, 8, 8), (5, 2, 3, 3)], [(1, 5, 6, 6)], "5 output channels are not divisible"),
    ("Conv", "", [(1, 3, 8, 8), (6, 3, 3, 3), (5,)], [(1, 6, 6, 6)], "bias: got (5,), expected (6,)"),
    ("Conv", "kernel_shape=[3,3]", [(1, 3, 8, 8), (6, 3, 3, 2)], [(1, 6, 6, 7)], "kernel_shape"),
    ("Conv", "", [(1, 3, 8, 8), (6, 3, 3, 3)], [(1, 5, 6, 6)], "output channels: got 5, expected 6"),
    (
        "ConvTranspose",
        "",
        [(1, 4, 8, 8), (3, 6, 2, 2)],
        [(1, 6, 9, 9)],
        "input has 4 channels, weight expects 3",
    ),
    ("ConvTranspose", "group=2", [(1, 4, 8, 8), (4, 6, 2, 2), (6,)], [(1, 12, 9, 9)], "bias"),
    ("Gemm", "transB=1", [(2, 4), (5, 3)], [(2, 5)], "input has 4 features, weight expects 3"),
    ("Gemm", "", [(2, 4), (4, 5), (4,)], [(2, 5)], "C has extents (4,)"),
    ("MatMul", "", [(2, 7, 4), (3, 5)], [(2, 7, 5)], "input has 4 features, weight expects 3"),
    ("MatMul", "", [(2, 7, 4), (3, 4, 5)], [(2, 7, 5)], "leading extents"),
    ("Einsum", 'equation="bij,bjk->bik"', [(2, 3, 4), (2, 5, 6)], [(2, 3, 6)], "index 'j' has extent 4"),
    ("BatchNormalization", "", [(1, 4, 2), (4,), (4,), (3,), (4,)], [(1, 4, 2)], "parameter 3"),
    ("InstanceNormalization", "", [(1, 4, 2), (4,), (3,)], [(1, 4, 2)], "parameter 2"),
    ("LayerNormalization", "", [(1, 4, 8), (7,)], [(1, 4, 8)], "parameter 1 has extents (7,)"),
    (
        "GroupNormalization",
        "num_groups=4",
        [(1, 6, 2), (4,), (4,)],
        [(1, 6, 2)],
        "6 channels are not divisible",
    ),
    ("GroupNormalization", "num_groups=2", [(1, 6, 2), (2,), (3,)], [(1, 6, 2)], "parameter 2"),
    ("PRelu", "", [(1, 4, 2, 2), (3, 1, 1)], [(1, 4, 2, 2)], "slope has extents"),
    ("QuantizeLinear", "", [(1, 4, 2), (3,)], [(1, 4, 2)], "scale: got (3,), expected (4,)"),
    ("DequantizeLinear", "axis=0", [(4, 2), (4,), (3,)], [(4, 2)], "zero point"),
    ("Add", "", [(1, 4, 2), (3, 1)], [(1, 4, 2)], "do not fit each other"),
    ("Mul", "", [(1, 4, 2), (4, 1)], [(1, 3, 2)], "output 0: got (1, 3, 2), expected (1, 4, 2)"),
    ("Where", "", [(4,), (2, 4), (2, 3)], [(2, 4)], "do not fit each other"),
    ("Relu", "", [(1, 4)], [(1, 3)], "output 0"),
    ("MaxPool", "kernel_shape=[2]", [(1, 4, 8)], [(1, 3, 7)], "output batch and channels"),
    ("Concat", "axis=1", [(1, 4, 2), (1, 3, 3)], [(1, 7, 2)], "only axis 1 may differ"),
    ("Concat", "axis=1", [(1, 4, 2), (1, 3, 2)], [(1, 8, 2)], "expected (1, 7, 2)"),
    ("Split", "axis=1, num_outputs=2", [(1, 7)], [(1, 4), (1, 4)], "output 1: got (1, 4), expected (1, 3)"),
    ("Flatten", "", [(2, 4, 3)], [(2, 9)], "expected (2, 12)"),
    ("Transpose", "perm=[1,0]", [(2, 3)], [(2, 3)], "expected (3, 2)"),
    ("Transpose", "perm=[0,1]", [(2, 3, 4)], [(2, 3, 4)], "is no order of 3 axes"),
    ("DepthToSpace", "blocksize=2", [(1, 6, 2, 2)], [(1, 1, 4, 4)], "6 channels are not divisible by 2 x 2"),
    ("SpaceToDepth", "blocksize=2", [(1, 3, 2, 2)], [(1, 11, 1, 1)], "output 0"),
    ("GatherND", "", [(3, 4), (5, 3)], [(5,)], "indexes 3 axes"),
    ("LSTM", "hidden_size=5", [(7, 1, 4), (1, 20, 3), (1, 20, 5)], [], "input size of W: got 3, expected 4"),
    ("LSTM", "hidden_size=5", [(7, 1, 4), (1, 16, 4), (1, 16, 4)], [], "hidden_size: got 5, expected 4"),
    (
        "GRU",
        "hidden_size=5",
        [(7, 1, 4), (1, 15, 4), (1, 15, 5), (1, 24)],
        [],
        "B: got (1, 24), expected (1, 30)",
    ),
    (
        "com.microsoft.QLinearAdd",
        "",
        [(1, 4), (), (), (1, 3), (), (), (), ()],
        [(1, 4)],
        "extents (1, 4) and (1, 3) do not fit",
    ),
    (
        "com.microsoft.QLinearConcat",
        "axis=1",
        [(), (), (1, 4), (), (), (1, 3), (), ()],
        [(1, 8)],
        "expected (1, 7)",
    ),
    ("com.microsoft.QGemm", "transB=1", [(2, 4), (), (), (5, 3), (), ()], [(2, 5)], "weight expects 3"),
    ("com.microsoft.FusedMatMul", "transB=1", [(2, 4), (5, 3)], [(2, 5)], "weight expects 3"),
    ("com.microsoft.BiasGelu", "", [(2, 4), (3,)], [(2, 4)], "input 1: got (3,), expected (4,)"),
    ("com.microsoft.MatMulNBits", "K=32, N=8", [(2, 48), (8, 1, 16)], [(2, 8)], "K: got 32, expected 48"),
    ("com.microsoft.SkipLayerNormalization", "", [(1, 2, 4), (1, 2, 4), (3,)], [(1, 2, 4)], "parameter 2"),
    (
        "com.microsoft.MultiHeadAttention",
        "num_heads=4",
        [(1, 5, 10), (1, 5, 10), (1, 5, 10)],
        [(1, 5, 10)],
        "hidden extent 10 is not divisible by 4",
    ),
    ("com.microsoft.Attention", "num_heads=2", [(1, 5, 8), (6, 12), (12,)], [(1, 5, 4)], "weight expects 6"),
]
NUMBERS: list[tuple[str, str, tuple[int, ...], list[list[int]], tuple[int, ...], str]] = [
    ("Reshape", "", (2, 6), [[2, 4]], (2, 4), "12 elements (2, 6) do not fit the target [2, 4]"),
    ("Reshape", "", (2, 6), [[-1, 5]], (2, 5), "do not fit the target"),
    ("Split", "axis=1", (1, 6), [[4, 3]], (1, 4), "do not add up to extent 6"),
    ("Expand", "", (4, 1), [[3, 2]], (3, 2), "do not broadcast to the target"),
    ("Tile", "", (4, 1), [[2]], (8, 1), "1 repeats for 2 axes"),
    ("Slice", "", (4, 8), [[0], [6], [1]], (4, 5), "expected (4, 6)"),
    ("Pad", "", (4, 8), [[0, 1, 0]], (4, 9), "3 pads for 2 axes"),
    ("Pad", "", (4, 8), [[0, 1, 0, 1]], (4, 9), "expected (4, 10)"),
    ("Gather", "axis=1", (4, 8), [[0, 8]], (4, 2), "index 8 lies outside axis 1 of extent 8"),
    ("Squeeze", "", (4, 8), [[1]], (4,), "whose extent is not 1"),
    ("Unsqueeze", "", (4, 8), [[0]], (4, 8, 1), "expected (1, 4, 8)"),
    ("ReduceSum", "keepdims=0", (4, 8), [[1]], (8,), "expected (4,)"),
    ("TopK", "", (4, 8), [[9]], (4, 9), "takes 9 of 8 elements"),
]


def one_node(operator: str, attributes: str, inputs: int, outputs: int) -> Graph:
    ins, outs = ([f"{side}{i}" for i in range(count)] for side, count in (("i", inputs), ("o", outputs)))
    given, made = (", ".join(f"float {name}" for name in side) for side in (ins, outs))
    text = f"""<ir_version: 8, opset_import: ["" : 18, "com.microsoft" : 1]> g ({given}) => ({made})
        {{ {", ".join(outs)} = {operator}<{attributes}>({", ".join(ins)}) }}"""
    return view(parser.parse_model(text.replace("<>", "")), Path("m.onnx"))


@pytest.mark.parametrize("misfit", MISFITS, ids=lambda m: f"{m[0]}-{m[4][:30]}")
def test_extents_that_do_not_fit_are_named(misfit: tuple) -> None:
    operator, attributes, inputs, outputs, message = misfit
    graph = one_node(operator, attributes, len(inputs), max(1, len(outputs)))
    graph.shapes = {f"i{n}": s for n, s in enumerate(inputs)} | {f"o{n}": s for n, s in enumerate(outputs)}
    faults = list(node_faults(graph))
    assert any(message in fault for fault in faults), faults
    assert all(fault.startswith(f"node o0 ({operator.split('.')[-1]})") for fault in faults)


@pytest.mark.parametrize("misfit", NUMBERS, ids=lambda m: f"{m[0]}-{m[5][:30]}")
def test_numbers_that_do_not_fit_are_named(misfit: tuple) -> None:
    operator, attributes, data, numbers, out, message = misfit
    graph = one_node(operator, attributes, 1 + len(numbers), 1)
    for slot, values in enumerate(numbers, start=1):
        graph.model.graph.initializer.append(numpy_helper.from_array(np.array(values, np.int64), f"i{slot}"))
    graph = view(graph.model, Path("m.onnx"))
    constants = {name: constant.shape for name, constant in graph.initializers.items()}
    graph.shapes = {"i0": data, "o0": out} | constants
    faults = list(node_faults(graph))
    assert any(message in fault for fault in faults), faults


def conforming() -> Iterator[tuple[str, Graph]]:
    """ONNX's own test of each node, with the extents that its data have."""
    for found in collect_testcases(None):
        if found.model is None or found.model.functions or not found.data_sets:
            continue
        ins, outs = found.data_sets[0]
        graph = found.model.graph
        shapes = {
            value.name: array.shape
            for value, array in zip([*graph.input, *graph.output], [*ins, *outs], strict=False)
            if isinstance(array, np.ndarray)
        }
        constants = [
            numpy_helper.from_array(array, value.name)
            for value, array in zip(graph.input, ins, strict=False)
            if isinstance(array, np.ndarray) and array.dtype.kind in "iu" and array.size < 100
        ]
        graph.initializer.extend(constants if len(graph.node) == 1 else [])
        lens = view(found.model, Path("m.onnx"))
        lens.shapes = shapes
        yield found.name, lens


@pytest.mark.filterwarnings("ignore")
def test_nothing_is_said_of_the_nodes_in_onnx_own_tests() -> None:
    seen, loud = set(), {}
    for name, graph in conforming():
        seen |= {(node.domain, node.op_type) for node in graph.nodes}
        faults = list(node_faults(graph))
        if faults:
            loud[name] = faults[0]
    assert loud == {}
    untested = {name for domain, name in set(RULES) - seen if not domain}
    random = {"RandomNormal", "RandomNormalLike", "RandomUniform"}
    assert untested <= {"Constant", "GlobalLpPool", "SimplifiedLayerNormalization", *random}

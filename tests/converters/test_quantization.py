"""Quantised models: gradients through rounding, weights of few bits, ONNX Runtime's own operators."""

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from onnx import TensorProto, checker, helper, numpy_helper, parser

from onnxprune.converters import to_onnx, to_torch
from onnxprune.converters.formats import FORMATS
from onnxprune.onnx_file import Graph
from onnxprune.onnx_file.graph import view
from tests.converters.against_ort import feeds_of, in_ort, in_torch, node_model

RNG = np.random.default_rng(0)
NETWORK = """<ir_version: 10, opset_import: ["" : 21]>
g (float[N, 3, 8, 8] x) => (float[N, 5] y)
<float xs = {0.05}, uint8 xz = {128}, float vs = {0.01}, int64[2] axes = {1, 2}> {
    q = QuantizeLinear(x, xs, xz)  d = DequantizeLinear(q, xs, xz)
    wd = DequantizeLinear <axis = 0> (w, ws)  bd = DequantizeLinear <axis = 0> (b, bs)
    c = Conv <pads = [1, 1, 1, 1]> (d, wd, bd)
    cq = QuantizeLinear(c, xs, xz)  cp = MaxPool <kernel_shape = [2, 2]> (cq)
    ct = Transpose <perm = [0, 2, 3, 1]> (cp)  cd = DequantizeLinear(ct, xs, xz)
    r = ReduceMean <keepdims = 0> (cd, axes)
    vt = Transpose <perm = [1, 0]> (v)  vd = DequantizeLinear(vt, vs)  y = MatMul(r, vd)
}"""


def network(few_bits: Any = ml_dtypes.int4) -> Graph:
    weights = {
        "w": RNG.integers(-128, 128, (4, 3, 3, 3)).astype(np.int8),
        "ws": RNG.uniform(0.005, 0.01, 4).astype(np.float32),
        "b": RNG.integers(-(2**30), 2**30, 4).astype(np.int32),
        "bs": np.full(4, 1e-9, np.float32),
        "v": RNG.integers(-8, 8, (5, 4)).astype(few_bits),
    }
    model = parser.parse_model(NETWORK)
    model.graph.initializer.extend(numpy_helper.from_array(a, name) for name, a in weights.items())
    checker.check_model(model, full_check=True)
    return view(model, Path("model.onnx"))


def images() -> Any:
    return np.random.default_rng(1).normal(size=(2, 3, 8, 8)).astype(np.float32)


def test_a_quantised_network_runs_as_in_onnx_runtime_and_returns_as_it_was() -> None:
    graph, x = network(), images()
    want = in_ort(graph.model, {"x": x}, optimized=False)[0]
    module = to_torch(graph)
    np.testing.assert_allclose(module(torch.from_numpy(x)).detach(), want, rtol=1e-5, atol=1e-6)
    assert to_onnx(module, graph) == graph.model


def test_gradients_reach_input_and_quantised_weights() -> None:
    module, x = to_torch(network()), torch.from_numpy(images()).requires_grad_()
    module(x).square().sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    weights = dict(module.weights())
    assert weights.keys() == {"w", "b", "v"}
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in weights.values())


def test_trained_weights_are_rounded_and_clipped_as_the_forward_does() -> None:
    graph, x = network(), images()
    module = to_torch(graph)
    with torch.no_grad():
        for weight in module.parameters():
            weight.add_(3 * torch.randn(weight.shape, generator=torch.manual_seed(0)))
        dict(module.weights())["v"][0] += 20
    trained = to_onnx(module, graph)
    types = [t.data_type for t in trained.graph.initializer]
    assert types == [t.data_type for t in graph.model.graph.initializer]
    want = in_ort(trained, {"x": x}, optimized=False)[0]
    np.testing.assert_allclose(module(torch.from_numpy(x)).detach(), want, rtol=1e-5, atol=1e-6)


def test_biases_at_the_end_of_their_range_are_clipped_not_turned_round() -> None:
    graph = network()
    module = to_torch(graph)
    with torch.no_grad():
        module.initializers["b"].copy_(torch.tensor([3e9, 2.0**31, -3e9, 5.0]))
    bias = {t.name: numpy_helper.to_array(t) for t in to_onnx(module, graph).graph.initializer}["b"]
    assert bias.tolist() == [2**31 - 1, 2**31 - 1, -(2**31), 5]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16"])
def test_gradients_pass_the_quantisation_that_onnx_runtime_contributes(dtype: str) -> None:
    text = f"""<ir_version: 10, opset_import: ["" : 17, "com.microsoft" : 1]>
    g (float[N, 4] x) => (float[N, 3] y) <float s = {{0.02}}, {dtype} z = {{100}}> {{
        q = com.microsoft.QuantizeLinear(x, s, z)  d = com.microsoft.DequantizeLinear(q, s, z)
        wd = com.microsoft.DequantizeLinear(w, s, z)  p = MatMul(d, wd)
        pq = com.microsoft.QuantizeLinear(p, s, z)  y = com.microsoft.DequantizeLinear(pq, s, z)
    }}"""
    model = parser.parse_model(text)
    weight = RNG.integers(90, 110, (4, 3)).astype(dtype)
    model.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    x = RNG.uniform(-0.5, 0.5, (2, 4)).astype(np.float32)
    module, inputs = to_torch(view(model, Path("model.onnx"))), torch.from_numpy(x).requires_grad_()
    outputs = module(inputs)
    np.testing.assert_allclose(outputs.detach(), in_ort(model, {"x": x}, optimized=False)[0], atol=1e-6)
    outputs.square().sum().backward()
    for gradient in (inputs.grad, module.initializers["w"].grad):
        assert gradient is not None
        assert gradient.abs().sum() > 0


def test_scales_and_zero_points_differentiate_where_they_are_asked_for() -> None:
    module = to_torch(network(), trainable=lambda name: name in ("xs", "xz", "ws"))
    module(torch.from_numpy(images())).square().sum().backward()
    weights = dict(module.weights())
    assert weights.keys() == {"xs", "xz", "ws"}
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in weights.values())


def test_a_quantised_network_is_one_graph_and_maps_over_samples() -> None:
    module, x = to_torch(network()), torch.from_numpy(images())
    assert torch._dynamo.explain(module)(x).graph_count == 1
    mapped = torch.func.vmap(module)(x[:, None])
    torch.testing.assert_close(mapped[:, 0], module(x))


def test_a_value_that_others_read_too_stays_quantised() -> None:
    text = """<ir_version: 10, opset_import: ["" : 21]> g (float[4] x) => (float[4] y, int8[4] q)
    <float s = {0.1}, int8 z = {3}> { q = QuantizeLinear(x, s, z)  y = DequantizeLinear(q, s, z) }"""
    y, q = to_torch(view(parser.parse_model(text), Path("model.onnx")))(torch.tensor([0.0, 1.0, -1.0, 99.0]))
    assert q.dtype == torch.int8
    assert q.tolist() == [3, 13, -7, 127]
    torch.testing.assert_close(y, torch.tensor([0.0, 1.0, -1.0, 12.4]))


@pytest.mark.parametrize("elem_type", FORMATS)
def test_each_format_rounds_as_its_own_type_does(elem_type: int) -> None:
    dtype = helper.tensor_dtype_to_np_dtype(elem_type)
    format_ = FORMATS[elem_type]
    x = np.concatenate([RNG.normal(size=500) * scale for scale in (1e-3, 0.3, 3, 100)]).astype(np.float32)
    x = np.concatenate([x, np.arange(-8, 8, 0.125, np.float32)]).clip(format_.lowest, format_.highest)
    whole = np.rint(x) if elem_type in WHOLE else x
    got = format_.rounded(torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(got, whole.astype(dtype).astype(np.float32))


WHOLE = {
    getattr(TensorProto, name)
    for name in ("INT2", "UINT2", "INT4", "UINT4", "INT8", "UINT8", "INT16", "UINT16", "INT32")
}


def bits8(*shape: int, signed: bool = False) -> Any:
    low = -128 if signed else 0
    return RNG.integers(low, low + 256, shape).astype(np.int8 if signed else np.uint8)


def scale(value: float) -> Any:
    return np.array(value, np.float32)


def zero(value: int, signed: bool = False) -> Any:
    return np.array(value, np.int8 if signed else np.uint8)


A, B = (bits8(2, 3, 4), scale(0.02), zero(120)), (bits8(3, 4), scale(0.01), zero(7))
IMAGE = (bits8(2, 4, 6, 6), scale(0.02), zero(120))
OUT = (scale(0.04), zero(100))
CASES: dict[str, tuple[str, list[Any], dict[str, Any]]] = {
    "add": ("QLinearAdd", [*A, *B, *OUT], {}),
    "mul": ("QLinearMul", [*A, *B, *OUT], {}),
    "sigmoid": ("QLinearSigmoid", [*A, scale(1 / 256), zero(0)], {}),
    "leaky relu": ("QLinearLeakyRelu", [*A, *OUT], {"alpha": 0.2}),
    "softmax": ("QLinearSoftmax", [*A, scale(1 / 256), zero(0)], {"axis": -1, "opset": 13}),
    "softmax of opset 12": ("QLinearSoftmax", [*A, scale(1 / 256), zero(0)], {"axis": 1, "opset": 12}),
    "concat": ("QLinearConcat", [*OUT, *A, bits8(2, 1, 4), scale(0.05), zero(3)], {"axis": 1}),
    "global pool": ("QLinearGlobalAveragePool", [*IMAGE, *OUT], {"channels_last": 0}),
    "global pool, channels last": ("QLinearGlobalAveragePool", [*IMAGE, *OUT], {"channels_last": 1}),
    "average pool": (
        "QLinearAveragePool",
        [*IMAGE, *OUT],
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
    ),
    "conv": (
        "QLinearConv",
        [
            *IMAGE,
            bits8(6, 2, 3, 3),
            RNG.uniform(0.001, 0.01, 6).astype(np.float32),
            bits8(6) * 0 + 130,
            scale(0.1),
            zero(100),
            RNG.integers(-500, 500, 6).astype(np.int32),
        ],
        {"group": 2, "pads": [1, 1, 0, 1], "strides": [1, 2]},
    ),
    "gemm": (
        "QGemm",
        [bits8(5, 4), scale(0.02), zero(3), bits8(6, 4), scale(0.01), zero(100)],
        {"transB": 1},
    ),
    "gemm to 8 bits": (
        "QGemm",
        [
            bits8(5, 4),
            scale(0.02),
            zero(3),
            bits8(4, 6),
            scale(0.01),
            zero(100),
            RNG.integers(-99, 99, 6).astype(np.int32),
            scale(0.1),
            zero(40),
        ],
        {"alpha": 1.0},
    ),
    "dynamic": (
        "DynamicQuantizeMatMul",
        [RNG.normal(size=(3, 4)).astype(np.float32), bits8(4, 5), scale(0.02), zero(99)],
        {},
    ),
    "to floats": (
        "MatMulIntegerToFloat",
        [bits8(3, 4), bits8(4, 5), scale(0.02), scale(0.1), zero(4), zero(9)],
        {},
    ),
    "4 bits": (
        "MatMulNBits",
        [
            RNG.normal(size=(3, 40)).astype(np.float32),
            bits8(5, 2, 16),
            RNG.uniform(0.1, 1, 10).astype(np.float32),
            bits8(5),
        ],
        {"K": 40, "N": 5, "bits": 4, "block_size": 32},
    ),
    "4 bits without zero points": (
        "MatMulNBits",
        [
            RNG.normal(size=(3, 40)).astype(np.float32),
            bits8(5, 2, 16),
            RNG.uniform(0.1, 1, 10).astype(np.float32),
        ],
        {"K": 40, "N": 5, "bits": 4, "block_size": 32},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_operators_of_onnx_runtime_give_what_it_gives(case: str) -> None:
    op_type, inputs, attributes = CASES[case]
    opset = [helper.make_attribute(n, v) for n, v in attributes.items() if n == "opset"]
    attributes = {n: v for n, v in attributes.items() if n != "opset"}
    known = {"QLinearConv"}  # a wider one of com.microsoft exists, which the runtime itself makes
    domain = "" if op_type in known else "com.microsoft"
    model = node_model(op_type, inputs, opset=17, domain=domain, **attributes)
    model.graph.node[0].attribute.extend(opset)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    feeds = feeds_of(inputs)
    got, want = in_torch(model, feeds)[0], in_ort(model, feeds)[0]
    assert got.dtype == want.dtype
    if got.dtype.kind == "f":
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    else:  # the runtime multiplies by tables and reciprocals: ties may go the other way
        assert np.abs(got.astype(int) - want.astype(int)).max() <= 1
        assert (got == want).mean() > 0.9

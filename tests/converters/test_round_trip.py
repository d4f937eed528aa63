"""to_torch and to_onnx: the same numbers, the same bytes, and gradients at every weight."""

import copy
import pickle  # noqa: TID251  that it works on a module is tested
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper, parser

from onnxprune.converters import OnnxModule, to_onnx, to_torch
from onnxprune.converters.planning import SHAPE_OPERATORS
from onnxprune.converters.signature import NUMBERS
from onnxprune.converters.steps import Plan
from onnxprune.errors import UnsupportedError
from onnxprune.onnx_file import Graph, load_graph
from onnxprune.onnx_file.graph import view
from tests.converters.against_ort import in_ort
from tests.exported import EXPORTERS, NETWORKS, SMALL, example_input, export_case

Array = NDArray[Any]
TOLERANCE = 1e-4  # of the largest output
ATTENTION = ("encoder_separate", "encoder_split", "vision_transformer", "language_model")
COMPILED = {"encoder_split", "vision_transformer"}  # what takes long is done with the others by --slow
HEAD = '<ir_version: 10, opset_import: ["" : 21]>'


def model_of(body: str, weights: Mapping[str, Array]) -> Graph:
    """A model from ONNX text and its initializers."""
    model = parser.parse_model(f"{HEAD} g {body}")
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in weights.items())
    onnx.checker.check_model(model, full_check=True)
    return view(model, Path("model.onnx"))


def random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def agrees(graph: Graph, module: OnnxModule, *inputs: Array) -> None:
    """Raises: AssertionError: torch and ONNX Runtime differ."""
    feeds = {value.name: array for value, array in zip(graph.inputs, inputs, strict=True)}
    outputs = module(*(torch.from_numpy(array) for array in inputs))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    for got, want in zip(outputs, in_ort(graph.model, feeds, optimized=False), strict=True):
        np.testing.assert_allclose(got.detach().numpy(), want, rtol=0, atol=TOLERANCE * np.abs(want).max())


def returns(graph: Graph, *inputs: Array) -> OnnxModule:
    """The module, after the law of the round trip: untouched bytes, one change alone, the numbers of each."""
    module = to_torch(graph).eval()
    agrees(graph, module, *inputs)
    assert to_onnx(module, graph) == graph.model
    for name, weight in list(module.weights())[:3]:
        before = weight.detach().clone()
        with torch.no_grad():
            weight.add_(1.5)
        changed = to_onnx(module, graph)
        assert changed_tensors(graph.model, changed) == {name}
        agrees(view(changed, graph.path), module, *inputs)
        with torch.no_grad():
            weight.copy_(before)
    return module


def tensors_in(model: ModelProto) -> dict[str, bytes]:
    """Constants by name, those of subgraphs included."""
    found, waiting = {}, [model.graph]
    while waiting:
        graph = waiting.pop()
        found |= {t.name: t.SerializeToString() for t in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant":
                found[node.output[0]] = node.SerializeToString()
            waiting += [a.g for a in node.attribute if a.type == a.GRAPH]
    return found


def changed_tensors(before: ModelProto, after: ModelProto) -> set[str]:
    old, new = tensors_in(before), tensors_in(after)
    assert old.keys() == new.keys()
    return {name for name in old if old[name] != new[name]}


def gradients(module: OnnxModule, *inputs: Array) -> dict[str, torch.Tensor]:
    """Of the sum of squares of the first output, by initializer."""
    output = module(*(torch.from_numpy(array) for array in inputs))
    output = output[0] if isinstance(output, tuple) else output
    weights = dict(module.weights())
    found = torch.autograd.grad(output.square().sum(), list(weights.values()), allow_unused=True)
    return {name: g for name, g in zip(weights, found, strict=True) if g is not None}


@pytest.mark.parametrize("network", [*SMALL, "resnet20_b"])
@pytest.mark.parametrize("exporter", ["dynamo", "torchscript_bn"])
def test_an_export_runs_and_returns(network: str, exporter: str, exported_folder: Path) -> None:
    graph = load_graph(export_case(network, exporter, exported_folder))
    returns(graph, example_input(network, batch=5).numpy())


@pytest.mark.slow
@pytest.mark.parametrize("network", [*SMALL, *NETWORKS])
@pytest.mark.parametrize("exporter", EXPORTERS)
def test_every_export_runs_and_returns(network: str, exporter: str, exported_folder: Path) -> None:
    graph = load_graph(export_case(network, exporter, exported_folder))
    returns(graph, example_input(network).numpy())


@pytest.mark.parametrize("name", ["resnet20_cifar10", "resnet20_cifar10_bn"])
def test_the_shipped_model_returns(name: str) -> None:
    graph = load_graph(Path(__file__).parents[2] / "models" / f"{name}.onnx")
    module = returns(graph, random(2, 3, 32, 32))
    assert {p.dtype for p in module.parameters()} == {torch.float32}


def test_each_weight_that_matters_by_finite_differences_gets_its_gradient(exported_folder: Path) -> None:
    for network in ("unet", "squeeze_excite", "vision_transformer", "encoder_gated"):
        graph = load_graph(export_case(network, "torchscript", exported_folder))
        x = example_input(network).double()
        module = to_torch(graph).eval().double()
        floats = {n: t for n, t in module.initializers.items() if is_tensor_of_floats(t)}
        loss = module(x).square().sum()
        loss.backward()
        for name, tensor in floats.items():
            step = 1e-4 * torch.randn(tensor.shape, generator=torch.manual_seed(0), dtype=torch.float64)
            with torch.no_grad():
                tensor += step
                moved = module(x).square().sum() - loss
                tensor -= step
            if abs(moved) > 1e-6 * abs(loss):
                expected = 0 if tensor.grad is None else (tensor.grad * step).sum()
                assert abs(moved - expected) < 0.05 * abs(moved) + 1e-7 * abs(loss), (network, name)


def is_tensor_of_floats(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point() and value.numel() > 1


def test_names_that_torch_has_no_place_for_are_weights_all_the_same() -> None:
    names = ["a", "a.b", "training", "forward", "x/y:0", "layer.0.w", "layer.0", "b.", ".c", "_plan", "w·"]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])]
    nodes = [
        helper.make_node("Mul" if i % 2 else "Add", [f"t{i}" if i else "x", name], [f"t{i + 1}"])
        for i, name in enumerate(names)
    ]
    outputs = [helper.make_tensor_value_info(f"t{len(names)}", TensorProto.FLOAT, [2, 3])]
    weights = [numpy_helper.from_array(random(3, seed=i), name) for i, name in enumerate(names)]
    model = helper.make_model(
        helper.make_graph(nodes, "g", inputs, outputs, weights),
        opset_imports=[helper.make_opsetid("", 21)],
        ir_version=10,
    )
    graph = view(model, Path("model.onnx"))
    module = returns(graph, random(2, 3))
    assert set(dict(module.weights())) == set(names)
    assert gradients(module, random(2, 3)).keys() == set(names)
    assert len(module.state_dict()) == len(names)


def test_a_name_with_dots_is_a_parameter_of_submodules() -> None:
    graph = model_of("(float[2, 3] x) => (float[2, 3] y) { y = Mul(x, w) }", {"w": random(3)})
    graph.model.graph.initializer[0].name = graph.model.graph.node[0].input[1] = "layer1.0.conv.weight"
    module = to_torch(view(graph.model, graph.path))
    assert [name for name, _ in module.named_parameters()] == ["layer1.0.conv.weight"]


def test_tied_weights_are_one_parameter() -> None:
    body = """(float[2, 4] x) => (float[2, 4] y) {
        a = MatMul(x, w)  t = Transpose <perm = [1, 0]> (w)  b = MatMul(a, t)  alias = Identity(w)
        y = MatMul(b, alias)
    }"""
    module = returns(model_of(body, {"w": random(4, 4)}), random(2, 4, seed=1))
    assert [name for name, _ in module.named_parameters()] == ["w"]


BEHIND = {
    "Transpose": "v = Transpose <perm = [1, 0]> (w)",
    "Cast": "d = Cast <to = 11> (w)  v = Cast <to = 1> (d)",
    "Identity": "i = Identity(w)  v = Identity(i)",
    "Reshape": "s = Constant <value_ints = [4, 4]> ()  v = Reshape(w, s)",
    "Slice": "b = Constant <value_ints = [0]> ()  e = Constant <value_ints = [4]> ()  v = Slice(w, b, e)",
    "Concat": "b, c = Split <num_outputs = 2> (w)  v = Concat <axis = 0> (c, b)",
    "Gather": "i = Constant <value_ints = [3, -1, 0, 2]> ()  v = Gather(w, i)",
    "quantisation": "q = QuantizeLinear(w, scale)  v = DequantizeLinear(q, scale)",
}


@pytest.mark.parametrize("between", BEHIND)
def test_gradients_reach_a_weight_behind(between: str) -> None:
    body = f"(float[2, 4] x) => (float[2, 4] y) {{ {BEHIND[between]}  y = MatMul(x, v) }}"
    weights = {"w": np.abs(random(4, 4))}
    if between == "quantisation":
        weights["scale"] = np.float32(0.02)
    graph = model_of(body, weights)
    module = to_torch(graph)
    agrees(graph, module, random(2, 4, seed=1))
    assert gradients(module, random(2, 4, seed=1))["w"].abs().sum() > 0


def test_constant_nodes_hold_weights() -> None:
    body = """(float[2, 2] x) => (float[2, 2] y) {
        w = Constant <value = float[2, 2] {1, 2, 3, 4}> ()  y = MatMul(x, w)
    }"""
    module = returns(model_of(body, {}), random(2, 2))
    assert [name for name, _ in module.named_parameters()] == ["w"]


BRANCHES = """(float[2, 3] x, bool c) => (float[2, 3] y) {
    y = If (c) <
        then_branch = a () => (float[2, 3] o) <float[3] w = {1, 2, 3}> { o = Mul(x, w) },
        else_branch = b () => (float[2, 3] o2) { v = Constant <value = float[3] {4, 5, 6}> () o2 = Add(x, v) }
    >
}"""


def test_weights_inside_branches_train_and_return() -> None:
    graph = model_of(BRANCHES, {})
    for condition, name in ((True, "w"), (False, "v")):
        module = returns(graph, random(2, 3), np.array(condition))
        assert dict(module.weights()).keys() == {"w", "v"}
        assert gradients(module, random(2, 3), np.array(condition)).keys() == {name}


def test_a_branch_may_name_its_values_as_the_graph_around_it_does() -> None:
    same_names = BRANCHES.replace("o2", "y").replace("(float[2, 3] o)", "(float[2, 3] y)")
    graph = model_of(same_names.replace("{ o = Mul(x, w) }", "{ y = Mul(x, w) }"), {})
    for condition in (True, False):
        returns(graph, random(2, 3), np.array(condition))


def test_what_the_reference_evaluator_lacks_is_refused_when_planning() -> None:
    text = """<ir_version: 10, opset_import: ["" : 21, "ai.onnx.ml" : 3]> g (float[N, 2] x) => (y)
    { n = Identity(x)  y = ai.onnx.ml.ZipMap <classlabels_int64s = [0, 1]> (n) }"""
    with pytest.raises(UnsupportedError, match=r"node y: .*no ai\.onnx\.ml::ZipMap \(opset 3"):
        to_torch(view(parser.parse_model(text), Path("model.onnx")))


def test_masks_and_what_is_compared_with_are_no_weights() -> None:
    body = """(float[4, 4] x) => (float[4, 4] y) {
        m = Trilu <upper = 0> (ones)  hidden = Equal(m, none)  a = Where(hidden, low, none)
        b = Add(x, causal)  c = Add(a, b)  s = Softmax(c)  y = MatMul(s, w)
    }"""
    causal = np.triu(np.full((4, 4), -65504, np.float32), 1)
    masks = {"ones": np.ones((4, 4), np.float32), "none": np.zeros(1, np.float32)}
    masks |= {"low": np.array([-np.inf], np.float32), "causal": causal}
    module = returns(model_of(body, masks | {"w": random(4, 4)}), random(4, 4))
    assert dict(module.weights()).keys() == {"ones", "w"}


def test_weights_given_to_local_functions_train_and_those_inside_stay() -> None:
    text = """<ir_version: 10, opset_import: ["" : 21, "local" : 1]>
    g (float[2, 3] x) => (float[2, 3] y) <float[3] w = {1, 2, 3}> {
        a = local.scale(x, w)  y = local.scale(a, w)
    }
    <domain: "local", opset_import: ["" : 21]>
    scale (x, w) => (y) { c = Constant <value = float[3] {1, 2, 4}> ()  a = Mul(x, w)  y = Mul(a, c) }"""
    graph = view(parser.parse_model(text), Path("model.onnx"))
    module = returns(graph, random(2, 3))
    assert [name for name, _ in module.named_parameters()] == ["w"]


def test_local_functions_may_be_of_another_opset() -> None:
    text = """<ir_version: 8, opset_import: ["" : 18, "local" : 1]>
    g (float[2, 3] x) => (float[2, 3] y) <float[3] w = {1, 2, 3}> { y = local.scale(x, w) }
    <domain: "local", opset_import: ["" : 13]>
    scale (x, w) => (y) { a = Mul(x, w)  y = Softmax(a) }"""
    module = returns(view(parser.parse_model(text), Path("model.onnx")), random(2, 3))
    assert [name for name, _ in module.named_parameters()] == ["w"]


def test_a_sparse_initializer_is_a_buffer() -> None:
    graph = model_of("(float[2, 4] x) => (float[2, 4] y) { y = Add(x, s) }", {"s": np.zeros(4, np.float32)})
    model = graph.model
    del model.graph.initializer[:]
    values = helper.make_tensor("s", TensorProto.FLOAT, [2], [5.0, 7.0])
    indices = helper.make_tensor("indices", TensorProto.INT64, [2], [1, 3])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4]))
    module = returns(view(model, graph.path), random(2, 4))
    assert not list(module.weights())
    assert module.tensor("s").tolist() == [0, 5, 0, 7]


def test_external_data_comes_and_goes(tmp_path: Path) -> None:
    w = np.abs(random(40, 40))  # sums in which nothing cancels: float32 gives five digits of all
    graph = model_of("(float[2, 40] x) => (float[2, 40] y) { y = MatMul(x, w) }", {"w": w})
    path = tmp_path / "model.onnx"
    onnx.save_model(
        copy.deepcopy(graph.model), path, save_as_external_data=True, size_threshold=0, location="model.data"
    )
    stored = load_graph(path)
    module = to_torch(stored)
    x = np.abs(random(2, 40))
    np.testing.assert_allclose(
        module(torch.from_numpy(x)).detach(), in_ort(graph.model, {"x": x})[0], rtol=1e-5
    )
    assert to_onnx(module, stored) == stored.model
    before = (tmp_path / "model.data").read_bytes()
    with torch.no_grad():
        next(module.parameters()).zero_()
    assert not numpy_helper.to_array(to_onnx(module, stored).graph.initializer[0]).any()
    assert (tmp_path / "model.data").read_bytes() == before


@pytest.mark.parametrize("network", ["residual", "encoder_slice", "lstm"])
def test_copies_and_pickles_run_and_return_alike(network: str, exported_folder: Path) -> None:
    graph = load_graph(export_case(network, "dynamo", exported_folder))
    module, x = to_torch(graph).eval(), example_input(network)
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):  # noqa: S301
        assert torch.equal(other(x), module(x))
        with torch.no_grad():
            next(other.parameters()).add_(1)
        assert to_onnx(module, graph) == graph.model
        assert to_onnx(other, graph) != graph.model


def tensors_read_as_numbers(plan: Plan) -> list[str]:
    """Values that the walk would copy from their device, and that torch.compile could not follow."""
    hosts: set[str] = set()
    found = []
    for step in plan.steps:
        found += [s.name for s in step.sources if s.change in NUMBERS and s.name not in hosts]
        hosts.update(step.outputs if step.function is None or step.op_type in SHAPE_OPERATORS else ())
    return found


@pytest.mark.parametrize(
    ("network", "exporter"),
    [
        pytest.param(name, way, marks=pytest.mark.slow)
        if way == "dynamo_raw" and name not in COMPILED
        else (name, way)
        for name in (*ATTENTION, "unet_resize", "grouped_shuffle", "group_norm")
        for way in ("dynamo_raw", "torchscript", "torchscript_bn")
    ],
)
def test_no_export_reads_numbers_out_of_tensors(network: str, exporter: str, exported_folder: Path) -> None:
    module = to_torch(load_graph(export_case(network, exporter, exported_folder)))
    assert tensors_read_as_numbers(module._plan) == []


@pytest.mark.filterwarnings("ignore")  # dynamo looks at attributes that warn
@pytest.mark.parametrize(
    "network",
    [name if name in COMPILED else pytest.param(name, marks=pytest.mark.slow) for name in ATTENTION],
)
@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
def test_shape_arithmetic_compiles_to_one_graph(network: str, exporter: str, exported_folder: Path) -> None:
    module = to_torch(load_graph(export_case(network, exporter, exported_folder))).eval()
    x = example_input(network)
    torch._dynamo.reset()
    torch._dynamo.mark_dynamic(x, 0)
    found = torch._dynamo.explain(module)(x)
    assert found.graph_count == 1, found.break_reasons


@pytest.mark.parametrize("elem_type", [TensorProto.FLOAT16, TensorProto.BFLOAT16])
def test_master_weights_are_float32_and_return_in_half_precision(elem_type: int) -> None:
    kind = {TensorProto.FLOAT16: "float16", TensorProto.BFLOAT16: "bfloat16"}[elem_type]
    weight = numpy_helper.from_array(random(4, 4).astype(helper.tensor_dtype_to_np_dtype(elem_type)), "w")
    text = f"""{HEAD} g ({kind}[2, 4] x, float[2, 4] z) => ({kind}[2, 4] y) {{
        a = MatMul(x, w)  b = Cast <to = 1> (a)  c = Add(b, z)  d = Cast <to = {elem_type}> (c)  y = Mul(a, d)
    }}"""
    model = parser.parse_model(text)
    model.graph.initializer.append(weight)
    graph = view(model, Path("model.onnx"))
    module, plain = to_torch(graph, master=True), to_torch(graph)
    dtype = getattr(torch, kind)
    x, z = torch.from_numpy(random(2, 4)).to(dtype), torch.from_numpy(random(2, 4, seed=1))
    assert [p.dtype for p in module.parameters()] == [torch.float32]
    assert module(x, z).dtype == dtype
    torch.testing.assert_close(module(x, z), plain(x, z), rtol=0.05, atol=0.05)
    assert to_onnx(module, graph) == model
    with torch.no_grad():
        next(module.parameters()).mul_(2)
    assert to_onnx(module, graph).graph.initializer[0].data_type == elem_type

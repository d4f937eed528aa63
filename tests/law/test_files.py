"""The law on what files are like: shared and tied constants, IR 3, functions, subgraphs, types, metadata."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper, parser

from onnxprune.groups import find_groups
from onnxprune.onnx_file import load_graph
from onnxprune.pruning import prune
from tests.law.build import Weight, ints, model, random_weight
from tests.law.check import Trial, check_law, free, reasons
from tests.law.conftest import Law

IMAGE = "float[N,3,8,8] x => float[N,5] y"
HEAD = """
    pool = GlobalAveragePool(last)
    flat = Flatten(pool)
    y = Gemm<transB=1>(flat, fc, fcb)
"""
FC: dict[str, Weight] = {"fc": (5, 6), "fcb": 5}
TWO = "a = Conv(x, w1, b1)\nr = Relu(a)\nlast = Conv(r, w2, b2)\n" + HEAD
TWO_WEIGHTS: dict[str, Weight] = {"w1": (7, 3, 1, 1), "b1": 7, "w2": (6, 7, 1, 1), "b2": 6, **FC}
TWO_FREE = ["7: w1.0 b1.0 w2.1", "6: w2.0 b2.0 fc.1"]


def test_tied_weights_stay_tied(law: Law) -> None:
    body = "a = Conv(x, w0)\nb = Conv(a, w)\nc = Relu(b)\nlast = Conv(c, w)\n" + HEAD
    assert law(IMAGE, body, w0=(6, 3, 1, 1), w=(6, 6, 1, 1), **FC) == ["6: w0.0 w.0 w.1 fc.1"]


def test_tied_weights_of_streams_of_their_own_couple_them(law: Law) -> None:
    body = """
        a = Conv(x, w0)
        b = Conv(x, w0)
        c = Sigmoid(b)
        d = Conv(a, w2)
        e = Conv(c, w3)
        last = Add(d, e)
    """
    found = law(IMAGE, body + HEAD, w0=(7, 3, 1, 1), w2=(6, 7, 1, 1), w3=(6, 7, 1, 1), **FC)
    assert found == ["7: w0.0 w2.1 w3.1", "6: w2.0 w3.0 fc.1"]


def test_a_language_model_head_tied_to_its_table(law: Law) -> None:
    body = """
        e = Gather(table, x)
        h = MatMul(e, w1)
        r = Relu(h)
        o = MatMul(r, w2)
        t = Transpose(table)
        y = MatMul(o, t)
    """
    weights = {"table": (9, 6), "w1": (6, 10), "w2": (10, 6)}
    found = law("int64[N,4] x => float[N,4,9] y", body, trial=Trial(limit=9), **weights)
    assert found == ["6: table.1 w1.0 w2.1", "10: w1.1 w2.0"]


def test_one_bias_for_two_convolutions_couples_them(law: Law) -> None:
    """Freshly initialised networks export equal biases as one initializer."""
    body = "a = Conv(x, w1, b)\nr = Relu(a)\nlast = Conv(r, w2, b)\n" + HEAD
    assert law(IMAGE, body, w1=(6, 3, 1, 1), b=6, w2=(6, 6, 1, 1), **FC) == ["6: w1.0 b.0 w2.0 w2.1 fc.1"]


def test_one_shape_constant_for_two_groups_is_copied(law: Law) -> None:
    body = """
        a = Conv(x, w1)
        b = Conv(x, w2)
        ra = Reshape(a, shape)
        rb = Reshape(b, shape)
        fa = Gemm(ra, f1)
        fb = Gemm(rb, f2)
        y = Add(fa, fb)
    """
    weights = {"w1": (6, 3, 8, 8), "w2": (6, 3, 8, 8), "shape": ints(-1, 6), "f1": (6, 5), "f2": (6, 5)}
    assert law(IMAGE, body, **weights) == ["6: w1.0 f1.0", "6: w2.0 f2.0"]


def test_one_constant_for_split_sizes_and_a_shape(law: Law) -> None:
    body = """
        a = Conv(x, w1)
        l, r = Split<axis=1>(a, pair)
        m = Mul(l, r)
        c = Conv(x, w2)
        d = Reshape(c, pair)
        e = Reshape(d, back)
        last = Concat<axis=1>(m, e)
    """
    weights = {"w1": (8, 3, 8, 8), "pair": ints(4, 4), "w2": (4, 3, 2, 2), "back": ints(1, 16, 1, 1)}
    made = "float[1,3,8,8] x => float[1,5] y"
    body = body.replace(
        "d = Reshape(c, pair)",
        "p = GlobalAveragePool(c)\nq = Concat<axis=0>(p, p, p, p)\nd = Reshape(q, pair)",
    )
    found = law(made, body + HEAD, **weights, fc=(5, 20), fcb=5)
    assert found[0] == "4: w1.0 fc.1"


def test_a_scalar_shared_by_everything_stays(law: Law) -> None:
    body = "a = Conv(x, w1)\nm = Mul(a, half)\nb = Conv(m, w2)\nlast = Mul(b, half)\n" + HEAD
    found = law(IMAGE, body, w1=(7, 3, 1, 1), w2=(6, 7, 1, 1), half=np.array(0.5, np.float32), **FC)
    assert found == ["7: w1.0 w2.1", "6: w2.0 fc.1"]


def test_weights_that_are_graph_inputs_too_as_in_ir_3(tmp_path: Path) -> None:
    made = model(IMAGE, TWO, opset=8, ir=3, **TWO_WEIGHTS)
    for tensor in made.graph.initializer:
        made.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    assert free(check_law(made, tmp_path)) == TWO_FREE


def constant_nodes(made: ModelProto) -> ModelProto:
    """The same model with Constant nodes instead of initializers, in place."""
    nodes = [helper.make_node("Constant", [], [t.name], value=t) for t in made.graph.initializer]
    others = list(made.graph.node)
    del made.graph.initializer[:], made.graph.node[:]
    made.graph.node.extend(nodes + others)
    return made


def test_weights_in_constant_nodes(tmp_path: Path) -> None:
    assert free(check_law(constant_nodes(model(IMAGE, TWO, **TWO_WEIGHTS)), tmp_path)) == TWO_FREE


def test_shapes_in_constant_nodes_with_lists_of_integers(law: Law) -> None:
    body = """
        a = Conv(x, w1)
        shape = Constant<value_ints=[-1,384]>()
        f = Reshape(a, shape)
        y = Gemm<transB=1>(f, fc)
    """
    assert law(IMAGE, body, w1=(6, 3, 1, 1), fc=(5, 384)) == ["6: w1.0 fc.1"]


BEHIND = {
    "transpose": ("w = Transpose<perm=[1,0]>(v)", {"v": (6, 8)}, "v.1", "v.0"),
    "identity": ("w = Identity(v)", {"v": (8, 6)}, "v.0", "v.1"),
    "cast": ("w = Cast<to=1>(v)", {"v": np.arange(48, dtype=np.float64).reshape(8, 6)}, "v.0", "v.1"),
    "reshape": ("w = Reshape(v, to)", {"v": (1, 8, 6, 1), "to": ints(8, 6)}, "v.1", "v.2"),
    "reshape_inferred": ("w = Reshape(v, to)", {"v": (8, 1, 6), "to": ints(-1, 6)}, "v.0", "v.2"),
    "squeeze": ("w = Squeeze(v, ax)", {"v": (8, 1, 6), "ax": ints(1)}, "v.0", "v.2"),
    "unsqueeze": ("u = Unsqueeze(v, ax)\nw = Squeeze(u, ax)", {"v": (8, 6), "ax": ints(1)}, "v.0", "v.1"),
    "scaled": ("w = Mul(v, s)", {"v": (8, 6), "s": (1, 6)}, "v.0", "v.1 s.1"),
    "dequantized": (
        "w = DequantizeLinear(v, s, z)",
        {"v": np.arange(48, dtype=np.int8).reshape(8, 6), "s": np.array(0.1, np.float32),
         "z": np.array(3, np.int8)},
        "v.0", "v.1",
    ),
    "dequantized_per_channel": (
        "w = DequantizeLinear<axis=1>(v, s, z)",
        {"v": np.arange(48, dtype=np.int8).reshape(8, 6), "s": (6,), "z": np.arange(6, dtype=np.int8)},
        "v.0", "v.1 s.0 z.0",
    ),
    "concat": ("w = Concat<axis=1>(v, u)", {"v": (8, 4), "u": (8, 2)}, "v.0 u.0", None),
}  # fmt: skip


@pytest.mark.parametrize("name", BEHIND)
def test_weights_behind_other_nodes(law: Law, name: str) -> None:
    made, weights, row, column = BEHIND[name]
    body = f"a = MatMul(x, w0)\nr = Relu(a)\n{made}\nb = MatMul(r, w)\ny = MatMul(b, w2)\n"
    found = law("float[N,4,3] x => float[N,4,5] y", body, w0=(3, 8), **weights, w2=(6, 5))
    expected = [f"6: {column} w2.0"] if column else ["4: v.1 w2.0", "2: u.1 w2.0"]
    assert found == [f"8: w0.1 {row}", *expected]


def test_local_functions_are_seen_through(tmp_path: Path) -> None:
    made = parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 18, "local" : 1]>
        law (float[N,3,8,8] x) => (float[N,5] y) {
            a = local.block(x, w1, b1)
            last = local.block(a, w2, b2)
            pool = GlobalAveragePool(last)
            flat = Flatten(pool)
            y = Gemm<transB=1>(flat, fc, fcb)
        }
        <domain: "local", opset_import: ["" : 18]>
        block (x, w, b) => (y) { c = Conv(x, w, b)
            y = Relu(c) }
    """)
    rng = np.random.default_rng(0)
    for name, shape in TWO_WEIGHTS.items():
        assert not isinstance(shape, np.ndarray)
        made.graph.initializer.append(numpy_helper.from_array(random_weight(rng, shape, name), name))
    groups = check_law(made, tmp_path)
    assert free(groups) == TWO_FREE
    assert groups.graph.warnings


SUBGRAPHS = {
    "if_capturing_a_value": """
        s = ReduceSum<keepdims=0>(x)
        zero = Constant<value_float=0.0>()
        c = Greater(s, zero)
        a = Conv(x, w1, b1)
        r = If (c) <
            then_branch = one () => (float[N,7,8,8] o) { o = Relu(a) },
            else_branch = two () => (float[N,7,8,8] p) { p = Neg(a) }
        >
        last = Conv(r, w2, b2)
    """,
    "if_capturing_a_weight": """
        s = ReduceSum<keepdims=0>(x)
        zero = Constant<value_float=0.0>()
        c = Greater(s, zero)
        r = If (c) <
            then_branch = one () => (float[N,7,8,8] o) { o = Conv(x, w1, b1) },
            else_branch = two () => (float[N,7,8,8] p) { q = Conv(x, w1, b1)
                p = Neg(q) }
        >
        last = Conv(r, w2, b2)
    """,
    "loop_capturing_a_weight": """
        trips = Constant<value_int=2>()
        on = Constant<value = bool {1}>()
        a = Conv(x, w1, b1)
        r = Loop (trips, on, a) <
            body = step (int64 i, bool c, float[N,7,8,8] s) => (bool d, float[N,7,8,8] t) {
                d = Identity(c)
                t = Conv(s, square)
            }
        >
        last = Conv(r, w2, b2)
    """,
}


@pytest.mark.parametrize("name", SUBGRAPHS)
def test_what_a_subgraph_reads_is_frozen_and_the_rest_is_not(tmp_path: Path, name: str) -> None:
    made = model(IMAGE, SUBGRAPHS[name] + HEAD, **TWO_WEIGHTS, square=(7, 7, 1, 1))
    groups = check_law(made, tmp_path)
    assert free(groups) == ["6: w2.0 b2.0 fc.1"]
    assert "w2.1" in reasons(groups)


def converted(made: ModelProto, kind: int) -> ModelProto:
    """All floats as another type, in place."""
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    for tensor in made.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(dtype), tensor.name))
    for value in (*made.graph.input, *made.graph.output):
        value.type.tensor_type.elem_type = kind
    return made


TYPES = {
    "float16": (TensorProto.FLOAT16, 2e-2),
    "bfloat16": (TensorProto.BFLOAT16, None),
    "double": (TensorProto.DOUBLE, 1e-9),
}


@pytest.mark.parametrize("name", TYPES)
def test_weights_of_other_types_are_cut_as_they_are(tmp_path: Path, name: str) -> None:
    kind, tolerance = TYPES[name]
    body = "a = Gemm(x, w1, b1)\nr = Relu(a)\nb = MatMul(r, w2)\ny = Gemm(b, w3)\n"
    weights: dict[str, Weight] = {"w1": (4, 7), "b1": 7, "w2": (7, 6), "w3": (6, 5)}
    made = converted(model("float[N,4] x => float[N,5] y", body, **weights), kind)
    trial = Trial(tolerance=tolerance or 1.0, runs=tolerance is not None)
    assert free(check_law(made, tmp_path, trial)) == ["7: w1.1 b1.0 w2.0", "6: w2.1 w3.0"]


def test_external_data_is_cut_and_the_rest_stays_where_it_is(tmp_path: Path) -> None:
    made = model(IMAGE, TWO, **TWO_WEIGHTS)
    path = tmp_path / "external.onnx"
    onnx.save(made, path, save_as_external_data=True, location="external.bin", size_threshold=8)
    before = (tmp_path / "external.bin").read_bytes()
    assert free(check_law(path, tmp_path)) == TWO_FREE
    assert (tmp_path / "external.bin").read_bytes() == before


def test_metadata_doc_strings_and_unused_parts_survive(tmp_path: Path) -> None:
    made = model(IMAGE, TWO, ir=10, **TWO_WEIGHTS, unused=(3, 4))
    made.doc_string, made.producer_name, made.model_version, made.domain = "doc", "somebody", 7, "org.example"
    helper.set_model_props(made, {"key": "value"})
    made.graph.doc_string = "graph"
    for item in (made.graph, *made.graph.node, *made.graph.initializer):
        entry = item.metadata_props.add()
        entry.key, entry.value = "scope", "somewhere"
        item.doc_string = "said"
    made.graph.value_info.append(helper.make_tensor_value_info("r", TensorProto.FLOAT, ["N", 7, 8, 8]))
    made.graph.value_info[0].doc_string = "inner"
    assert free(check_law(made, tmp_path)) == TWO_FREE


def test_wrong_declarations_of_inner_extents_stay_as_they_are(tmp_path: Path) -> None:
    """Editors leave them behind; runtimes ignore them."""
    made = model(IMAGE, TWO, **TWO_WEIGHTS)
    made.graph.value_info.append(helper.make_tensor_value_info("r", TensorProto.FLOAT, ["N", 1, 8, 8]))
    path = tmp_path / "declared.onnx"
    path.write_bytes(made.SerializeToString())
    groups = find_groups(load_graph(path))
    pruned = prune(groups, {g.name: np.arange(g.channels) > 1 for g in groups if g.frozen is None})
    assert pruned.graph.value_info == made.graph.value_info


def test_nodes_out_of_order_and_without_names(tmp_path: Path) -> None:
    made = model(IMAGE, TWO, **TWO_WEIGHTS)
    nodes = list(made.graph.node)[::-1]
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    assert free(check_law(made, tmp_path, Trial(runs=False))) == TWO_FREE


def test_a_value_that_is_a_graph_output_too_is_frozen(law: Law) -> None:
    found = law(IMAGE + ", float[N,7,8,8] r", TWO, **TWO_WEIGHTS)
    assert found == ["6: w2.0 b2.0 fc.1"]


def test_a_weight_that_is_a_graph_output_too_is_frozen(law: Law) -> None:
    found = law(IMAGE + ", float[7,3,1,1] w1", TWO, **TWO_WEIGHTS)
    assert found == ["6: w2.0 b2.0 fc.1"]

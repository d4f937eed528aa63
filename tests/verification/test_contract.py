"""The contract: one spoilt copy for each promise."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from tests.verification.cases import Case, cnn, copy_of, tensor

Edit = Callable[[ModelProto], object]


def node(proto: ModelProto, output: str):
    return next(n for n in proto.graph.node if output in n.output)


def rename_input(proto: ModelProto) -> None:
    proto.graph.input[0].name = "image"
    node(proto, "a").input[0] = "image"


def rename_output(proto: ModelProto) -> None:
    proto.graph.output[0].name = node(proto, "y").output[0] = "logits"


def fix_the_batch(proto: ModelProto) -> None:
    dim = proto.graph.input[0].type.tensor_type.shape.dim[0]
    dim.Clear()
    dim.dim_value = 1


def add_a_node(proto: ModelProto) -> None:
    node(proto, "y").output[0] = "before"
    proto.graph.node.append(helper.make_node("Elu", ["before"], ["y"], "extra"))


def swap_nodes(proto: ModelProto) -> None:
    nodes = list(map(copied, proto.graph.node))
    at = next(i for i, n in enumerate(nodes) if "c" in n.output)
    nodes[at], nodes[at + 1] = nodes[at + 1], nodes[at]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)


def copied(item):
    other = type(item)()
    other.CopyFrom(item)
    return other


def read_another_weight(proto: ModelProto) -> None:
    node(proto, "n").input[1:3] = ["bias", "scale"]


def add_unused(proto: ModelProto) -> None:
    proto.graph.initializer.append(numpy_helper.from_array(np.ones(2, np.float32), "leftover"))


def leave_dangling(proto: ModelProto) -> None:
    proto.graph.initializer.append(
        numpy_helper.from_array(numpy_helper.to_array(tensor(proto, "target")), "copy")
    )
    node(proto, "f").input[1] = "copy"


def lose_a_bias(proto: ModelProto) -> None:
    proto.graph.initializer.pop()
    node(proto, "y").input.pop()


def reorder_initializers(proto: ModelProto) -> None:
    proto.graph.initializer.sort(key=lambda t: t.name, reverse=True)


def change_type(proto: ModelProto) -> None:
    target = tensor(proto, "fb2")
    target.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(target).astype(np.float16), "fb2"))


SPOILT: dict[str, tuple[Edit, str]] = {
    "IR version": (lambda p: setattr(p, "ir_version", 9), "ir_version of the model changed"),
    "opset": (lambda p: setattr(p.opset_import[0], "version", 19), "opset_import of the model changed"),
    "new domain": (lambda p: p.opset_import.add(domain="my.ops", version=1), "opset_import"),
    "producer": (lambda p: setattr(p, "producer_name", "us"), "producer_name of the model changed"),
    "doc string": (lambda p: setattr(p, "doc_string", "better"), "doc_string of the model changed"),
    "model metadata": (lambda p: p.metadata_props.add(key="a", value="b"), "metadata_props of the model"),
    "graph name": (lambda p: setattr(p.graph, "name", "other"), "name of the graph changed"),
    "graph metadata": (
        lambda p: p.graph.metadata_props.add(key="a", value="b"),
        "metadata_props of the graph",
    ),
    "input name": (rename_input, "names of the graph's inputs changed"),
    "output name": (rename_output, "names of the graph's outputs changed"),
    "dynamic batch": (fix_the_batch, "input 'x': type, extents or description changed"),
    "input doc": (lambda p: setattr(p.graph.input[0], "doc_string", "!"), "input 'x'"),
    "output type": (
        lambda p: setattr(p.graph.output[0].type.tensor_type, "elem_type", TensorProto.DOUBLE),
        "output 'y': type",
    ),
    "value_info lost": (lambda p: p.graph.value_info.pop(), "names of the graph's value_infos changed"),
    "value_info grew": (
        lambda p: setattr(p.graph.value_info[0].type.tensor_type.shape.dim[1], "dim_value", 99),
        "value_info 'r'",
    ),
    "new operator": (add_a_node, "13 nodes instead of 12; operators Elu are new"),
    "node name": (lambda p: setattr(node(p, "c"), "name", "conv"), "its name changed"),
    "node metadata": (
        lambda p: node(p, "c").metadata_props.add(key="a", value="b"),
        "its metadata_props changed",
    ),
    "node order": (swap_nodes, "its output changed"),
    "operator": (lambda p: setattr(node(p, "r"), "op_type", "Elu"), "its op_type changed"),
    "other weight": (read_another_weight, "input 1 was 'scale' and is 'bias'"),
    "attribute": (lambda p: setattr(node(p, "a").attribute[1], "ints", None) or None, ""),
    "new attribute": (
        lambda p: node(p, "c").attribute.append(helper.make_attribute("strides", [1, 1])),
        "attribute 'strides' was absent and is",
    ),
    "unused constant": (add_unused, "'leftover' is read by nothing"),
    "dangling constant": (leave_dangling, "'target' is read by nothing, it was in the original"),
    "initializer order": (reorder_initializers, "order of the initializers changed"),
    "initializer lost": (lose_a_bias, "initializers are missing: ['fb2']"),
    "initializer doc": (
        lambda p: setattr(tensor(p, "w2"), "doc_string", "!"),
        "doc_string of initializer 'w2'",
    ),
    "weight type": (change_type, "data_type of initializer 'fb2' changed"),
}
SPOILT.pop("attribute")


def set_pads(proto: ModelProto) -> None:
    pads = next(a for a in node(proto, "c").attribute if a.name == "pads")
    pads.ints[0] = 0


SPOILT["attribute"] = (set_pads, "attribute 'pads' was [1, 1, 1, 1] and is [0, 1, 1, 1]")


@pytest.fixture
def described(tmp_path: Path) -> Case:
    case = cnn(tmp_path)
    for proto in (case.groups.graph.model, case.pruned):
        channels = 8 if proto is case.groups.graph.model else tensor(case.pruned, "b1").dims[0]
        info = helper.make_tensor_value_info("r", TensorProto.FLOAT, ["N", channels, 6, 6])
        proto.graph.value_info.append(info)
    return case


@pytest.mark.parametrize("what", SPOILT)
def test_what_users_see_of_a_model_may_not_change(what: str, described: Case) -> None:
    edit, message = SPOILT[what]
    spoilt = copy_of(described.pruned)
    edit(spoilt)
    check = described.verify(spoilt)["contract"]
    assert check.status == "FAIL"
    assert any(message in fault for fault in check.faults), check.faults


def test_our_own_metadata_may_be_written(described: Case) -> None:
    copy = copy_of(described.pruned)
    copy.metadata_props.add(key="onnxprune.version", value="1")
    assert described.verify(copy).ok


def test_a_group_attribute_counts_channels_and_may_change(described: Case) -> None:
    assert helper.get_node_attr_value(node(described.pruned, "d"), "group") < 8
    assert described.verify()["contract"].status == "PASS"


def test_declared_extents_that_do_not_follow_from_the_nodes_are_caught(described: Case) -> None:
    spoilt = copy_of(described.pruned)
    spoilt.graph.value_info[0].type.tensor_type.shape.dim[1].dim_value = 1
    assert "value_info of 'r' declares" in described.verify(spoilt)["channels"].detail


def test_a_constant_that_nothing_makes_is_no_traceback(described: Case) -> None:
    spoilt = copy_of(described.pruned)
    node(spoilt, "r").input[0] = "nowhere"
    report = described.verify(spoilt)
    assert not report.ok
    assert "'nowhere'" in report["channels"].detail

"""Gradient nodes name the value that they differentiate; here each gets the subgraph that computes it."""

from collections.abc import Iterable, Mapping

from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto, helper

from onnxprune.onnx_file.ordering import captures

DOMAIN = "ai.onnx.preview.training"


def with_bodies(model: ModelProto) -> ModelProto:
    """The model itself, or a copy in which each Gradient node has `body`, from its inputs to `y`.

    Gradient nodes in subgraphs are left alone.
    """
    if not any(is_gradient(node) for node in model.graph.node):
        return model
    copy = ModelProto()
    copy.CopyFrom(model)
    for node in copy.graph.node:
        if is_gradient(node):
            node.attribute.append(helper.make_attribute("body", body_of(node, copy.graph)))
    return copy


def is_gradient(node: NodeProto) -> bool:
    return node.domain == DOMAIN and node.op_type == "Gradient"


def body_of(gradient: NodeProto, graph: GraphProto) -> GraphProto:
    """What `y` is of the values named by `xs` and `zs`, which are the body's inputs under new names."""
    attributes = {a.name: helper.get_attribute_value(a) for a in gradient.attribute}
    given = [name.decode() for name in (*attributes["xs"], *attributes.get("zs", ()))]
    names = {name: f"{name}@{gradient.output[0]}" for name in given}
    y = attributes["y"].decode()
    nodes = [renamed(node, names) for node in between(graph.node, names, y)]
    inputs = [ValueInfoProto(name=name) for name in names.values()]
    return helper.make_graph(nodes, "gradient", inputs, [ValueInfoProto(name=names.get(y, y))])


def between(nodes: Iterable[NodeProto], names: Mapping[str, str], y: str) -> list[NodeProto]:
    """Nodes that `y` depends on, back to the named values."""
    needed, found = {y} - names.keys(), []
    for node in reversed(list(nodes)):
        if node.op_type != "Constant" and needed.intersection(node.output):
            found.append(node)
            needed |= {*node.input, *captures(node)} - names.keys()
    return found[::-1]


def renamed(node: NodeProto, names: Mapping[str, str]) -> NodeProto:
    copy = NodeProto()
    copy.CopyFrom(node)
    copy.input[:] = [names.get(name, name) for name in node.input]
    return copy

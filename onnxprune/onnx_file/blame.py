"""Whose fault it is when a node cannot be analysed: the file's, or ours.

ONNX's own rules are asked only after something went wrong, so that sound models do not pay for them.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import onnx
from onnx import ModelProto, helper

from onnxprune.errors import ModelError
from onnxprune.onnx_file.graph import Graph, Node

SMALL = 1024


@contextmanager
def blaming(graph: Graph, node: Node) -> Iterator[None]:
    """Turn what an invalid node causes into an error that says what is wrong with it.

    Raises:
        ModelError: E309, in place of an exception inside, where the node breaks ONNX's rules. Where it does
            not, the exception is a mistake of ours and passes.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        fault = fault_of_node(graph, node)
        if not fault:
            raise
        message = f"{graph.path.name}: node {node} is invalid"
        raise ModelError("E309", message, cause=fault, hint="the file is damaged; export it again") from error


def fault_of_node(graph: Graph, node: Node) -> str:
    """Why a node cannot run under the graph's shapes; "" where ONNX's rules find nothing."""
    typed = all(graph.types.get(name) for name in node.inputs if name)
    context = onnx.checker.C.CheckerContext()
    context.ir_version = graph.model.ir_version
    context.opset_imports = {entry.domain: entry.version for entry in graph.model.opset_import}
    try:
        onnx.checker.check_node(node.proto, context)
        if typed:  # inference rejects untyped inputs, which are no fault
            onnx.shape_inference.infer_shapes(one_node_model(graph, node), check_type=True, strict_mode=True)
    except (
        onnx.checker.ValidationError,
        onnx.shape_inference.InferenceError,
        RuntimeError,
        ValueError,
    ) as error:
        return str(error).strip().splitlines()[0]
    return ""


def one_node_model(graph: Graph, node: Node) -> ModelProto:
    """A model of one node; its small constants are constants, its other inputs have their shapes."""
    model = ModelProto(ir_version=graph.model.ir_version, opset_import=graph.model.opset_import)
    model.graph.name = "one node"
    model.graph.node.append(node.proto)
    for name in dict.fromkeys(filter(None, node.inputs)):
        constant = graph.initializers.get(name)
        if constant is not None and constant.size <= SMALL and not constant.is_external:
            model.graph.initializer.add().CopyFrom(constant.proto)
            model.graph.initializer[-1].name = name
        else:
            info = helper.make_tensor_value_info(name, graph.types[name], graph.shapes.get(name))
            model.graph.input.append(info)
    return model

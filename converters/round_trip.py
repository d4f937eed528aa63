"""ONNX -> torch -> ONNX: a module whose parameters are the initializers; the trained arrays back in place."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx.inliner
import torch
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, defs, helper, numpy_helper
from onnx.shape_inference import infer_shapes
from torch import nn

from onnxprune.converters.carrying import carried_values
from onnxprune.converters.formats import FORMATS, Whole
from onnxprune.converters.functions import filling
from onnxprune.converters.gradients import with_bodies
from onnxprune.converters.master import half_values
from onnxprune.converters.module import OnnxModule
from onnxprune.converters.naming import distinct
from onnxprune.converters.planning import Scope, plan_graph
from onnxprune.converters.reading import read_as_numbers
from onnxprune.converters.table import has_function
from onnxprune.converters.types import HALF, NUMPY_ONLY, Array, array_of, tensor_of
from onnxprune.onnx_file import Graph, Initializer
from onnxprune.onnx_file.initializer import constant_of
from onnxprune.onnx_file.ordering import subgraphs
from onnxprune.onnx_file.patch import refill

FLOATS = {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16}
MASKED = -1e4  # what masks add to scores, or less
NOT_WEIGHTS = {  # (operator, input): statistics, what a scale of numbers is, and what the network's form is
    *(("BatchNormalization", i) for i in (3, 4)),
    *((name, i) for name in ("QuantizeLinear", "DequantizeLinear") for i in (1, 2)),
    *((name, 0) for name in ("Shape", "Size")),
    *((name, 1) for name in ("GridSample", "MaxRoiPool", "RoiAlign")),  # places
    *(("RotaryEmbedding", i) for i in (1, 2, 3)),  # angles
    *(("Attention", 3), ("STFT", 2)),  # a mask, a window
    *(("RNN", 5), ("GRU", 5), ("LSTM", 5), ("LSTM", 6)),  # states at the beginning
}


def to_torch(
    graph: Graph, *, trainable: Callable[[str], bool] | None = None, master: bool = False
) -> OnnxModule:
    """The model as a torch module whose parameters and buffers are its initializers.

    Args:
        graph: A model of `load_graph`.
        trainable: Which initializers become parameters, by name; by default those that look like weights:
            floating point, read as a tensor, neither statistics nor masks nor scales of quantisation, not a
            scalar; and quantised ones that DequantizeLinear reads. Constants inside local functions, which
            several nodes may share, and sparse ones stay as they are.
        master: Hold and compute float16 and bfloat16 as float32 (master weights); inputs and outputs keep
            their types, and `to_onnx` casts back.

    Raises:
        UnsupportedError: E406, an operator, input or attribute that the round trip has no function for.
    """
    model = with_bodies(inlined(distinct(graph.model)))
    versions = {"" if o.domain == "ai.onnx" else o.domain: o.version for o in model.opset_import}
    constants = dict(all_constants(model.graph, graph.path.parent))
    own = constants.keys() & {
        name for name, _ in all_constants(distinct(graph.model).graph, graph.path.parent)
    }
    constants |= sparse_constants(model.graph)
    typed = typed_values(model)
    types = {name: elem_type_of(type_) for name, type_ in typed.items()}
    types |= {name: c.proto.data_type for name, c in constants.items()}
    carried = carried_values(list(all_graphs(model.graph)), constants, types)
    foreign = {name for name, type_ in types.items() if type_ in NUMPY_ONLY}
    foreign -= carried.types.keys() | carried.constants
    kept = {output.name for part in all_graphs(model.graph) for output in part.output}
    numbers = read_as_numbers(list(all_nodes(model.graph)), kept, versions)
    lengths = lengths_of(typed)
    scope = Scope(versions, constants, frozenset(foreign), carried, master, lengths, numbers)
    plan = plan_graph(model.graph, scope)
    wanted = trainable or (lambda name: looks_like_weight(name, scope))
    tensors = dict(tensors_of(scope, lambda name: name in own and wanted(name)))
    module = OnnxModule(plan, [o.name for o in model.graph.output], tensors)
    if master:
        inputs = half_values(i for i in model.graph.input if i.name in plan.inputs)
        module._input_types = dict.fromkeys(inputs, torch.float32)
        module._output_types = half_values(model.graph.output)
    return module


def inlined(model: ModelProto) -> ModelProto:
    """The model with those operators replaced by their definition that have one and no function of ours."""
    versions = {"" if o.domain == "ai.onnx" else o.domain: o.version for o in model.opset_import}
    if model.functions:
        own = (o for function in model.functions for o in function.opset_import if not o.domain)
        if all(o.version == versions.get("", 1) for o in own):
            model = onnx.inliner.inline_local_functions(model)
        else:  # what the functions hold is converted to the model's opset
            model = onnx.inliner.inline_local_functions(typed(model), convert_version=True)
    wanted = {
        (node.domain, node.op_type)
        for node in all_nodes(model.graph)
        if lacks_function(node, versions) and is_defined(node, versions)
    }
    if not wanted:
        return model
    return inlined(
        onnx.inliner.inline_selected_functions(typed(model), sorted(wanted), inline_schema_functions=True)
    )


def typed(model: ModelProto) -> ModelProto:
    """A copy that states the types of all values: some definitions depend on them."""
    copy = infer_shapes(model)
    for graph in all_graphs(copy.graph):
        stated = {value.name for value in (*graph.value_info, *graph.input)}
        graph.value_info.extend(
            helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            for tensor in graph.initializer
            if tensor.name not in stated
        )
    return copy


def lacks_function(node: NodeProto, versions: Mapping[str, int]) -> bool:
    domain = "" if node.domain == "ai.onnx" else node.domain
    return not has_function(domain, node.op_type, versions.get(domain, 1))


def is_defined(node: NodeProto, versions: Mapping[str, int]) -> bool:
    """Whether onnx defines an operator by others."""
    domain = "" if node.domain == "ai.onnx" else node.domain
    version = versions.get(domain, 1)
    try:
        schema = defs.get_schema(node.op_type, version, domain)
    except defs.SchemaError:
        return False
    # both are missing in the stubs of onnx
    return any(getattr(schema, f"has_{kind}") for kind in ("function", "context_dependent_function"))


def all_nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """Nodes of a graph and of the subgraphs inside it."""
    waiting = [graph]
    while waiting:
        for node in waiting.pop().node:
            yield node
            waiting.extend(subgraphs(node))


def all_graphs(graph: GraphProto) -> Iterator[GraphProto]:
    yield graph
    for node in all_nodes(graph):
        yield from subgraphs(node)


def all_constants(graph: GraphProto, folder: Path) -> Iterator[tuple[str, Initializer]]:
    """Initializers and the tensors of Constant nodes, those in subgraphs included."""
    for part in all_graphs(graph):
        yield from ((t.name, Initializer(t.name, t, folder)) for t in part.initializer)
        for node in part.node:
            tensor = constant_of(node) if node.op_type == "Constant" else None
            if tensor is not None:
                yield node.output[0], Initializer(node.output[0], tensor, folder, node)


def sparse_constants(graph: GraphProto) -> dict[str, Initializer]:
    """Sparse initializers, made dense."""
    found = {}
    for sparse in (s for part in all_graphs(graph) for s in part.sparse_initializer):
        dense = array_of(filling.constant(sparse_value=sparse.SerializeToString()))
        name = sparse.values.name
        found[name] = Initializer(name, numpy_helper.from_array(dense, name), Path())
    return found


def typed_values(model: ModelProto) -> dict[str, TypeProto]:
    """Types of values, as far as they are known."""
    model = with_known_domains(model)
    try:
        typed = infer_shapes(model, strict_mode=False)
    except (RuntimeError, ValueError):  # the types that the file states must do
        typed = model
    infos = (i for g in all_graphs(typed.graph) for i in (*g.input, *g.value_info, *g.output))
    return {info.name: info.type for info in infos}


def with_known_domains(model: ModelProto) -> ModelProto:
    """For shape inference: nodes that quantise are in onnx's domain, where it knows them."""
    if not any(is_contributed(node) for node in all_nodes(model.graph)):
        return model
    copy = ModelProto()
    copy.CopyFrom(model)
    for node in all_nodes(copy.graph):
        if is_contributed(node):
            node.domain = ""
    return copy


def is_contributed(node: NodeProto) -> bool:
    return node.domain == "com.microsoft" and node.op_type in ("QuantizeLinear", "DequantizeLinear")


def lengths_of(types: Mapping[str, TypeProto]) -> dict[str, int]:
    """Extents of values of one axis."""
    shapes = {name: type_.tensor_type.shape.dim for name, type_ in types.items()}
    return {name: dims[0].dim_value for name, dims in shapes.items() if len(dims) == 1 and dims[0].dim_value}


def elem_type_of(type_: TypeProto) -> int:
    """Of a tensor, or of what a sequence or an optional value holds."""
    while type_.WhichOneof("value") in ("sequence_type", "optional_type"):
        held = type_.sequence_type if type_.HasField("sequence_type") else type_.optional_type
        type_ = held.elem_type
    return type_.tensor_type.elem_type


def tensors_of(scope: Scope, trainable: Callable[[str], bool]) -> Iterator[tuple[str, Any]]:
    """The tensors that the plan reads, as parameters or buffers."""
    for name, constant in scope.constants.items():
        if name in scope.uses:
            array = constant.array()
            value = tensor_of(array.astype(np.float32) if name in scope.carried.constants else array)
            if scope.master and isinstance(value, torch.Tensor) and value.dtype in HALF:
                value = value.float()
            if isinstance(value, torch.Tensor) and value.is_floating_point() and trainable(name):
                value = nn.Parameter(value)
            yield name, value


def looks_like_weight(name: str, scope: Scope) -> bool:
    """Whether a constant is one that training may change (the default of `trainable`)."""
    constant = scope.constants[name]
    if name in scope.carried.constants:
        return name in scope.carried.weights
    if constant.proto.data_type not in FLOATS or not constant.shape or not constant.size:
        return False
    if name in scope.folded or (constant.node is not None and constant.size == 1):
        return False  # a number of the network's definition, such as a slope or an epsilon
    if is_mask(constant.array()) or any(operator == "Equal" for operator, _ in scope.uses[name]):
        return False  # no longer equal to what it is compared with, once it has moved
    return any(use not in NOT_WEIGHTS for use in scope.uses[name])


def is_mask(array: Array) -> bool:
    """Whether there is nothing but what a softmax takes for minus infinity, and zeros."""
    masked = array <= MASKED
    return bool(masked.any() and (masked | (array == 0)).all())


def to_onnx(module: OnnxModule, graph: Graph) -> ModelProto:
    """A copy of the graph's model with the module's arrays in place of those that training changed.

    Element types, extents and everything else stay; arrays that are bit for bit as before are not touched.

    Args:
        module: Of `to_torch`, of this graph or of one with the same initializers.
        graph: Whose model is copied.
    """
    model = ModelProto()
    model.CopyFrom(graph.model)
    folder = graph.path.parent
    trained = module.initializers
    for part, named in zip(all_graphs(model.graph), all_graphs(distinct(graph.model).graph), strict=True):
        for tensor, called in zip(part.initializer, named.initializer, strict=True):
            if called.name in trained:
                write_back(tensor, trained[called.name], folder)
        for node, twin in zip(part.node, named.node, strict=True):
            if node.op_type == "Constant" and twin.output[0] in trained:
                write_constant(node, trained[twin.output[0]], folder)
    return model


def write_back(tensor: TensorProto, value: Any, folder: Path) -> None:
    """The new values, in place, if they differ; external data becomes data of the proto."""
    old = np.ascontiguousarray(Initializer(tensor.name, tensor, folder).array())
    new = np.asarray(array_of(value))
    if new.dtype != old.dtype:
        new = np.where(new == old.astype(new.dtype), old, of_type(new, tensor.data_type, old.dtype))
    if new.tobytes() == old.tobytes():
        return
    assert new.shape == old.shape, f"{tensor.name}: {new.shape} for {old.shape}"
    refill(tensor, new)


def of_type(values: Array, elem_type: int, dtype: np.dtype[Any]) -> Array:
    """Master values in their own type: those of quantised weights are rounded and clipped."""
    format_ = FORMATS.get(elem_type)
    if format_ is not None:  # float32 has no 2 ** 31 - 1
        values = values.astype(np.float64).clip(format_.lowest, format_.highest)
    if isinstance(format_, Whole):
        values = np.rint(values)
    return values.astype(dtype)


def write_constant(node: NodeProto, value: Any, folder: Path) -> None:
    """The new values of a Constant node, in place, if they differ."""
    for attribute in node.attribute:
        if attribute.name == "value":
            write_back(attribute.t, value, folder)
        elif attribute.name == "value_floats":
            attribute.floats[:] = np.asarray(array_of(value)).tolist()

"""A segment as a model of its own, with the extents that it has under given masks."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from onnxprune.groups.literals import find_numbers, kept_shape
from onnxprune.latency.segments import Segment
from onnxprune.onnx_file import Edge
from onnxprune.onnx_file.host import Literal
from onnxprune.onnx_file.patch import Patch
from onnxprune.operators.findings import Findings
from onnxprune.pruning.numbers import put_numbers
from onnxprune.pruning.weights import kept_axes, sliced

Array = NDArray[Any]
Masks = Mapping[str, NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class Piece:
    """A segment that can be timed.

    Attributes:
        name: Of its contraction.
        content: The model, without external data.
        feeds: What it is run on.
        signature: sha256 of all that its time depends on: operators, attributes, types and extents, and the
            values of integers; not names, not weights.
    """

    name: str
    content: bytes
    feeds: Mapping[str, Array]
    signature: str


def extract(segment: Segment, masks: Masks, *, seed: int = 0) -> Piece:
    """The segment under these masks.

    Args:
        segment: Of the original.
        masks: Keep bits by group name; groups that are not named keep everything.
        seed: Of what it is run on.
    """
    groups = segment.groups
    keep = groups.keep_labels(dict(masks))
    shape = kept_shape(groups.graph, groups.findings, keep)
    patch = cut_out(segment, keep)
    values = [name for name in segment.read if name not in groups.host.found]
    types = {name: groups.graph.types[name] for name in values}
    rng = np.random.default_rng(seed)
    feeds = {name: drawn(types[name], shape(name), rng) for name in values}
    graph = patch.model.graph
    graph.input.extend(helper.make_tensor_value_info(n, types[n], shape(n)) for n in values)
    graph.output.extend(
        helper.make_tensor_value_info(n, groups.graph.types.get(n, 1), None) for n in segment.given
    )
    return Piece(segment.name, patch.model.SerializeToString(), feeds, signature_of(patch.model))


def cut_out(segment: Segment, keep: NDArray[np.bool_]) -> Patch:
    """The nodes of a segment with their constants, cut and counted anew."""
    groups, graph = segment.groups, segment.graph
    source = graph.model
    model = ModelProto(ir_version=source.ir_version, opset_import=source.opset_import)
    model.graph.name = "segment"
    model.graph.node.extend(node.proto for node in segment.members)
    patch = Patch(graph, model, {next(filter(None, n.output)): n for n in model.graph.node}, {})
    for name in dict.fromkeys(name for node in segment.members for name in node.inputs):
        if name in graph.initializers:
            add_constant(patch, name, groups.axis_labels(name), keep)
    numbers = find_numbers(graph, groups.findings, groups.host, keep).literals
    own = {literal: value for literal, value in numbers.items() if literal.edge.node in segment.nodes}
    put_numbers(patch, replace(groups, findings=findings_of(segment)), keep, own)
    bring_in(patch, segment, keep, numbers)
    return patch


def findings_of(segment: Segment) -> Findings:
    """What is stated about the nodes of a segment."""
    own, found = set(segment.nodes), segment.groups.findings
    return replace(
        found,
        bindings=[binding for binding in found.bindings if binding.node in own],
        supplies=[supply for supply in found.supplies if supply.node in own],
        pins=[pin for pin in found.pins if pin.node in own],
        reindexes=[reindex for reindex in found.reindexes if reindex.node in own],
    )


def add_constant(patch: Patch, name: str, labels: Any, keep: NDArray[np.bool_]) -> None:
    """A constant of the original, cut, in place."""
    constant = patch.graph.initializers[name]
    made = patch.model.graph.initializer.add()
    bits = kept_axes(labels, keep)
    if constant.is_external or any(of_axis is not None for of_axis in bits):
        array = sliced(constant.array(), bits)
        made.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name))
        assert made.data_type == constant.proto.data_type, f"{name}: type would change"
    else:
        made.CopyFrom(constant.proto)
        made.name = name
    patch.tensors[name] = made


def bring_in(patch: Patch, segment: Segment, keep: NDArray[np.bool_], numbers: Mapping[Literal, Any]) -> None:
    """Numbers that the model computes elsewhere become constants of the segment, in place."""
    groups, graph, host = segment.groups, segment.graph, segment.groups.host
    read = host.evaluate(kept_shape(graph, groups.findings, keep), numbers)
    for node in segment.members:
        for slot, name in enumerate(node.inputs):
            value = read(Edge(node.index, slot), name) if name in host.found else None
            if value is not None:
                patch.node(node.index).input[slot] = patch.copy_of(name, value)


def drawn(kind: int, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Something to run on: floats are normal, integers and flags 0, which is an index of every table."""
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    if np.issubdtype(dtype, np.floating) or kind == TensorProto.BFLOAT16:
        return np.asarray(rng.standard_normal(shape)).astype(dtype)
    return np.zeros(shape, dtype)


def signature_of(model: ModelProto) -> str:
    """sha256 of a model without names and without the values of weights."""
    bare = ModelProto()
    bare.CopyFrom(model)
    names: dict[str, str] = {"": ""}
    graph = bare.graph
    for value in graph.input:
        value.name = names.setdefault(value.name, f"v{len(names)}")
    for tensor in graph.initializer:
        tensor.name = names.setdefault(tensor.name, f"v{len(names)}")
        weightless(tensor)
    for node in graph.node:
        node.ClearField("name")
        node.ClearField("doc_string")
        if "metadata_props" in node.DESCRIPTOR.fields_by_name:
            node.ClearField("metadata_props")
        node.input[:] = [names.setdefault(name, f"v{len(names)}") for name in node.input]
        node.output[:] = [names.setdefault(name, f"v{len(names)}") for name in node.output]
    for value in graph.output:
        value.name = names[value.name]
    return sha256(bare.SerializeToString(deterministic=True)).hexdigest()


def weightless(tensor: TensorProto) -> None:
    """Only type and extents of floats and of narrow integers, in place; numbers of shapes stay."""
    values = (
        numpy_helper.to_array(tensor) if tensor.data_type in (TensorProto.INT64, TensorProto.INT32) else None
    )
    dims, kind, name = list(tensor.dims), tensor.data_type, tensor.name
    tensor.Clear()
    tensor.dims.extend(dims)
    tensor.data_type, tensor.name = kind, name
    if values is not None:
        tensor.raw_data = values.tobytes()

"""Concrete shapes of every value, for assumed extents of the free input dimensions."""

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from itertools import cycle
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, helper, numpy_helper

from onnxprune.errors import ModelError, UsageError
from onnxprune.onnx_file.graph import Dim, Graph, ValueInfo
from onnxprune.onnx_file.host import HostValues
from onnxprune.onnx_file.stand_ins import known_to_onnx

Shape = tuple[int, ...]

SMALL = 1024  # elements; larger constants cannot be shapes and are left out of shape inference
SPATIAL_SIZES = ((224, 224), (48, 320), (640, 640), (32, 320), (32, 32), (64, 64), (512, 512), (299, 299))
SEQUENCE = 32


def assume_shapes(
    inputs: tuple[ValueInfo, ...], given: Mapping[str, Shape], size: tuple[int, int]
) -> dict[str, Shape]:
    """Input shapes with every free extent filled in: 1 for the first axis, an image size or 32 elsewhere.

    Raises:
        UsageError: E205, where a given shape fits no input.
    """
    unknown = set(given) - {value.name for value in inputs}
    if unknown:
        names = ", ".join(value.name for value in inputs)
        raise UsageError("E205", f"--shape names no input: {min(unknown)!r}; the inputs are {names}")
    described = [v for v in inputs if v.dims is not None or v.name in given]
    return {v.name: fit(v, given[v.name]) if v.name in given else fill(v.dims or (), size) for v in described}


def fill(dims: tuple[Dim, ...], size: tuple[int, int]) -> Shape:
    """Free extents of four axes and more are an image's height and width, in turn; others a sequence."""
    sizes = cycle(size if len(dims) >= 4 else (SEQUENCE,))
    return tuple(
        d if isinstance(d, int) else (1 if axis == 0 else next(sizes)) for axis, d in enumerate(dims)
    )


def fit(value: ValueInfo, given: Shape) -> Shape:
    if value.dims is not None and (
        len(given) != len(value.dims)
        or any(isinstance(d, int) and d != g for d, g in zip(value.dims, given, strict=True))
    ):
        raise UsageError("E205", f"--shape {value.name}: the model wants {value.dims}, got {given}")
    return given


def infer_shapes(graph: Graph, given: Mapping[str, Shape]) -> None:
    """Fill `graph.shapes`, `graph.types` and `graph.assumed`, in place.

    onnx's own inference and the evaluation of shape computations take turns until neither finds more;
    what stays unknown is read from one run in ONNX Runtime, where the model runs there. Where free image
    extents do not fit the model, other usual sizes are tried. A shape that is not found is left out, and
    the analysis freezes what touches it.
    """
    tried: list[dict[str, Shape]] = []
    for size in SPATIAL_SIZES:
        assumed = assume_shapes(graph.inputs, given, size)
        if assumed in tried:
            continue
        tried.append(assumed)
        propagate(graph, assumed)
        if complete(graph) or run_for_shapes(graph) is not Run.FAILED:
            return
    propagate(graph, tried[0])


def propagate(graph: Graph, assumed: dict[str, Shape]) -> None:
    """Shapes and types that follow from the input shapes without a run, in place."""
    graph.assumed = assumed
    graph.shapes = {name: i.shape for name, i in graph.initializers.items()} | graph.assumed
    graph.types = {name: i.proto.data_type for name, i in graph.initializers.items()}
    graph.types |= {v.name: v.type.tensor_type.elem_type for v in graph.model.graph.input}
    for _ in range(MAX_ROUNDS):
        known = len(graph.shapes)
        add_inferred(graph, computed_numbers(graph))
        if complete(graph) or len(graph.shapes) == known:
            break


MAX_ROUNDS = 12


def known_extents(graph: Graph) -> dict[str, tuple[int | None, ...]]:
    """The extents of each value as far as they follow without a run; None along an axis where they do not."""
    fresh = replace(graph)
    propagate(fresh, graph.assumed)
    found: dict[str, tuple[int | None, ...]] = {}
    for value in inferred_values(fresh, computed_numbers(fresh)):
        if value.type.tensor_type.HasField("shape"):
            found[value.name] = tuple(map(extent_of, value.type.tensor_type.shape.dim))
    return {**found, **fresh.shapes}


def extent_of(dim: onnx.TensorShapeProto.Dimension) -> int | None:
    return dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else None


def computed_numbers(graph: Graph) -> dict[str, np.ndarray[Any, Any]]:
    """What the graph computes from the shapes that are known."""
    host = HostValues(graph)
    for node in graph.nodes:
        host.visit(node)
    return {name: value.array for name, value in host.found.items()}


def complete(graph: Graph) -> bool:
    return all(name in graph.shapes for node in graph.nodes for name in node.outputs if name)


def add_inferred(graph: Graph, computed: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """One round of onnx's inference, with computed values given as constants, in place."""
    for value in inferred_values(graph, computed):
        extents = [extent_of(dim) for dim in value.type.tensor_type.shape.dim]
        known = tuple(extent for extent in extents if extent is not None)
        if value.type.tensor_type.elem_type:
            graph.types[value.name] = value.type.tensor_type.elem_type
        if len(known) == len(extents) and value.type.tensor_type.HasField("shape"):
            graph.shapes.setdefault(value.name, known)
    for name, array in computed.items():
        graph.shapes[name] = array.shape


def inferred_values(graph: Graph, computed: Mapping[str, np.ndarray[Any, Any]]) -> list[onnx.ValueInfoProto]:
    """What onnx's inference finds, with computed values given as constants.

    Raises:
        ModelError: E309, shapes contradict each other.
    """
    try:
        inferred = onnx.shape_inference.infer_shapes(skeleton(graph, computed), data_prop=True)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        first = str(error).strip().splitlines()[0][:300] if str(error).strip() else "no reason given"
        raise ModelError("E309", f"{graph.path.name}: shapes contradict each other", cause=first) from error
    return [*inferred.graph.value_info, *inferred.graph.output]


class Run(Enum):
    DONE = "done"
    FAILED = "failed"  # under these input shapes
    IMPOSSIBLE = "impossible"  # under any


def run_for_shapes(graph: Graph) -> Run:
    """Read the missing shapes, and their types, from one run on zeros, in place."""
    missing = [name for node in graph.nodes for name in node.outputs if name and name not in graph.shapes]
    if {i.name for i in graph.inputs} - set(graph.assumed):
        return Run.IMPOSSIBLE
    # the one use of ONNX Runtime on this floor; rarely needed, so it is imported here
    from onnxprune.onnx_file.execution import CannotRun, see_by_running  # noqa: PLC0415

    try:
        found = see_by_running(graph, missing)
    except CannotRun:
        return Run.IMPOSSIBLE
    for name, value in (found or {}).items():
        graph.shapes[name] = value.shape
        graph.types[name] = value.type
    return Run.FAILED if found is None else Run.DONE


def skeleton(graph: Graph, computed: Mapping[str, np.ndarray[Any, Any]]) -> ModelProto:
    """The model for shape inference: large constants become inputs, declared shapes are dropped."""
    source = graph.model
    model = ModelProto(ir_version=source.ir_version, opset_import=source.opset_import)
    model.graph.name = "skeleton"
    for value in source.graph.input:
        if value.name in graph.initializers:
            continue
        kept = model.graph.input.add()
        kept.CopyFrom(value)
        if value.name in graph.assumed:
            tensor = value.type.tensor_type
            kept.CopyFrom(
                helper.make_tensor_value_info(value.name, tensor.elem_type, graph.assumed[value.name])
            )
    for name, constant in graph.initializers.items():
        if constant.size <= SMALL and not constant.is_external:
            tensor = model.graph.initializer.add()
            tensor.CopyFrom(constant.proto)
            tensor.name = name
        else:
            model.graph.input.append(
                helper.make_tensor_value_info(name, constant.proto.data_type, constant.shape)
            )
    model.graph.sparse_initializer.extend(source.graph.sparse_initializer)
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in computed.items())
    for node in graph.nodes:
        if node.outputs[0] not in computed:
            model.graph.node.extend(known_to_onnx(node))
    for value in source.graph.output:
        model.graph.output.add().CopyFrom(untyped(value))
    return model


def untyped(value: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
    copy = onnx.ValueInfoProto(name=value.name)
    if value.type.HasField("tensor_type"):
        copy.type.tensor_type.elem_type = value.type.tensor_type.elem_type
    else:
        copy.type.CopyFrom(value.type)
    return copy

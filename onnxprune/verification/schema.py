"""The ONNX checker and strict shape inference, where the original passes them."""

from collections.abc import Callable, Iterator

import onnx
from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from onnxprune.onnx_file import Graph
from onnxprune.onnx_file.layout import lean_copy
from onnxprune.onnx_file.tensors import byte_size, is_external
from onnxprune.verification.types import Check, judged, skipped

NAME = "onnx checker and strict shape inference"
LARGE_BYTES = 1 << 20
COMPLAINTS = (
    onnx.checker.ValidationError,
    onnx.shape_inference.InferenceError,
    *(RuntimeError, ValueError),
)


def check_schema(original: Graph, pruned: Graph) -> Check:
    """What passes in the original passes in the pruned model; tensors hold as many bytes as they should."""
    before, after = stand_in(original.model), stand_in(pruned.model)
    faults, tried, not_tried = list(size_faults(pruned.model)), [], []
    for name, complains in (("checker", by_checker), ("strict shape inference", by_inference)):
        if complains(before):
            not_tried.append(name)
            continue
        tried.append(name)
        complaint = complains(after)
        faults += [f"{name}: {complaint}"] if complaint else []
    if not tried and not faults:
        return skipped(NAME, "the original itself does not pass")
    detail = f"{tried[0]} only; the original itself fails: {not_tried[0]}" if tried and not_tried else ""
    return judged(NAME, faults, detail)


def stand_in(model: ModelProto) -> ModelProto:
    """The model with large and external initializers as inputs: checked without their values."""

    def large(tensor: TensorProto) -> bool:
        return is_external(tensor) or (byte_size(tensor) or 0) >= LARGE_BYTES

    moved = [tensor for tensor in model.graph.initializer if large(tensor)]
    lean = lean_copy(model, large)
    small = [tensor for tensor in lean.graph.initializer if not large(tensor)]
    kept = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in small]
    del lean.graph.initializer[:]
    lean.graph.initializer.extend(kept)
    inputs = {value.name for value in lean.graph.input}
    lean.graph.input.extend(as_input(tensor) for tensor in moved if tensor.name not in inputs)
    return lean


def as_input(tensor: TensorProto) -> ValueInfoProto:
    return helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))


def by_checker(model: ModelProto) -> str:
    return complaint(lambda: onnx.checker.check_model(model, full_check=False))


def by_inference(model: ModelProto) -> str:
    """Strict inference with check of types."""
    return complaint(
        lambda: onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    )


def complaint(check: Callable[[], object]) -> str:
    """What a check raises, in one line; "" where it passes."""
    try:
        check()
    except COMPLAINTS as error:
        lines = str(error).strip().splitlines()
        return lines[0][:300] if lines else type(error).__name__
    return ""


def size_faults(model: ModelProto) -> Iterator[str]:
    """Tensors whose bytes are not those that their extents need."""
    for tensor in model.graph.initializer:
        wanted = byte_size(tensor)
        if tensor.HasField("raw_data") and wanted is not None and len(tensor.raw_data) != wanted:
            yield f"initializer {tensor.name!r} holds {len(tensor.raw_data)} bytes, its extents need {wanted}"

"""Freeing a batch of 1 that an exporter baked into a model, so that batches can be trained on.

    model = free_batch(load_graph(Path("resnet50.onnx")))      # None where that is not needed or not possible
    found = follow_and_free(load_graph(Path("vit.onnx")))      # the same, with the reason

Reading order, in batch/: types, tracking (what is known), rules, meeting and reshaping (one rule for each
operator), table, search (all nodes), edits (the copy).
"""

from dataclasses import dataclass

from onnx import ModelProto

from onnxprune.converters.batch.edits import freed
from onnxprune.converters.batch.search import follow_batch
from onnxprune.converters.batch.types import LostBatch
from onnxprune.onnx_file.graph import Graph

FREE_ALREADY = "its batch axis is free already"


@dataclass(frozen=True)
class FreedBatch:
    """A model that takes any batch, or why there is none.

    Attributes:
        model: A copy with the batch on axis 0 of `inputs` and of every output, or None.
        reason: Why there is none: it is not needed, or which node is in the way.
        inputs: Names of the inputs that have a batch; the others are the same for all samples.
    """

    model: ModelProto | None
    reason: str = ""
    inputs: tuple[str, ...] = ()


def free_batch(graph: Graph) -> ModelProto | None:
    """The model with a symbolic batch axis where an export fixed it at 1; the graph stays as it is.

    The batch is followed from axis 0 of the inputs through every node. Constant targets of Reshape, Expand
    and Resize, ends of slices and constants that meet the batch (a class token, an initial state) are changed
    to follow it; names and values of weights stay. Run the result at a few samples beside the original
    before it is trained. None where the batch is free already, or cannot be followed.

    Example:
        >>> free_batch(load_graph(Path("vit.onnx"))).graph.input[0].type.tensor_type.shape.dim[0]
        dim_param: "batch"
    """
    return follow_and_free(graph).model


def follow_and_free(graph: Graph) -> FreedBatch:
    """What `free_batch` gives, with the reason where that is nothing."""
    unknown = [value.name for value in graph.inputs if value.name not in graph.assumed]
    if unknown:
        return FreedBatch(None, f"the shape of input {unknown[0]!r} is not known")
    ones = [name for name, shape in graph.assumed.items() if shape[:1] == (1,)]
    arrays = [name for name in ones if len(graph.assumed[name]) > 1]
    if not arrays and (not ones or any(len(shape) > 1 for shape in graph.assumed.values())):
        return FreedBatch(None, "no input has 1 on axis 0")
    # an input of one number may be a setting rather than one number for each sample
    choices = dict.fromkeys([tuple(ones), tuple(arrays)] if arrays else [tuple(ones)])
    for chosen in choices:
        found = free_inputs(graph, chosen)
        if found.model is not None or found.reason == FREE_ALREADY:
            break
    return found


def free_inputs(graph: Graph, inputs: tuple[str, ...]) -> FreedBatch:
    try:
        found = follow_batch(graph, inputs)
    except LostBatch as end:
        return FreedBatch(None, str(end))
    declared = [value.dims[0] for value in graph.inputs if value.name in inputs and value.dims]
    if not found.edits and not any(isinstance(extent, int) for extent in declared):
        return FreedBatch(None, FREE_ALREADY)
    return FreedBatch(freed(graph, found, inputs), inputs=inputs)

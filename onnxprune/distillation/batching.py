"""Whether a model takes several rows at once, as training needs, and what to do where it does not.

Exporters bake a batch of 1 into constants of Reshape and its like. Such a model raises with three rows, or
runs and is silently wrong. So every model is tried before training: a few rows together in torch must give
what ONNX Runtime gives for them one by one. How many are tried is no extent of the model: three temperatures,
one a row, divide three classes without complaint.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from onnxprune.converters import OnnxModule, to_torch
from onnxprune.converters.batch_axis import free_batch
from onnxprune.data.samples import Batch
from onnxprune.errors import OnnxPruneError, UnsupportedError
from onnxprune.measurement.running import run_batch
from onnxprune.measurement.session import Session, SessionSettings, make_session
from onnxprune.onnx_file import Graph, save_model

LEAST_ROWS = 3
TOLERANCE = 1e-3  # of the largest output
HALF_TOLERANCE = 3e-2  # of float16 and bfloat16 models, which torch computes in float32
HALVES = (10, 16)  # TensorProto: float16, bfloat16
Array = NDArray[Any]


class RowByRow(nn.Module):
    """A module that sees batches of one row each, all computed together by torch.func.vmap.

    BatchNormalization in it must keep its statistics.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor, taps: Sequence[str] = ()) -> Any:
        def one(*row: Tensor) -> Any:
            outputs = self.module(*[value[None] for value in row], taps=taps)
            return torch.utils._pytree.tree_map(lambda value: value[0], outputs)

        return torch.func.vmap(one, randomness="different")(*inputs)


@dataclass(frozen=True)
class Form:
    """A module that was seen to be right for several rows.

    Attributes:
        module: Of the graph, or of the graph with its batch axis freed.
        row_by_row: It is right only one row at a time.
        freed: It is of the graph with its batch axis freed.
    """

    module: OnnxModule
    row_by_row: bool = False
    freed: bool = False

    def runner(self, module: nn.Module) -> nn.Module:
        """What to call with batches: a module of this form, or the one that takes it row by row."""
        return RowByRow(module) if self.row_by_row else module


def form_for_batches(
    graph: Graph, inputs: Sequence[Tensor], *, trainable: Callable[[str], bool] | None = None
) -> Form:
    """The module of a graph in a form that takes batches.

    Args:
        graph: A model.
        inputs: At least one real row of each input, on the CPU.
        trainable: Which initializers become parameters.

    Raises:
        UnsupportedError: E406, no form gives for several rows what each gives alone; an output is no tensor,
            or has not one row for each of the input.
    """
    require_tensors(graph)
    rows = rows_to_try(graph, inputs)
    expected = one_by_one(graph, rows)
    require_one_each(graph, expected, len(rows[0]))
    tolerance = HALF_TOLERANCE if is_half(graph) else TOLERANCE
    module = to_torch(graph, trainable=trainable, master=True)
    if agrees(module, rows, expected, tolerance):
        return Form(module)
    free = free_batch(graph)
    if free is not None:
        graph_free = replace(graph, model=free)
        candidate = to_torch(graph_free, trainable=trainable, master=True)
        if agrees(candidate, rows, expected, tolerance) and runs_alike(graph_free, rows, expected, tolerance):
            return Form(candidate, freed=True)
    module.freeze_bn = True
    if agrees(RowByRow(module), rows, expected, tolerance):
        return Form(module, row_by_row=True)
    raise UnsupportedError(
        "E406",
        f"{graph.path.name} cannot be trained: torch does not give for {len(rows[0])} rows what ONNX Runtime"
        " gives for each",
        cause="a batch size is built into its nodes, or an operator mixes rows",
        hint="export the model with a free batch axis",
    )


def rows_to_try(graph: Graph, inputs: Sequence[Tensor]) -> list[Tensor]:
    """The first rows, again from the first where they are too few: their number is no extent of the graph.

        a head (N, 64) -> (N, 3)        4 rows

    So an axis that is taken for the batch by mistake fits none of another meaning.
    """
    own = (*graph.shapes.values(), *(i.shape for i in graph.initializers.values()))
    shapes = (*own, *(tuple(value.shape[1:]) for value in inputs))
    extents = {extent for shape in shapes for extent in shape}
    count = next(n for n in itertools.count(LEAST_ROWS) if n not in extents)
    return [value[torch.arange(count) % len(value)] for value in inputs]


def require_tensors(graph: Graph) -> None:
    for output in graph.model.graph.output:
        if output.type.WhichOneof("value") not in (None, "tensor_type"):
            raise UnsupportedError(
                "E406",
                f"{graph.path.name} cannot be trained: its output {output.name} is no tensor",
                hint="take that output out of the model for training",
            )


def require_one_each(graph: Graph, outputs: Sequence[Array], count: int) -> None:
    """Raises: UnsupportedError: E406, one of the outputs for `count` rows has another number of rows."""
    for value, output in zip(outputs, graph.outputs, strict=True):
        if len(value) != count:
            got = f"{len(value)} rows for {count} of the input, want one for each"
            raise UnsupportedError(
                "E406",
                f"{graph.path.name} cannot be trained: its output {output.name} has {got}",
                hint="export the model with the batch as the first axis of every output",
            )


def is_half(graph: Graph) -> bool:
    return any(i.proto.data_type in HALVES for i in graph.initializers.values())


def one_by_one(graph: Graph, rows: Sequence[Tensor]) -> list[Array]:
    """Outputs of ONNX Runtime for each row alone, joined; for a fixed batch size k, k rows at a time."""
    session = runtime_session(graph)
    count = len(rows[0])
    feeds = feeds_of(graph, rows)
    if session.static_batch not in (None, 1):
        runs = [run_batch(session, feeds)]
    else:
        runs = [session.run(feeds.rows(slice(at, at + 1)).inputs) for at in range(count)]
    return [np.concatenate([np.atleast_1d(run[name]) for run in runs]) for name in session.output_names]


def runs_alike(graph: Graph, rows: Sequence[Tensor], expected: Sequence[Array], tolerance: float) -> bool:
    """Whether ONNX Runtime gives the same for all rows together."""
    session = runtime_session(graph)
    try:
        together = session.run(feeds_of(graph, rows).inputs)
    except OnnxPruneError:
        return False
    return close([np.atleast_1d(together[name]) for name in session.output_names], expected, tolerance)


def runtime_session(graph: Graph) -> Session:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        save_model(graph.model, path, source=graph.path)
        return make_session(path, SessionSettings(provider="cpu"), name=graph.path.name)


def feeds_of(graph: Graph, rows: Sequence[Tensor]) -> Batch:
    return Batch({v.name: x.numpy() for v, x in zip(graph.inputs, rows, strict=True)})


def agrees(module: nn.Module, rows: Sequence[Tensor], expected: Sequence[Array], tolerance: float) -> bool:
    """Whether a module in eval mode gives the expected outputs for all rows together."""
    module.eval()
    try:
        with torch.no_grad():
            outputs = module(*rows)
    except UnsupportedError:
        raise
    except (RuntimeError, ValueError, IndexError, TypeError, OnnxPruneError):
        return False
    every = outputs if isinstance(outputs, tuple | list) else (outputs,)
    return close([np.atleast_1d(as_array(value)) for value in every], expected, tolerance)


def as_array(value: Tensor) -> Array:
    return (value.float() if value.is_floating_point() else value).detach().cpu().numpy()


def close(got: Sequence[Array], expected: Sequence[Array], tolerance: float) -> bool:
    """Whether all values differ by less than a share of the largest."""
    for ours, theirs in zip(got, expected, strict=True):
        if ours.shape != theirs.shape:
            return False
        ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
        allowed = tolerance * max(1e-6, float(np.abs(theirs).max(initial=0)))
        if not float(np.abs(ours - theirs).max(initial=0)) <= allowed:
            return False
    return True


def copy_weights(trained: OnnxModule, to: OnnxModule) -> None:
    """Floating-point initializers of one module into another's of the same name and shape, in place."""
    targets = to.initializers
    for name, value in trained.initializers.items():
        target = targets.get(name)
        if not isinstance(value, Tensor) or not isinstance(target, Tensor):
            continue
        if value.is_floating_point() and value.shape == target.shape:
            target.data.copy_(value.detach())

"""Trained weights back into an ONNX file, which is handed out only if ONNX Runtime agrees with torch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from onnxprune.converters import OnnxModule, to_onnx
from onnxprune.data.samples import Batch
from onnxprune.errors import VerificationError
from onnxprune.measurement.running import run_batch
from onnxprune.measurement.session import SessionSettings, make_session
from onnxprune.onnx_file import Graph
from onnxprune.onnx_file.external import external_locations
from onnxprune.onnx_file.saving import Saved, save_model

TOLERANCE = 1e-3  # of the largest output; float16 models ten times that


def write_student(
    module: OnnxModule, graph: Graph, out: Path, *, inputs: Sequence[Tensor], runner: nn.Module
) -> Saved:
    """Write `graph` with the module's weights to `out`.

    Args:
        module: Of the graph, in float32; the state to write.
        graph: The student as it came.
        out: The new file; an existing one is replaced.
        inputs: Real rows for the comparison.
        runner: The trained module, in the form that takes several rows.

    Raises:
        VerificationError: E802, ONNX Runtime gives other outputs than torch; nothing is written.
        RuntimeProblem: E605, the disk is full.
    """
    expected = run_torch(runner, inputs)
    model = to_onnx(module, graph)
    feeds = Batch({v.name: x.cpu().numpy() for v, x in zip(graph.inputs, inputs, strict=True)})

    def check(written: Path) -> None:
        session = make_session(written, SessionSettings(provider="cpu"))
        got = run_batch(session, feeds)
        for name, theirs in zip(session.output_names, expected, strict=True):
            require_close(name, got[name], theirs)

    homes = external_locations(graph.model)
    return save_model(model, out, source=graph.path, force=True, check=check, external=homes)


@torch.no_grad()
def run_torch(module: nn.Module, inputs: Sequence[Tensor]) -> list[NDArray[np.generic]]:
    """All outputs in eval mode, float32."""
    module.eval()
    outputs = module(*inputs)
    every = outputs if isinstance(outputs, tuple | list) else (outputs,)
    return [value.cpu().numpy() for value in every]


def require_close(name: str, got: NDArray[np.generic], expected: NDArray[np.generic]) -> None:
    """Raises: VerificationError: E802, they differ by more than TOLERANCE of the largest value."""
    if got.shape != expected.shape:
        raise disagreement(name, f"shapes {got.shape} and {expected.shape}")
    if got.dtype.kind != "f" or not got.size:
        if not np.array_equal(got, expected):
            raise disagreement(name, "values differ")
        return
    ours, theirs = got.astype(np.float64), expected.astype(np.float64)
    allowed = (10 if got.dtype == np.float16 else 1) * TOLERANCE * max(1e-6, float(np.abs(theirs).max()))
    difference = float(np.abs(ours - theirs).max())
    if not difference <= allowed:
        raise disagreement(name, f"they differ by {difference:.3g}, allowed are {allowed:.3g}")


def disagreement(name: str, what: str) -> VerificationError:
    return VerificationError(
        "E802",
        f"output {name}: ONNX Runtime does not agree with torch on the trained model; nothing was written",
        cause=what,
        hint="the checkpoint is kept; report this with the model if you may",
    )

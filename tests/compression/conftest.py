"""A small model whose classes can be told apart, samples for it, and short runs."""

import os
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from onnxprune.compression import CompressOptions, RunFolder, compress, resume, start
from onnxprune.compression.config import make_options
from tests.onnx_file.small_models import chain

ROOT = Path(__file__).parents[2]
ROWS = 96
SHORT = {
    "target": ("macs=60%",),
    "search.agent": "none",
    "prune.align": "1",
    "distill.epochs": 3,
    "distill.batch": 16,
    "distill.precision": "fp32",
    "distill.compile": False,
    "distill.augment": "none",
    "measure.seconds": 0.02,
    "measure.provider": "cpu",
}
MODELS = ("pruned.onnx", "reconstructed.onnx", "student.onnx", "final.onnx")
KILLED = """
import os, signal, sys
from pathlib import Path
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
{patch}
from onnxprune.compression import compress, open_run
compress(open_run(Path(sys.argv[1])))
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Conv, BatchNormalization, Relu, Conv, pool, Gemm; input x (N, 3, 8, 8), output y (N, 5)."""
    path = tmp_path / "chain.onnx"
    model = chain(np.random.default_rng(0))
    (bias,) = (tensor for tensor in model.graph.initializer if tensor.name == "fc_b")
    means = answers(model).mean(0)
    values = numpy_helper.to_array(bias) - means  # every class is predicted now and then
    bias.CopyFrom(numpy_helper.from_array(values.astype(np.float32), "fc_b"))
    onnx.save(model, path)
    return path


def inputs(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(ROWS, 3, 8, 8)).astype(np.float32)


def answers(model: onnx.ModelProto, seed: int = 1) -> np.ndarray:
    (scores,) = ReferenceEvaluator(model).run(None, {"x": inputs(seed)})
    return scores


@pytest.fixture
def samples(model: Path, tmp_path: Path) -> Path:
    """Labelled by the model itself, so that it is always right."""
    return write_samples(tmp_path / "samples.npz", model)


def write_samples(path: Path, model: Path | None = None, *, seed: int = 1) -> Path:
    """Inputs, and labels where a model is given to make them."""
    arrays = {"x": inputs(seed)}
    if model is not None:
        arrays["labels"] = answers(onnx.load(model), seed).argmax(1)
    np.savez(path, **arrays)
    return path


def options(model: Path, samples: Path, **others: object) -> CompressOptions:
    changed = {name.replace("__", "."): value for name, value in others.items()}
    return make_options({**SHORT, "model": str(model), "data": str(samples), **changed})


Run = Callable[..., RunFolder]


@pytest.fixture
def finished(model: Path, samples: Path, tmp_path: Path) -> RunFolder:
    """A run that was never interrupted."""
    run = start(options(model, samples), tmp_path / "whole", ["words"])
    compress(run)
    return run


def killed(run: Path, patch: str) -> None:
    """Go on with a run in another process that is killed where the patch says so."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED.format(patch=patch), str(run)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == -9, done.stderr[-2000:]


def continued(path: Path) -> RunFolder:
    run = resume(path, {})
    compress(run)
    return run


def hashes(run: Path, names: tuple[str, ...] = (*MODELS, "masks.json")) -> dict[str, str]:
    return {name: sha256((run / name).read_bytes()).hexdigest() for name in names}

"""A small model whose classes can be told apart, samples for it, and short runs."""

import shutil
from collections.abc import Collection, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from onnxprune.compression import CompressOptions, RunFolder, compress, open_run, resume, start
from onnxprune.compression.compress import BOXES
from onnxprune.compression.config import make_options
from onnxprune.runs.folder import clear
from tests import killing
from tests.onnx_file.small_models import chain

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
GO_ON = """
from onnxprune.compression import compress, open_run
compress(open_run(Path(sys.argv[1])))
"""


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, its samples and a run that was never interrupted; tests get copies."""
    return with_run(tmp_path_factory.mktemp("made"), told_apart(chain(np.random.default_rng(0))))


def with_run(folder: Path, model: onnx.ModelProto, **others: object) -> Path:
    """model.onnx, samples.npz and the run in `whole`."""
    onnx.save(model, folder / "model.onnx")
    write_samples(folder / "samples.npz", folder / "model.onnx")
    asked = options(folder / "model.onnx", folder / "samples.npz", **others)
    compress(start(asked, folder / "whole", ["words"]))
    return folder


def told_apart(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with another bias at its end, in place: every class is predicted now and then."""
    (bias,) = (tensor for tensor in model.graph.initializer if tensor.name == "fc_b")
    values = numpy_helper.to_array(bias) - answers(model).mean(0)
    bias.CopyFrom(numpy_helper.from_array(values.astype(np.float32), "fc_b"))
    return model


@pytest.fixture
def model(made: Path, tmp_path: Path) -> Path:
    """Conv, BatchNormalization, Relu, Conv, pool, Gemm; input x (N, 3, 8, 8), output y (N, 5)."""
    return Path(shutil.copy(made / "model.onnx", tmp_path))


def inputs(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(ROWS, 3, 8, 8)).astype(np.float32)


def answers(model: onnx.ModelProto, seed: int = 1) -> np.ndarray:
    (scores,) = ReferenceEvaluator(model).run(None, {"x": inputs(seed)})
    return scores


@pytest.fixture
def samples(made: Path, tmp_path: Path) -> Path:
    """Labelled by the model itself, so that it is always right."""
    return Path(shutil.copy(made / "samples.npz", tmp_path))


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


@pytest.fixture
def finished(made: Path, model: Path, samples: Path, tmp_path: Path) -> RunFolder:
    """A run that was never interrupted, of this model and these samples."""
    shutil.copytree(made / "whole", tmp_path / "whole")
    for path in (p for name in ("run.json", "config.toml") for p in (tmp_path / "whole").rglob(name)):
        path.write_text(path.read_text("utf-8").replace(str(made), str(tmp_path)), "utf-8")
    return open_run(tmp_path / "whole")


def undone(run: RunFolder, box: str) -> RunFolder:
    """The run before this box, in place."""
    names = [one.name for one in BOXES]
    for name in names[names.index(box) :]:
        clear(run.path / file for file in run.record["boxes"].pop(name)["outputs"])
    run.save()
    return run


def killed(run: Path, patch: str) -> None:
    """Go on with a run in another process that is killed where the patch says so."""
    killing.killed(run, patch, GO_ON)


def deaths(cases: Mapping[str, tuple[str, ...]], often: Collection[str]) -> list[Any]:
    """Parameters of the cases by name; those that are not among `often` run with --slow."""
    return [
        pytest.param(*case, id=name, marks=[] if name in often else pytest.mark.slow)
        for name, case in cases.items()
    ]


def continued(path: Path) -> RunFolder:
    run = resume(path, {})
    compress(run)
    return run


def hashes(run: Path, names: tuple[str, ...] = (*MODELS, "masks.json")) -> dict[str, str]:
    return {name: sha256((run / name).read_bytes()).hexdigest() for name in names}

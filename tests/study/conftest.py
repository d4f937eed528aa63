"""A small study, made once: two agents and the control, two seeds, the best one trained."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from onnxprune.runs.opening import open_run
from onnxprune.study import SCHEMA, RunFolder, StudyOptions, start, study
from tests import killing
from tests.compression.conftest import write_samples
from tests.search.conftest import three_convolutions

AGENTS = ("random", "annealing")
SHORT = {
    "agents": AGENTS,
    "targets": ("macs=60%",),
    "seeds": 2,
    "evaluations": 6,
    "batch": 3,
    "channels.align": "1",
    "evaluate.calibration_rows": 32,
    "distill.top": 1,
    "distill.epochs": 1,
    "distill.batch": 16,
    "distill.precision": "fp32",
    "distill.compile": False,
    "distill.augment": "none",
    "measure.seconds": 0.02,
    "measure.provider": "cpu",
}
GO_ON = """
from onnxprune.study import resume, study
study(resume(Path(sys.argv[1]), {}), workers=WORKERS)
"""


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """model.onnx, samples.npz, and the study in `whole`."""
    folder = tmp_path_factory.mktemp("study")
    onnx.save(three_convolutions(np.random.default_rng(0)), folder / "model.onnx")
    write_samples(folder / "samples.npz", folder / "model.onnx")
    study(start(options(folder, **{"distill.enabled": True}), folder / "whole", ["words"]))
    return folder


def options(folder: Path, **others: object) -> StudyOptions:
    models, data = (str(folder / "model.onnx"),), str(folder / "samples.npz")
    return SCHEMA.make({**SHORT, "models": models, "data": data, **others})


@pytest.fixture
def material(made: Path, tmp_path: Path) -> Path:
    """A folder with the model and its samples."""
    for name in ("model.onnx", "samples.npz"):
        shutil.copy(made / name, tmp_path)
    return tmp_path


@pytest.fixture
def whole(made: Path) -> RunFolder:
    """The finished study, to look at."""
    return open_run(made / "whole", "study")


def killed(run: Path, patch: str, *, workers: int = 1) -> None:
    """Go on with a study in another process that is killed where the patch says so."""
    killing.killed(run, patch, GO_ON.replace("WORKERS", str(workers)))

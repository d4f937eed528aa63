"""Commands run in this process; a small model, samples for it, and a look at what a command left behind."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
import pytest

from onnxprune.cli.main import run
from tests.onnx_file.small_models import chain

ROWS = 24


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def error_code(self) -> str:
        """Of its one error: "E301"; "" where it told none."""
        told = [line for line in self.err.splitlines() if line.startswith("error[")]
        assert len(told) <= 1, self.err
        return told[0][6:10] if told else ""


Cli = Callable[..., Ran]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs one command line; words may be paths."""

    def call(*words: object) -> Ran:
        capsys.readouterr()
        code = run([str(word) for word in words])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err + printed.out
        return Ran(code, printed.out, printed.err)

    return call


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Conv, BatchNormalization, Relu, Conv, pool, Gemm; input x (N, 3, 8, 8), output y (N, 5)."""
    path = tmp_path / "chain.onnx"
    onnx.save(chain(np.random.default_rng(0)), path)
    return path


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """Inputs and labels for it."""
    rng = np.random.default_rng(1)
    path = tmp_path / "samples.npz"
    np.savez(path, x=rng.normal(size=(ROWS, 3, 8, 8)).astype(np.float32), labels=rng.integers(5, size=ROWS))
    return path


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder with the hash of its content, hidden ones too."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in files}

"""`onnxprune doctor`: a verdict, and an exit code where something is broken."""

import re
from pathlib import Path

import onnxruntime as ort
import pytest

from onnxprune.measurement.runtime import load_runtime
from tests.cli.conftest import Cli
from tests.conftest import gpu_provider_that_runs


def test_a_sound_machine_is_ready(cli: Cli, model: Path) -> None:
    ran = cli("doctor", model)
    assert ran.code == 0, ran.err
    assert ran.out.splitlines()[-1].startswith("Ready")
    assert all(name in ran.out for name in ("numpy", "onnxruntime", "versions", "machine", "chain.onnx"))


def test_a_model_that_cannot_be_read_gives_its_own_exit_code(cli: Cli, tmp_path: Path) -> None:
    ran = cli("doctor", tmp_path / "nope.onnx")
    assert (ran.error_code, ran.code) == ("E301", 3)
    assert "BROKEN" in ran.out


@pytest.mark.parametrize("with_model", [True, False])
def test_a_named_provider_must_run(with_model: bool, cli: Cli, model: Path) -> None:
    assert cli("doctor", *([model] * with_model), "--provider", "cpu").code == 0
    ran = cli("doctor", *([model] * with_model), "--provider", "NoSuchExecutionProvider")
    assert (ran.error_code, ran.code) == ("E601", 6)


def test_a_silent_fallback_is_seen_through(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    if gpu_provider_that_runs():
        pytest.skip("a GPU really is there")
    listed = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(load_runtime(), "get_available_providers", lambda: listed)
    assert "listed, but sessions run on CPUExecutionProvider" in " ".join(cli("doctor").out.split())
    ran = cli("doctor", "--provider", "cuda")
    assert (ran.error_code, ran.code) == ("E601", 6)


def test_a_busy_machine_is_told(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (99.0, 99.0, 99.0))
    ran = cli("doctor")
    assert ran.code == 0
    assert "W604: busy machine: load 99.0" in ran.out


def test_the_pair_of_versions_is_told(cli: Cli) -> None:
    # one of two distributions has it, of the same version
    assert re.search(rf"onnxruntime(-gpu)? +{re.escape(ort.__version__)}\b", cli("doctor").out)
    assert "onnxruntime reads IR <= " in cli("doctor").out

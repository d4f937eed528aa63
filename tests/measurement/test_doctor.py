"""The doctor tells facts, and never raises for what it finds."""

from pathlib import Path

import onnxruntime as ort
import pytest

from onnxprune.measurement.doctor import Check, diagnose
from onnxprune.measurement.runtime import load_runtime
from tests.conftest import gpu_provider_that_runs
from tests.measurement.small_models import classifier, classifier_weights
from tests.measurement.test_providers import install


def check_of(checks: tuple[Check, ...], subject: str) -> Check:
    return next(check for check in checks if check.subject == subject)


def test_versions_and_every_listed_provider_are_told() -> None:
    found = diagnose()
    assert found.error is None
    assert {"numpy", "onnx", "versions", "machine", *ort.get_available_providers()} <= {
        check.subject for check in found.checks
    }
    assert check_of(found.checks, "CPUExecutionProvider").text == "loads and runs"


def test_a_model_is_tried() -> None:
    found = diagnose(Path("nope.onnx"))
    assert not found.healthy
    assert found.error is not None
    assert found.error.code == "E301"


def test_a_model_that_runs_is_told_with_its_provider(tmp_path: Path) -> None:
    path = tmp_path / "scores.onnx"
    path.write_bytes(classifier(classifier_weights()))
    check = check_of(diagnose(path, provider="cpu").checks, "scores.onnx")
    assert check.state == "ok"
    assert "IR 10, opset ai.onnx 17" in check.text
    assert "runs on CPUExecutionProvider" in check.text


def test_two_onnx_runtimes_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_runtime()
    install(tmp_path, "onnxruntime", "1.31.1")
    install(tmp_path, "onnxruntime-gpu", "1.31.1")
    monkeypatch.syspath_prepend(tmp_path)
    found = diagnose()
    assert found.error is not None
    assert found.error.code == "E602"
    assert not found.healthy


def test_a_provider_that_only_claims_to_be_available_is_seen_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with the GPU build on a machine without a GPU: listed, and silently replaced by the CPU."""
    runtime = load_runtime()
    if gpu_provider_that_runs():
        pytest.skip("a GPU really is there")
    listed = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(runtime, "get_available_providers", lambda: listed)
    check = check_of(diagnose().checks, "CUDAExecutionProvider")
    assert check.state == "warning"
    assert "sessions run on CPUExecutionProvider" in check.text

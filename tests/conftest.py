"""What holds for every test: one thread, repeatable examples, and which tests wait for a flag or a GPU."""

import functools
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch: workers share the processor

import onnx
import onnxruntime as ort
import pytest
from hypothesis import settings

settings.register_profile("repeatable", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("repeatable")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked slow too")


@pytest.fixture(scope="session")
def exported_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `tests.exported.export_case` keeps its files: one folder for all workers of a session."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "exported"
    folder.mkdir(exist_ok=True)
    return folder


@functools.cache
def gpu_provider_that_runs() -> str | None:
    """The first GPU provider that a session really gets: the list of available ones proves nothing."""
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[2] x) => (float[2] y) { y = Relu(x) }'
    )
    options = ort.SessionOptions()
    options.log_severity_level = 4
    wanted = [name for name in ("CUDAExecutionProvider",) if name in ort.get_available_providers()]
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=[*wanted, "CPUExecutionProvider"]
    )
    active = session.get_providers()[0]
    return None if active == "CPUExecutionProvider" else active


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("slow") and not item.config.getoption("--slow"):
        pytest.skip("slow: run with --slow")
    if item.get_closest_marker("gpu") and gpu_provider_that_runs() is None:
        pytest.skip("gpu: no execution provider on a GPU runs on this machine")

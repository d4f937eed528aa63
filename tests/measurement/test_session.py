"""A session tells which provider really runs, and an error what is wrong with the model."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from onnxprune.errors import OnnxPruneError, RuntimeProblem
from onnxprune.measurement.providers import CPU, CUDA
from onnxprune.measurement.session import SessionSettings, make_session
from tests.measurement.small_models import (
    classifier,
    classifier_weights,
    convolutions,
    image,
    model_of,
    random_rows,
)

RELU = model_of([helper.make_node("Relu", ["x"], ["y"], name="relu")], {"x": [1, 4]})
without_cuda = pytest.mark.skipif(
    CUDA in make_session(RELU, SessionSettings("cuda")).handle.get_providers(), reason="CUDA runs here"
)


def test_the_cpu_runs_all_of_the_macs_where_it_is_asked_for() -> None:
    session = make_session(
        convolutions(8), SessionSettings("cpu", require=True), macs={"conv1": 3, "conv2": 1}
    )
    assert session.provider == CPU
    assert session.shares is not None
    assert (session.shares.of, session.shares.weighted_by) == ({CPU: 1.0}, "macs")
    assert session.warnings == ()


def test_outputs_come_by_name() -> None:
    weights, x = classifier_weights(), random_rows(3)
    outputs = make_session(classifier(weights)).run({"x": x})
    np.testing.assert_allclose(outputs["y"], x @ weights, rtol=1e-5)


@without_cuda
def test_a_fallback_is_told() -> None:
    session = make_session(RELU, SessionSettings("cuda"))
    assert session.provider == CPU
    assert session.warnings[0].startswith(f"W601: {CUDA} requested, but the session runs on {CPU}")


@without_cuda
def test_a_required_provider_that_does_not_run_is_an_error() -> None:
    with pytest.raises(RuntimeProblem, match="requested, but the session runs on") as caught:
        make_session(RELU, SessionSettings("cuda", require=True))
    assert caught.value.code == "E601"
    assert caught.value.cause


@without_cuda
def test_auto_never_fails_where_it_is_required() -> None:
    assert make_session(RELU, SessionSettings("auto", require=True)).provider == CPU


@without_cuda
def test_a_fallback_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    for provider in ("auto", "cuda", "tensorrt"):
        make_session(RELU, SessionSettings(provider))
    assert capfd.readouterr() == ("", "")


def test_auto_takes_what_there_is_without_a_word() -> None:
    assert make_session(RELU).warnings == ()


@pytest.mark.parametrize(("batch", "fixed"), [("N", None), (1, 1), (4, 4)])
def test_a_fixed_batch_size_is_seen(batch: int | str, fixed: int | None) -> None:
    assert make_session(classifier(classifier_weights(), batch=batch)).static_batch == fixed


def test_a_model_is_read_from_its_file_with_its_name_in_errors(tmp_path: Path) -> None:
    path = tmp_path / "scores.onnx"
    path.write_bytes(classifier(classifier_weights()))
    session = make_session(path)
    with pytest.raises(OnnxPruneError, match=r"scores\.onnx does not run"):
        session.run({"x": np.ones((1, 3), np.float32)})


def test_without_optimisation_the_outputs_stay() -> None:
    plain = make_session(convolutions(8), SessionSettings(optimize=False)).run(image())["y"]
    np.testing.assert_allclose(plain, make_session(convolutions(8)).run(image())["y"], rtol=1e-3, atol=1e-3)


FANCY = helper.make_node("FancyRelu", ["x"], ["y"], name="/stem/Relu", domain="my.ops")
WRONG = helper.make_node("MatMul", ["x", "w"], ["y"], name="product")


@pytest.mark.parametrize(
    ("model", "code", "named"),
    [
        (Path("nope.onnx"), "E301", "nope.onnx"),
        (model_of([helper.make_node("Relu", ["x"], ["y"])], {"x": [1]}, ir=99), "E307", "IR version"),
        (model_of([helper.make_node("Relu", ["x"], ["y"])], {"x": [1]}, opset=99), "E308", "opset"),
        (model_of([FANCY], {"x": [1, 4]}), "E401", "FancyRelu"),
        (model_of([WRONG], {"x": [1, 4]}, weights={"w": np.ones((5, 2), np.float32)}), "E309", "product"),
        (b"no model at all", "E309", "protobuf"),
    ],
)
def test_what_is_wrong_with_a_model_has_its_row_of_the_catalogue(model, code: str, named: str) -> None:
    with pytest.raises(OnnxPruneError) as caught:
        make_session(model)
    assert caught.value.code == code
    assert named in str(caught.value)


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OnnxPruneError):
        make_session(model_of([FANCY], {"x": [1, 4]}))
    make_session(RELU, SessionSettings("cpu"))
    assert capfd.readouterr() == ("", "")


@pytest.mark.gpu
def test_the_gpu_runs_the_macs_where_it_is_asked_for() -> None:
    session = make_session(
        convolutions(64), SessionSettings("cuda", require=True), macs={"conv1": 1, "conv2": 1}
    )
    assert session.provider == CUDA
    assert session.shares is not None
    assert session.shares.of[CUDA] == 1.0
    expected = make_session(convolutions(64), SessionSettings("cpu")).run(image())["y"]
    np.testing.assert_allclose(session.run(image())["y"], expected, rtol=1e-2, atol=1e-1)


def test_a_model_in_memory_finds_its_weights_in_the_folder_named(tmp_path: Path) -> None:
    model = onnx.load_from_string(classifier(classifier_weights()))
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, size_threshold=0, location="m.data")
    in_memory = onnx.load(tmp_path / "m.onnx", load_external_data=False).SerializeToString()
    outputs = make_session(in_memory, SessionSettings("cpu", external_folder=tmp_path)).run(
        {"x": random_rows(2)}
    )
    np.testing.assert_allclose(outputs["y"], random_rows(2) @ classifier_weights(), rtol=1e-5)

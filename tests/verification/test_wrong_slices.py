"""Faults that the ONNX checker and a session let through: every weight cut once too often on every axis."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import ModelProto, TensorProto

from onnxprune.onnx_file.graph import view
from onnxprune.onnx_file.shapes import propagate
from onnxprune.verification import channels
from tests.verification.cases import Case, change, cnn, quantised, shuffle, tokens


def wrong_slices(proto: ModelProto) -> Iterator[tuple[str, ModelProto]]:
    for weight in proto.graph.initializer:
        for axis in range(len(weight.dims)):
            if weight.data_type not in (TensorProto.INT64, TensorProto.STRING):
                spoilt = change(proto, weight.name, lambda w, axis=axis: np.delete(w, -1, axis))  # type: ignore[misc]
                yield f"{weight.name} axis {axis}", spoilt


def passes_checker(proto: ModelProto) -> bool:
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError):
        return False
    return True


@pytest.mark.parametrize("build", [cnn, shuffle, tokens, quantised])
def test_every_wrong_slice_is_caught_and_nothing_broken_is_run(build: type[Case], tmp_path: Path) -> None:
    case = build(tmp_path)
    for what, spoilt in wrong_slices(case.pruned):
        report = case.verify(spoilt)
        assert not report.ok, what
        assert "kept weights" in " ".join(check.name for check in report.failed), what
        if report["channels"].status == "FAIL":
            assert report["runs"].detail.startswith("not run"), what


def test_the_channel_check_alone_catches_what_the_checker_accepts(tmp_path: Path) -> None:
    case, accepted = cnn(tmp_path), 0
    for what, spoilt in wrong_slices(case.pruned):
        accepted += passes_checker(spoilt)
        graph = view(spoilt, case.groups.graph.path)
        propagate(graph, case.groups.graph.assumed)
        caught = channels.check_channels(case.groups.graph, graph).status == "FAIL"
        kernel = what.startswith("w2 axis") and what[-1] in "23"  # padded otherwise: as large an output
        assert caught or kernel, what
    assert accepted > 10


def test_a_mismatch_that_the_runtime_runs_silently_is_caught(tmp_path: Path) -> None:
    """A depthwise convolution reads beyond its bias, say; whatever ran here was refused by us."""
    case, ran = cnn(tmp_path), 0
    feeds = {"x": np.ones((1, 3, 6, 6), np.float32)}
    for what, spoilt in wrong_slices(case.pruned):
        options = ort.SessionOptions()
        options.log_severity_level = 4
        try:
            ort.InferenceSession(spoilt.SerializeToString(), options, ["CPUExecutionProvider"]).run(
                None, feeds
            )
        except Exception:  # noqa: BLE001  ONNX Runtime has no common base class for what it raises
            continue
        ran += 1
        assert not case.verify(spoilt).ok, what
    assert ran


def test_without_masks_a_wrong_slice_is_caught_as_well(tmp_path: Path) -> None:
    case = cnn(tmp_path)
    for what, spoilt in wrong_slices(case.pruned):
        assert not case.verify(spoilt, masks=False).ok, what

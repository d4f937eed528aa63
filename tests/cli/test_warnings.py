"""What limits a result is told once, with its code, on stderr and in the document."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.cli.conftest import Cli
from tests.onnx_file.small_models import nested, parsed

FREE = """<ir_version: 8, opset_import: ["" : 17]>
    free (float[N, 3, H, W] x) => (float[N, 4, H, W] y) { h = Conv(x, a)  r = Relu(h)  y = Conv(r, b) }"""
HALF = FREE.replace("float[", "float16[").replace("H, W", "8, 8")
SHORT = ("--duration", "0.05", "--warmup", "1")


def two_convolutions(folder: Path, text: str, kind: type[np.floating]) -> Path:
    rng = np.random.default_rng(0)
    path = folder / "two.onnx"
    weights = {name: rng.normal(size=shape).astype(kind) for name, shape in SHAPES.items()}
    onnx.save(parsed(text, **weights), path)
    return path


SHAPES = {"a": (16, 3, 1, 1), "b": (4, 16, 1, 1)}


@pytest.mark.parametrize("command", ["inspect", "prune", "verify", "bench"])
def test_assumed_extents_are_told_and_a_shape_ends_that(command: str, cli: Cli, tmp_path: Path) -> None:
    path = two_convolutions(tmp_path, FREE, np.float32)
    more = {
        "prune": ["-o", tmp_path / "out.onnx", "--target", "macs=50%", "--force"],
        "verify": [path],
        "bench": SHORT,
    }.get(command, [])
    ran = cli(command, path, *more)
    assert ran.err.count("W405") == 1
    assert "x:1,3,224,224" in ran.err
    given = cli(command, path, *more, "--shape", "x:2,3,8,8")
    assert given.code == 0, given.err
    assert "x:2,3,8,8" in given.err


def test_extents_that_are_given_are_those_that_count(cli: Cli, tmp_path: Path) -> None:
    path = two_convolutions(tmp_path, FREE, np.float32)
    macs = [
        json.loads(cli("inspect", path, "--shape", f"x:{shape}", "--json").out)["cost"]["macs"]
        for shape in ("1,3,8,8", "2x3x16x8")
    ]
    assert macs[1] == 4 * macs[0]


def test_a_free_batch_alone_is_no_warning(cli: Cli, model: Path) -> None:
    ran = cli("inspect", model)
    assert ran.err == ""
    assert "[N,3,8,8]  taken as [1,3,8,8]" in ran.out


def test_half_precision_on_the_processor_is_told(cli: Cli, tmp_path: Path) -> None:
    path = two_convolutions(tmp_path, HALF, np.float16)
    for words in (["bench", path, *SHORT], ["compare", path, path, *SHORT]):
        ran = cli(*words, "--provider", "cpu")
        assert ran.code == 0, ran.err
        assert ran.err.count("W407") == 1, ran.err


def test_weights_in_subgraphs_are_told(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "nested.onnx"
    onnx.save(nested(np.random.default_rng(0)), path)
    ran = cli("inspect", path)
    assert "W404" in ran.err
    assert "(If)" in ran.err


def test_a_weighted_node_that_is_not_known_is_not_counted_in_silence(cli: Cli, tmp_path: Path) -> None:
    body = "{ h = MatMul(x, w)  y = my.ops.Mix(h, v) }"
    header = '<ir_version: 8, opset_import: ["" : 17, "my.ops" : 1]> g (float[2, 8] x) => (float[2, 8] y)'
    model = onnx.parser.parse_model(f"{header} {body}")
    for name in ("w", "v"):
        weight = np.ones((8, 8), np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(weight, name))
    path = tmp_path / "mixed.onnx"
    onnx.save(model, path)
    ran = cli("inspect", path)
    assert "W408: MACs of 1 weighted nodes are not known and not counted: y (Mix)" in ran.err
    assert "W408" not in cli("inspect", two_convolutions(tmp_path, FREE, np.float32)).err


def test_few_samples_and_degenerate_predictions_are_told(cli: Cli, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "same.npz"
    np.savez(path, x=np.ones((24, 3, 8, 8), np.float32), labels=np.zeros(24, np.int64))
    ran = cli("measure", model, "--data", path, "--json")
    assert "W504: only 24 samples" in ran.err
    assert "W505: predictions cover 1 of 5 classes" in ran.err
    assert [warning[:4] for warning in json.loads(ran.out)["warnings"]] == ["W504", "W505"]


def test_a_provider_that_is_not_required_falls_back_with_a_warning(cli: Cli, model: Path) -> None:
    ran = cli("bench", model, model, *SHORT, "--provider", "NoSuchExecutionProvider")
    assert ran.code == 0, ran.err
    assert "W601: NoSuchExecutionProvider requested, but the session runs on CPUExecutionProvider" in ran.err
    assert "provider CPUExecutionProvider (requested NoSuchExecutionProvider)" in ran.out


def test_a_model_that_does_not_run_is_told_by_inspect(cli: Cli, tmp_path: Path) -> None:
    text = FREE.replace("H, W", "8, 8")
    weights = {"a": np.ones((16, 3, 1, 1), np.float32), "b": np.ones((4, 15, 1, 1), np.float32)}
    path = tmp_path / "misfit.onnx"
    onnx.save(parsed(text, **weights), path)
    ran = cli("inspect", path)
    assert ran.code == 0
    assert "E309: this model does not run: node y (Conv)" in ran.err


def test_what_cannot_be_proven_by_running_is_told(cli: Cli, tmp_path: Path) -> None:
    """A custom operator behind two convolutions: the channels between them can go, but nothing runs here."""
    text = (
        FREE.replace("H, W", "8, 8").replace("17]>", '17, "my.ops" : 1]>').replace("y = Conv(r, b)", CUSTOM)
    )
    path = two_convolutions(tmp_path, text, np.float32)
    ran = cli("prune", path, "-o", tmp_path / "out.onnx", "--target", "macs=50%")
    assert ran.code == 0, ran.err
    assert ran.err.count("W801: not proven: ") == 2
    assert "my.ops" in ran.err
    assert (tmp_path / "out.onnx").exists()


CUSTOM = "s = Conv(r, b)  y = my.ops.Fancy(s)"

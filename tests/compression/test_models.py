"""Models of other kinds than a classifier with a free batch: all of them are compressed."""

import json
from pathlib import Path

import numpy as np
import onnx

from onnxprune.compression import RunFolder, compress, start, summary_of
from tests.compression.conftest import options
from tests.onnx_file.small_models import chain, normal, parsed

ROWS = 48


def saved_samples(path: Path, **inputs: np.ndarray) -> Path:
    np.savez(path, **inputs)
    return path


def compressed(model: onnx.ModelProto, tmp_path: Path, samples: Path, **others: object) -> RunFolder:
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    run = start(options(path, samples, distill__epochs=1, **others), tmp_path / "run", [])
    compress(run)
    assert summary_of(run)["targets"][0]["met"]
    return run


def test_a_model_without_classes_is_judged_by_the_difference_of_its_outputs(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    model = parsed(
        """<ir_version: 8, opset_import: ["" : 17]>
        maps (float[N, 3, 8, 8] x) => (float[N, 2, 8, 8] y, float[N, 4, 4, 4] z) {
            a = Conv<pads = [1, 1, 1, 1]>(x, a_w)
            r = Relu(a)
            y = Conv(r, y_w)
            p = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(r)
            z = Conv(p, z_w)
        }""",
        a_w=normal(rng, 12, 3, 3, 3),
        y_w=normal(rng, 2, 12, 1, 1),
        z_w=normal(rng, 4, 12, 1, 1),
    )
    samples = saved_samples(tmp_path / "x.npz", x=normal(rng, ROWS, 3, 8, 8))
    run = compressed(model, tmp_path, samples)
    assert summary_of(run)["metric"] == "relative-mse"
    figures = {m["name"]: m["search"]["relative-mse"] for m in summary_of(run)["models"]}
    assert figures["original"] == 0
    final = summary_of(run)["final"]["from"]
    assert figures[final] == min(value for name, value in figures.items() if name != "original")


def test_a_model_of_batch_one_is_trained_and_timed_at_batch_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    model = chain(rng)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    samples = saved_samples(tmp_path / "x.npz", x=normal(rng, ROWS, 3, 8, 8))
    run = compressed(model, tmp_path, samples)
    assert run.box("distill")["state"] == "done", run.box("distill")
    assert summary_of(run)["latency"]["batch"] == 1
    final = onnx.load(run.path / "final.onnx")
    assert final.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1


def test_a_model_of_two_inputs_is_compressed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    model = parsed(
        """<ir_version: 8, opset_import: ["" : 17]>
        two (float[N, 6] a, float[N, 4] b) => (float[N, 3] y) {
            ha = MatMul(a, a_w)
            hb = MatMul(b, b_w)
            s = Add(ha, hb)
            r = Relu(s)
            y = MatMul(r, y_w)
        }""",
        a_w=normal(rng, 6, 16),
        b_w=normal(rng, 4, 16),
        y_w=normal(rng, 16, 3),
    )
    samples = saved_samples(tmp_path / "x.npz", a=normal(rng, ROWS, 6), b=normal(rng, ROWS, 4))
    run = compressed(model, tmp_path, samples)
    assert run.box("distill")["state"] == "done"
    assert summary_of(run)["metric"] == "agreement"


def test_weights_outside_the_file_stay_outside(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "model.onnx"
    onnx.save(chain(rng), path, save_as_external_data=True, location="model.onnx.data", size_threshold=0)
    samples = saved_samples(tmp_path / "x.npz", x=normal(rng, ROWS, 3, 8, 8))
    run = start(options(path, samples, distill__epochs=1), tmp_path / "run", [])
    compress(run)
    for name in ("pruned", "reconstructed", "student", "final"):
        assert (run.path / f"{name}.onnx.data").is_file()
    record = json.loads((run.path / "run.json").read_text())
    assert "final.onnx.data" in record["boxes"]["choose"]["outputs"]

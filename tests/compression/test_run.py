"""What a run leaves behind, and on what it depends."""

import json
import tomllib
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
import pytest

from onnxprune.compression import RunFolder, compress, options_of, start, summary_of, training
from onnxprune.errors import DataError, RuntimeProblem, UnsupportedError, UsageError
from onnxprune.groups import find_groups
from onnxprune.masks import load_masks, masks_hash
from onnxprune.onnx_file import load_graph
from onnxprune.runs.replaced import ASIDE
from tests.compression.conftest import hashes, options, write_samples

FILES = {
    *("run.json", "config.toml", "log.txt", "groups.json", "baseline.json", "masks.json", "prune.json"),
    *("pruned.onnx", "reconstruct.json", "reconstructed.onnx", "distill", "distill.json", "student.onnx"),
    *("choice.json", "final.onnx", "verify.json", "measurement.json", "latency.json", "report.md"),
}


def test_a_run_leaves_every_file_and_its_hash(finished: RunFolder) -> None:
    assert {path.name for path in finished.path.iterdir()} == FILES
    record = json.loads((finished.path / "run.json").read_text())
    assert record["status"] == "done"
    assert {name: box["state"] for name, box in record["boxes"].items()} == {
        **dict.fromkeys(record["boxes"], "done"),
        "search": "skipped",
    }
    for box in record["boxes"].values():
        for name, value in box["outputs"].items():
            assert sha256((finished.path / name).read_bytes()).hexdigest() == value
    for word in ("versions", "processor", "seed", "sha256", "argv", "started", "ended", "warnings"):
        assert record[word] is not None


def test_every_model_keeps_the_contract_and_says_where_it_comes_from(
    finished: RunFolder, model: Path
) -> None:
    original = onnx.load(model)
    masks = load_masks(finished.path / "masks.json", find_groups(load_graph(model)))
    for name in ("pruned", "reconstructed", "student", "final"):
        written = onnx.load(finished.path / f"{name}.onnx")
        assert written.graph.input == original.graph.input
        assert written.graph.output == original.graph.output
        assert written.opset_import == original.opset_import
        assert [n.op_type for n in written.graph.node] == [n.op_type for n in original.graph.node]
        told = {p.key: p.value for p in written.metadata_props}
        assert told["onnxprune.masks_sha256"] == masks_hash(masks)
        assert told["kind"] == "chain"


def test_the_result_is_the_best_by_the_search_part(finished: RunFolder) -> None:
    choice = json.loads((finished.path / "choice.json").read_text())
    figures = {name: found["top1"] for name, found in choice["search"].items()}
    assert figures[choice["final"]] == max(figures.values())
    final, chosen = (finished.path / f"{name}.onnx" for name in ("final", choice["final"]))
    assert final.read_bytes() == chosen.read_bytes()


def test_the_original_is_right_and_repair_wins_back_what_pruning_lost(finished: RunFolder) -> None:
    figures = {model["name"]: model["search"]["top1"] for model in summary_of(finished)["models"]}
    assert figures["original"] == 1
    assert figures["reconstructed"] >= figures["pruned"]
    assert max(figures["student"], figures["reconstructed"]) > figures["pruned"]


def test_the_target_is_met_and_told(finished: RunFolder) -> None:
    summary = summary_of(finished)
    (target,) = summary["targets"]
    assert target["met"]
    assert target["share"] <= 0.6
    assert [model["name"] for model in summary["models"]] == [
        "original",
        "pruned",
        "reconstructed",
        "student",
    ]
    assert sum(model["final"] for model in summary["models"]) == 1


def test_the_parts_do_not_mix(finished: RunFolder) -> None:
    rows = json.loads((finished.path / "baseline.json").read_text())["rows"]
    assert rows == {"fit": 48, "search": 24, "test": 24}


def test_samples_for_the_test_leave_the_others_to_fit_and_search(
    model: Path, samples: Path, tmp_path: Path
) -> None:
    test = write_samples(tmp_path / "test.npz", model, seed=5)
    run = start(options(model, samples, test=str(test), distill__enabled=False), tmp_path / "run", [])
    compress(run)
    assert summary_of(run)["rows"] == {"fit": 77, "search": 19, "test": 96}


def test_without_labels_agreement_decides(model: Path, tmp_path: Path) -> None:
    bare = write_samples(tmp_path / "bare.npz")
    run = start(options(model, bare, distill__epochs=1), tmp_path / "run", [])
    compress(run)
    summary = summary_of(run)
    assert summary["metric"] == "agreement"
    assert summary["models"][0]["test"]["agreement"] == 1


def test_without_distillation_nothing_is_trained_and_torch_is_not_asked_for(
    model: Path, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeProblem, match="needs torch") as error:
        start(options(model, samples), tmp_path / "run", [])
    assert "--no-distill" in error.value.hint
    assert not (tmp_path / "run").exists()
    run = start(options(model, samples, distill__enabled=False), tmp_path / "run", [])
    compress(run)
    assert run.box("distill")["state"] == "skipped"
    assert "Left out" in (run.path / "report.md").read_text()


def test_without_reconstruction_the_student_starts_from_the_pruned_model(
    model: Path, samples: Path, tmp_path: Path
) -> None:
    run = start(options(model, samples, reconstruct__enabled=False, distill__epochs=1), tmp_path / "run", [])
    compress(run)
    assert json.loads((run.path / "distill.json").read_text())["started_from"] == "pruned.onnx"
    assert not (run.path / "reconstructed.onnx").exists()


def test_a_model_that_cannot_be_trained_is_compressed_without(
    model: Path, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise UnsupportedError("E406", "distill cannot run Resize (node /up)")

    monkeypatch.setattr("onnxprune.distillation.distill", refused)
    run = start(options(model, samples), tmp_path / "run", [])
    compress(run)
    assert run.box("distill")["state"] == "skipped"
    assert any("Resize" in warning for warning in run.record["warnings"])
    required = start(options(model, samples, distill__required=True), tmp_path / "required", [])
    with pytest.raises(UnsupportedError, match="Resize"):
        compress(required)
    assert required.record["status"] == "failed"


def test_random_samples_are_refused_before_any_work(model: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="random"):
        start(options(model, Path("random")), tmp_path / "run", [])
    assert not (tmp_path / "run").exists()


def test_a_folder_in_use_is_refused_and_force_starts_anew(
    model: Path, samples: Path, tmp_path: Path, finished: RunFolder
) -> None:
    with pytest.raises(UsageError, match="holds a run") as error:
        start(options(model, samples), finished.path, [])
    assert "--resume" in error.value.hint
    (finished.path / "mine.txt").write_text("kept")
    start(options(model, samples), finished.path, [], force=True)
    assert {path.name for path in finished.path.iterdir()} == {
        *("run.json", "config.toml", "mine.txt"),
        ASIDE,  # until the new run has measured the original
    }
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("kept")
    with pytest.raises(UsageError, match="is not empty"):
        start(options(model, samples), full, [], force=True)


def test_labels_that_a_file_holds_as_floats_change_nothing(
    finished: RunFolder, model: Path, samples: Path, tmp_path: Path
) -> None:
    arrays = dict(np.load(samples))
    np.savez(samples, **arrays | {"labels": arrays["labels"].astype(np.float64)})
    compress(run := start(options(model, samples), tmp_path / "floats", []))
    assert summary_of(run)["metric"] == summary_of(finished)["metric"] == "top1"
    assert hashes(run.path) == hashes(finished.path)


def test_the_configuration_in_the_folder_is_the_run_s(finished: RunFolder) -> None:
    tables = tomllib.loads((finished.path / "config.toml").read_text())
    assert tables["distill"]["epochs"] == options_of(finished).distill.epochs == 3
    assert tables["target"] == ["macs=60%"]


def test_the_report_tells_the_verdict_the_table_and_what_limits_it(finished: RunFolder) -> None:
    text = (finished.path / "report.md").read_text()
    for words in (
        "Target `macs=60%`: met",
        "| distilled",
        "## Channels kept",
        "epoch",
        "sha256 of model",
        "nothing read",
    ):
        assert words in text
    assert "onnxprune compress words" in text

"""What cannot go well is refused before there is a run, and nothing that the run reads is removed."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from onnxprune.compression import RunFolder, compress, resume, start
from onnxprune.compression.options import SearchSettings
from onnxprune.errors import DataError, OnnxPruneError, UsageError
from tests.compression.conftest import options, write_samples


def refused(model: Path, samples: Path, folder: Path, **others: object) -> OnnxPruneError:
    """The error of a start that left no folder."""
    with pytest.raises(OnnxPruneError) as error:
        start(options(model, samples, **others), folder, [])
    assert not folder.exists()
    return error.value


def test_a_test_part_without_the_labels_that_decide_is_refused(
    model: Path, samples: Path, tmp_path: Path
) -> None:
    bare = write_samples(tmp_path / "bare.npz", seed=5)
    error = refused(model, samples, tmp_path / "run", test=str(bare))
    assert error.code == "E504"
    assert "bare.npz has none" in error.message
    assert "--metric agreement" in error.hint
    start(options(model, samples, test=str(bare), measure__metric="agreement"), tmp_path / "run", [])


def test_a_metric_that_needs_labels_is_refused_without_them(model: Path, tmp_path: Path) -> None:
    bare = write_samples(tmp_path / "bare.npz")
    assert refused(model, bare, tmp_path / "run", measure__metric="top5").code == "E504"


def test_labels_of_the_test_part_that_are_no_classes_are_refused(
    model: Path, samples: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.npz"
    np.savez(other, x=np.zeros((8, 3, 8, 8), np.float32), labels=np.zeros((8, 5), np.float32))
    assert refused(model, samples, tmp_path / "run", test=str(other)).code == "E503"


def test_labels_of_the_test_part_beyond_the_classes_are_refused(
    model: Path, samples: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.npz"
    np.savez(other, x=np.zeros((8, 3, 8, 8), np.float32), labels=np.arange(8))
    error = refused(model, samples, tmp_path / "run", test=str(other))
    assert error.code == "E503"
    assert "labels 0 to 7 for a model of 5 classes" in error.message


@pytest.mark.parametrize("label", [1.5, np.nan])
def test_labels_that_are_no_whole_numbers_are_refused(
    label: float, model: Path, samples: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.npz"
    np.savez(other, x=np.zeros((8, 3, 8, 8), np.float32), labels=np.full(8, label))
    error = refused(model, samples, tmp_path / "run", test=str(other), measure__metric="top5")
    assert error.code == "E503"
    assert f"other.npz: label {label:g} is no class" in error.message


def test_a_copy_of_the_samples_is_no_test_part(model: Path, samples: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.npz"
    copy.write_bytes(samples.read_bytes())
    error = refused(model, samples, tmp_path / "run", test=str(copy))
    assert error.code == "E504"
    assert "leave --test out" in error.hint
    start(options(model, samples, test=str(samples)), tmp_path / "run", [])


def test_too_few_samples_for_three_parts_are_refused(model: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", x=np.zeros((1, 3, 8, 8), np.float32))
    error = refused(model, tmp_path / "one.npz", tmp_path / "run")
    assert isinstance(error, DataError)
    assert "too few rows" in error.message


def test_a_function_that_yields_too_few_rows_is_told_with_their_numbers(model: Path, tmp_path: Path) -> None:
    (tmp_path / "few.py").write_text(
        "import numpy as np\n"
        "def rows():\n"
        "    for _ in range(2):\n"
        "        yield {'x': np.zeros((3, 8, 8), np.float32)}\n"
    )
    error = refused(model, Path(f"{tmp_path / 'few.py'}:rows"), tmp_path / "run")
    assert error.code == "E504"
    assert error.message.startswith(f"{tmp_path / 'few.py'}:rows has too few rows: ")
    counts = [int(word) for word in error.message.replace(":", " ").split() if word.isdecimal()]
    assert (len(counts), sum(counts)) == (3, 2)


@pytest.mark.parametrize(
    ("key", "value", "flag"),
    [
        ("reconstruct__rows", 0, "--calibration"),
        ("reconstruct__rows", -1, "--calibration"),
        ("distill__batch", 0, "--batch"),
        ("measure__threads", -2, "--threads"),
        ("measure__seconds", -1.0, "--duration"),
        ("measure__seconds", float("nan"), "--duration"),
        ("measure__provider", "xyz", "--provider"),
        ("distill__device", "tpu", "--train-device"),
    ],
)
def test_values_out_of_their_range_are_refused(
    key: str, value: object, flag: str, model: Path, samples: Path, tmp_path: Path
) -> None:
    error = refused(model, samples, tmp_path / "run", **{key: value})
    assert isinstance(error, UsageError)
    assert error.message.startswith(flag)


@pytest.mark.parametrize("rows", [0, -5])
def test_a_number_of_samples_below_one_is_refused(
    rows: int, model: Path, samples: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="--samples"):
        start(replace(options(model, samples), samples=rows), tmp_path / "run", [])
    assert not (tmp_path / "run").exists()


def test_force_never_removes_what_the_new_run_reads(finished: RunFolder, samples: Path) -> None:
    result = finished.path / "final.onnx"
    before = result.read_bytes()
    with pytest.raises(UsageError, match="--force removes"):
        start(options(result, samples), finished.path, [], force=True)
    assert result.read_bytes() == before


def test_a_model_with_a_fixed_batch_is_calibrated_and_proven_on_whole_batches(
    model: Path, tmp_path: Path
) -> None:
    fixed = onnx.load(model)
    for value in (*fixed.graph.input, *fixed.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 64
    onnx.save(fixed, tmp_path / "fixed.onnx")
    rows = np.random.default_rng(1).normal(size=(160, 3, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "rows.npz", x=rows)
    asked = options(
        tmp_path / "fixed.onnx",
        tmp_path / "rows.npz",
        test=str(tmp_path / "rows.npz"),
        distill__enabled=False,
    )
    run = start(asked, tmp_path / "run", [])
    compress(run)
    proofs = json.loads((run.path / "verify.json").read_text())
    states = {check["name"]: check["status"] for check in proofs["pruned"]["checks"]}
    assert states["masked original == pruned"] == "PASS"


@pytest.mark.parametrize("part", ["options", "sha256", "warnings"])
def test_a_record_without_its_parts_is_no_run(part: str, finished: RunFolder) -> None:
    path = finished.path / "run.json"
    record = json.loads(path.read_text())
    del record[part]
    path.write_text(json.dumps(record))
    with pytest.raises(UsageError, match="no record of a run"):
        resume(finished.path, {})
    path.write_text("[]")
    with pytest.raises(UsageError, match="no record of a run"):
        resume(finished.path, {})


def test_a_box_recorded_without_its_files_is_done_again(finished: RunFolder) -> None:
    path = finished.path / "run.json"
    record = json.loads(path.read_text())
    del record["boxes"]["prune"]["outputs"]
    path.write_text(json.dumps(record))
    before = (finished.path / "final.onnx").read_bytes()
    compress(resume(finished.path, {}))
    assert (finished.path / "final.onnx").read_bytes() == before


def test_a_resumed_run_has_its_configuration_again(finished: RunFolder) -> None:
    before = (finished.path / "config.toml").read_text()
    (finished.path / "config.toml").unlink()
    compress(resume(finished.path, {}))
    assert (finished.path / "config.toml").read_text() == before


def test_a_figure_that_is_no_share_has_no_error_in_points(
    finished: RunFolder, model: Path, samples: Path, tmp_path: Path
) -> None:
    run = start(options(model, samples, measure__metric="mse", distill__enabled=False), tmp_path / "run", [])
    compress(run)
    assert "points at most" not in (run.path / "report.md").read_text()
    assert "points at most" in (finished.path / "report.md").read_text()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"seed": None}, "seed is None, want a whole number"),
        ({"samples": 2.5}, "samples is 2.5, want a whole number"),
        ({"search": SearchSettings(evaluations="4")}, "search.evaluations is '4', want a whole number"),
        ({"stages": 2}, r"stages is 2, want StageSettings\(...\)"),
    ],
)
def test_options_made_in_python_are_of_the_types_that_a_file_must_have(
    given: dict[str, object], told: str, model: Path, samples: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=f"E201.*CompressOptions: {told}"):
        start(replace(options(model, samples), **given), tmp_path / "run", [])
    assert not (tmp_path / "run").exists()


def test_the_folder_of_a_run_may_be_a_text(model: Path, samples: Path, tmp_path: Path) -> None:
    run = start(options(model, samples), str(tmp_path / "run"), [])
    assert resume(str(run.path), {}).path == tmp_path / "run"

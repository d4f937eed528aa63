"""What `onnxprune distill` refuses before it trains, and what it leaves as it was."""

import json
import os
from pathlib import Path

import numpy as np
import onnx
import pytest

from onnxprune.runs.folder import locked
from tests.cli.conftest import Cli, contents
from tests.distillation.small_pair import CLASSES, images, make_pair
from tests.onnx_file.small_models import normal, parsed

QUICK = ("--no-compile", "--precision", "fp32", "--augment", "none", "--batch", "8", "--lr", "0.05")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """teacher.onnx, student.onnx and train.npz."""
    make_pair(tmp_path)
    labels = np.arange(80) % CLASSES
    x = images(80) / 3 + labels[:, None, None, None].astype(np.float32) / 2
    np.savez(tmp_path / "train.npz", x=x, labels=labels)
    return tmp_path


def words(folder: Path, *more: object, out: str = "run") -> list[object]:
    models = [folder / "teacher.onnx", folder / "student.onnx"]
    return ["distill", *models, "--data", folder / "train.npz", "-o", folder / out, *QUICK, *more]


@pytest.mark.parametrize(
    ("labels", "told"),
    [(np.arange(80) % CLASSES + 7, "labels 7 to 10"), (np.arange(80) % CLASSES - 1, "labels -1 to 2")],
)
def test_a_test_part_that_cannot_be_measured_is_told_before_the_training(
    labels: np.ndarray, told: str, cli: Cli, folder: Path
) -> None:
    np.savez(folder / "test.npz", x=images(80), labels=labels)
    ran = cli(*words(folder, "--epochs", "2", "--test", folder / "test.npz"))
    assert (ran.error_code, ran.code) == ("E503", 5), ran.err
    assert told in ran.err
    assert not (folder / "run").exists()


def test_invented_samples_are_no_test_part(cli: Cli, folder: Path) -> None:
    ran = cli(*words(folder, "--epochs", "2", "--test", "random"))
    assert (ran.error_code, ran.code) == ("E504", 5), ran.err
    assert not (folder / "run").exists()


def test_where_outputs_are_no_classes_the_error_against_the_original_is_measured(
    cli: Cli, folder: Path
) -> None:
    for name in ("teacher", "student"):
        model = onnx.load(folder / f"{name}.onnx")
        model.graph.node.append(onnx.helper.make_node("ReduceMean", ["y"], ["middle"], axes=[1]))
        model.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("middle", 1, ["N", 1]))
        onnx.save(model, folder / f"{name}.onnx")
    targets = np.random.default_rng(0).normal(size=80)
    np.savez(folder / "test.npz", x=images(80), labels=targets)
    ran = cli(*words(folder, "--epochs", "1", "--test", folder / "test.npz", "--json"))
    assert ran.code == 0, ran.err
    errors = {name: one["metrics"]["mse"] for name, one in json.loads(ran.out)["test"].items()}
    assert errors["original"] == 0 < errors["student before"]


def test_a_test_part_that_fails_in_the_end_leaves_the_file_in_its_place(cli: Cli, folder: Path) -> None:
    labels = np.arange(80) % CLASSES
    labels[70] = CLASSES
    np.savez(folder / "test.npz", x=images(80), labels=labels)
    ran = cli(*words(folder, "--epochs", "2", "--test", folder / "test.npz", out="better.onnx"))
    assert (ran.error_code, ran.code) == ("E503", 5), ran.err
    assert f"the student is written to {folder / 'better.onnx'}" in ran.err
    onnx.checker.check_model(folder / "better.onnx")


@pytest.mark.parametrize("part", ["fit", "search", "test"])
def test_one_part_for_learning_and_choosing_is_refused(part: str, cli: Cli, folder: Path) -> None:
    ran = cli(*words(folder, "--epochs", "1", "--part", part))
    assert (ran.error_code, ran.code) == ("E201", 2), ran.err


def test_the_test_part_is_left_alone_by_whatever_path_it_is_named(cli: Cli, folder: Path) -> None:
    (folder / "link.npz").symlink_to(folder / "train.npz")
    for test in (folder / ".." / folder.name / "train.npz", folder / "link.npz"):
        ran = cli(*words(folder, "--epochs", "1", "--force", "--test", test, "--json"))
        assert "40 rows to learn from, 20 to choose by" in ran.err
        assert json.loads(ran.out)["test"]["student"]["samples"] == 20


def test_a_named_teacher_is_not_replaced(cli: Cli, folder: Path) -> None:
    other = folder / "other.onnx"
    other.write_bytes((folder / "teacher.onnx").read_bytes())
    ran = cli(*words(folder, "--epochs", "1", "--teacher", other, "--force", out="other.onnx"))
    assert (ran.error_code, ran.code) == ("E203", 2)
    assert other.read_bytes() == (folder / "teacher.onnx").read_bytes()


@pytest.mark.parametrize(
    "more", [("--batch", "64"), ("--match", "nowhere"), ("--device", "moon"), ("--sparsity", "slimming")]
)
def test_a_forced_run_that_cannot_start_leaves_the_old_one(
    more: tuple[str, ...], cli: Cli, folder: Path
) -> None:
    assert cli(*words(folder, "--epochs", "1")).code == 0
    before = contents(folder)
    if "slimming" in more:
        folded = onnx.load(folder / "student.onnx")
        folded.graph.node.remove(next(n for n in folded.graph.node if n.op_type == "BatchNormalization"))
        next(n for n in folded.graph.node if n.op_type == "Relu").input[0] = "c"
        onnx.save(folded, folder / "student.onnx")
        before = contents(folder)
    ran = cli(*words(folder, "--epochs", "1", "--force", *more))
    assert ran.code in (2, 4, 5), ran.err
    assert contents(folder) == before


def forced_and_diverging(folder: Path) -> list[object]:
    """Words of a run over an earlier one, whose loss is not finite in its first epoch."""
    with np.load(folder / "train.npz") as data:
        x, labels = data["x"].copy(), data["labels"]
    x[8:, 0, 0, 0] = -np.inf
    np.savez(folder / "broken.npz", x=x, labels=labels)
    return words(folder, "--epochs", "2", "--force", "--data", folder / "broken.npz")


def test_a_forced_run_that_diverges_at_once_leaves_the_old_one(cli: Cli, folder: Path) -> None:
    assert cli(*words(folder, "--epochs", "1")).code == 0
    before = contents(folder / "run")
    ran = cli(*forced_and_diverging(folder))
    assert (ran.error_code, ran.code) == ("E703", 7), ran.err
    assert contents(folder / "run") == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_a_forced_run_that_ends_before_its_first_step_leaves_the_old_one(
    error: type[BaseException], cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli(*words(folder, "--epochs", "1")).code == 0
    before = contents(folder / "run")

    def fail(_session: object) -> None:
        raise error

    monkeypatch.setattr("onnxprune.distillation.session.Session.remember", fail)
    assert cli(*words(folder, "--epochs", "2", "--force")).code != 0
    assert contents(folder / "run") == before


def test_a_forced_run_that_got_anywhere_is_what_the_next_one_leaves(
    cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli(*words(folder, "--epochs", "1")).code == 0
    with monkeypatch.context() as patched:
        patched.setattr("onnxprune.cli.distill_command.let_go", lambda _: 1 / 0)
        assert cli(*words(folder, "--epochs", "2", "--force")).code != 0
    before = {name: text for name, text in contents(folder / "run").items() if ".replaced" not in str(name)}
    assert cli(*forced_and_diverging(folder)).error_code == "E703"
    assert contents(folder / "run") == before
    assert cli("distill", "--resume", folder / "run").code == 0


def test_a_model_of_the_run_that_would_be_replaced_is_refused(cli: Cli, folder: Path) -> None:
    assert cli(*words(folder, "--epochs", "1")).code == 0
    before = contents(folder)
    models = [folder / "teacher.onnx", folder / "run" / "student.onnx"]
    ran = cli("distill", *models, *words(folder, "--force")[3:])
    assert (ran.error_code, ran.code) == ("E203", 2), ran.err
    assert contents(folder) == before


def test_what_a_forced_run_replaces_goes_when_the_new_one_is_done(cli: Cli, folder: Path) -> None:
    assert cli(*words(folder, "--epochs", "1")).code == 0
    names = {path.name for path in (folder / "run").iterdir()}
    (folder / "run" / "tb").mkdir()  # as --tensorboard makes it
    (folder / "run" / "mine.txt").write_text("not of a run")
    assert cli(*words(folder, "--epochs", "2", "--force")).code == 0
    assert {path.name for path in (folder / "run").iterdir()} == names | {"mine.txt"}


def test_a_forced_run_that_was_killed_leaves_the_old_one_to_the_next(
    cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that dies in its first epoch has moved the old run, and nothing brings it back at once."""
    assert cli(*words(folder, "--epochs", "1")).code == 0
    before = contents(folder / "run")
    with monkeypatch.context() as patched:
        patched.setattr("onnxprune.cli.distill_command.give_up", lambda *_: None)
        assert cli(*forced_and_diverging(folder)).error_code == "E703"
    assert contents(folder / "run") != before
    assert cli(*words(folder, "--epochs", "1")).error_code == "E203"
    assert cli(*forced_and_diverging(folder)).error_code == "E703"
    assert contents(folder / "run") == before


def test_a_run_is_not_marked_by_those_who_may_not_continue_it(cli: Cli, folder: Path) -> None:
    assert cli(*words(folder, "--epochs", "1")).code == 0
    before = contents(folder / "run")
    assert cli("distill", "--resume", folder / "run", "--lr", "0.1").error_code == "E208"
    assert contents(folder / "run") == before


def test_a_run_whose_samples_were_changed_is_refused(cli: Cli, folder: Path) -> None:
    assert cli(*words(folder, "--epochs", "1")).code == 0
    with np.load(folder / "train.npz") as data:
        np.savez(folder / "train.npz", x=-data["x"], labels=data["labels"])
    ran = cli("distill", "--resume", folder / "run")
    assert (ran.error_code, ran.code) == ("E208", 2), ran.err
    assert "other data: sha256" in ran.err


def test_a_run_named_by_relative_paths_says_where_it_was_started(
    cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert cli(*words(Path(), "--epochs", "1")).code == 0
    monkeypatch.chdir(folder.parent)
    ran = cli("distill", "--resume", folder / "run")
    assert (ran.error_code, ran.code) == ("E208", 2)
    assert f"was started in {folder}" in ran.err


@pytest.mark.skipif(os.name == "nt", reason="locks of POSIX")
def test_a_run_that_another_process_works_in_is_left_alone(cli: Cli, folder: Path) -> None:
    assert cli(*words(folder, "--epochs", "1")).code == 0
    before = contents(folder)
    with locked(folder / "run"):
        resumed = cli("distill", "--resume", folder / "run")
        forced = cli(*words(folder, "--epochs", "1", "--force"))
    assert resumed.error_code == forced.error_code == "E208"
    assert "another process works in" in resumed.err
    assert contents(folder) == before
    assert cli("distill", "--resume", folder / "run").code == 0


def test_labels_that_are_no_classes_are_said_to_be_left_out(cli: Cli, folder: Path) -> None:
    np.savez(folder / "train.npz", x=images(80), labels=np.eye(CLASSES)[np.arange(80) % CLASSES])
    ran = cli(*words(folder, "--epochs", "1", "--loss", "kl", "--switch-teacher"))
    assert ran.code == 0, ran.err
    assert "labels other than one whole number a row are not used" in ran.err
    assert "no student scores higher than the teacher" in ran.err


def test_a_token_that_the_model_does_not_know_is_told_as_a_fault_of_the_data(cli: Cli, folder: Path) -> None:
    model = parsed(
        """<ir_version: 8, opset_import: ["" : 17]> tokens (int64[N, 5] ids) => (float[N, 5, 3] y) {
            embedded = Gather(table, ids)
            y = MatMul(embedded, w)
        }""",
        table=normal(np.random.default_rng(0), 20, 4),
        w=normal(np.random.default_rng(1), 4, 3),
    )
    ids = np.arange(400).reshape(80, 5) % 20
    ids[30:38, 2] = 20
    np.savez(folder / "ids.npz", ids=ids)
    onnx.save(model, folder / "tokens.onnx")
    both = [folder / "tokens.onnx"] * 2
    ran = cli("distill", *both, "--data", folder / "ids.npz", "-o", folder / "run", *QUICK)
    assert (ran.error_code, ran.code) == ("E503", 5), ran.err
    assert "holds an index that the models do not have" in ran.err
    assert not (folder / "run").exists()

"""`onnxprune distill`: one command trains, measures and writes; whatever ends it, `--resume` goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.cli.conftest import Cli, contents
from tests.distillation.small_pair import CLASSES, arrays, images, make_pair

ROOT = Path(__file__).parents[2]
QUICK = ("--no-compile", "--precision", "fp32", "--augment", "none", "--batch", "8", "--lr", "0.05")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """teacher.onnx, student.onnx, train.npz and test.npz."""
    make_pair(tmp_path)
    for seed, name in enumerate(("train", "test")):
        labels = np.arange(80) % CLASSES
        x = images(80, seed) / 3 + labels[:, None, None, None].astype(np.float32) / 2
        np.savez(tmp_path / f"{name}.npz", x=x, labels=labels)
    return tmp_path


def words(folder: Path, *more: object, out: str = "run") -> list[object]:
    models = [folder / "teacher.onnx", folder / "student.onnx"]
    return ["distill", *models, "--data", folder / "train.npz", "-o", folder / out, *QUICK, *more]


def test_a_run_trains_measures_the_test_part_and_says_what_it_did(cli: Cli, folder: Path) -> None:
    ran = cli(*words(folder, "--epochs", "25", "--test", folder / "test.npz", "--json"))
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)
    assert told["best_score"] > told["first_score"]
    assert told["test"]["student"]["metrics"]["top1"] > told["test"]["student before"]["metrics"]["top1"]
    assert told["test"]["student"]["samples"] == 80
    assert "72 rows to learn from, 8 to choose by" in ran.err
    assert "epoch 25/25: loss" in ran.err
    run = json.loads((folder / "run" / "run.json").read_text())
    assert run["status"] == "done"
    assert len(run["sha256"]["student"]) == 64
    names = {path.name for path in (folder / "run").iterdir()}
    assert names == {"checkpoint.pt", "metrics.csv", "run.json", "student.onnx"}
    onnx.checker.check_model(folder / "run" / "student.onnx")


def test_a_file_can_be_asked_for_instead_of_a_folder(cli: Cli, folder: Path) -> None:
    ran = cli(*words(folder, "--epochs", "2", out="better.onnx"))
    assert ran.code == 0, ran.err
    assert "wrote" in ran.out
    written = arrays(folder / "better.onnx")
    assert all((written[n] == v).all() for n, v in arrays(folder / "better.distill" / "student.onnx").items())
    again = cli(*words(folder, "--epochs", "2", out="better.onnx"))
    assert (again.error_code, again.code) == ("E203", 2)
    assert "--resume" in again.err
    assert cli(*words(folder, "--epochs", "2", "--force", out="better.onnx")).code == 0


def test_without_a_test_set_the_test_part_of_the_data_is_left_alone(cli: Cli, folder: Path) -> None:
    ran = cli(*words(folder, "--epochs", "1"))
    assert "40 rows to learn from, 20 to choose by" in ran.err


def test_another_teacher_may_be_named(cli: Cli, folder: Path) -> None:
    ran = cli(*words(folder, "--epochs", "1", "--teacher", folder / "student.onnx", "--alpha", "1"))
    assert ran.code == 0, ran.err


@pytest.mark.parametrize(
    ("more", "code", "exit_code", "told"),
    [
        (("--alpha", "2"), "E201", 2, "--alpha 2: must be in [0, 1]"),
        (("--augment", "flip,blur"), "E201", 2, "'blur'"),
        (("--batch", "64"), "E508", 5, "40 rows to learn from, a step needs 64"),
        (("--data", "random"), "E504", 5, "on random inputs there is nothing to learn"),
        (("--match", "nowhere"), "E204", 2, "no inner value"),
        (("--device", "cuda"), "E601", 6, "torch finds no CUDA"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_error(
    more: tuple[str, ...], code: str, exit_code: int, told: str, cli: Cli, folder: Path
) -> None:
    ran = cli(*words(folder, "--epochs", "1", *more))
    assert (ran.error_code, ran.code) == (code, exit_code), ran.err
    assert told in ran.err
    assert not (folder / "run").exists()


def test_a_loss_that_is_not_finite_ends_the_run_and_leaves_no_file(cli: Cli, folder: Path) -> None:
    with np.load(folder / "train.npz") as data:
        x, labels = data["x"].copy(), data["labels"]
    x[8:, 0, 0, 0] = -np.inf
    np.savez(folder / "train.npz", x=x, labels=labels)
    ran = cli(*words(folder))
    assert (ran.error_code, ran.code) == ("E703", 7), ran.err
    assert "of epoch 1; no epoch was finished" in ran.err
    assert "hint: try --lr 0.017" in ran.err


def test_models_that_are_no_pair_leave_no_trace(cli: Cli, folder: Path, model: Path) -> None:
    before = contents(folder)
    ran = cli("distill", model, folder / "student.onnx", "--data", folder / "train.npz", "-o", folder / "run")
    assert (ran.error_code, ran.code) == ("E209", 2), ran.err
    assert contents(folder) == before


def test_a_run_that_does_not_exist_cannot_be_resumed(cli: Cli, folder: Path) -> None:
    ran = cli("distill", "--resume", folder / "nowhere")
    assert (ran.error_code, ran.code) == ("E208", 2)


def test_a_resumed_run_with_other_options_is_refused(cli: Cli, folder: Path) -> None:
    assert cli(*words(folder, "--epochs", "1")).code == 0
    ran = cli("distill", "--resume", folder / "run", "--force")
    assert (ran.code, ran.error_code) == (2, "E201")
    ran = cli("distill", "--resume", folder / "run", "--lr", "0.1")
    assert (ran.error_code, ran.code) == ("E208", 2)
    assert "another --lr: 0.05, got 0.1" in ran.err


def start(folder: Path, *, out: str) -> subprocess.Popen[str]:
    """A run in a process of its own, after its first epoch."""
    line = [str(word) for word in words(folder, "--epochs", "150", out=out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    running = subprocess.Popen(
        [sys.executable, "-m", "onnxprune", *line],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (folder / out / "metrics.csv").exists():
        assert running.poll() is None, running.communicate()[1]
        time.sleep(0.01)
    return running


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_stopped_and_a_killed_run_resume_to_what_an_unbroken_one_gives(cli: Cli, folder: Path) -> None:
    stopped = start(folder, out="stopped")
    stopped.send_signal(signal.SIGINT)
    killed = start(folder, out="killed")
    killed.kill()
    _, told = stopped.communicate(timeout=60)
    killed.communicate(timeout=60)
    assert stopped.returncode == 130, told
    assert f"onnxprune distill --resume {folder / 'stopped'}" in told
    assert json.loads((folder / "stopped" / "run.json").read_text())["status"] == "interrupted"
    for name in ("stopped", "killed"):
        ran = cli("distill", "--resume", folder / name, "-q")
        assert ran.code == 0, ran.err
    assert cli(*words(folder, "--epochs", "150", "-q", out="whole")).code == 0
    whole = (folder / "whole" / "student.onnx").read_bytes()
    assert (folder / "stopped" / "student.onnx").read_bytes() == whole
    assert (folder / "killed" / "student.onnx").read_bytes() == whole

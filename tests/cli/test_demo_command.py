"""`onnxprune demo`: works from any folder, leaves nothing behind, and says what it means."""

import json
import shlex
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from onnxprune.cli import demo_steps
from onnxprune.cli.data_options import DataSource
from tests.cli.conftest import Cli

FEW = 200


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few images, one trial, a moment of timing: the path, not the figures."""
    whole = demo_steps.source

    def few(part: demo_steps.Part) -> DataSource:
        return replace(whole(part), count=FEW)

    monkeypatch.setattr(demo_steps, "source", few)
    monkeypatch.setattr(demo_steps, "TRIED", (("macs=80%", ("act-mean-abs",)),))
    monkeypatch.setattr(demo_steps, "CALIBRATION", 50)
    monkeypatch.setattr(demo_steps, "SECONDS", 0.2)


@pytest.mark.usefixtures("quick")
def test_the_tour_tells_every_step_and_that_accuracy_is_not_restored(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ran = cli("demo")
    assert ran.code == 0, ran.err
    assert [line[:2] for line in ran.out.splitlines() if line[:2] in ("1.", "2.", "3.", "4.", "5.")] == [
        *("1.", "2.", "3.", "4.", "5.")
    ]
    assert ran.out.count("PASS") == 7
    for word in ("A/A", "--align 1", "top-1", "Accuracy is not restored yet"):
        assert word in ran.out
    assert max(map(len, ran.out.splitlines())) <= 140
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("quick")
def test_what_is_kept_is_what_was_measured(cli: Cli, tmp_path: Path) -> None:
    keep = tmp_path / "kept"
    keep.mkdir()
    (keep / "masks.json").write_text("an earlier demo's")
    ran = cli("demo", "--keep", keep, "--json", "-", "--force")
    document = json.loads(ran.out)
    assert sorted(path.name for path in keep.iterdir()) == sorted(demo_steps.FILES)
    assert document["after"]["macs"] <= 0.8 * document["before"]["macs"]
    assert document["accuracy"]["images"] == FEW
    assert cli("verify", demo_steps.MODEL, keep / "pruned.onnx", "--masks", keep / "masks.json").code == 0


def test_what_lies_there_already_is_not_replaced_without_force(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "masks.json").write_text("mine")
    ran = cli("demo", "--keep", tmp_path)
    assert (ran.error_code, ran.code, ran.out) == ("E203", 2, "")
    assert [path.name for path in tmp_path.iterdir()] == ["masks.json"]
    assert cli("demo", "--keep", tmp_path / "no" / "where").error_code == "E203"


@pytest.mark.slow
def test_the_commands_that_the_demo_prints_do_the_same(cli: Cli, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    printed = cli("demo", "--keep", kept).out
    names = dict(line.split("=", 1) for line in printed.splitlines() if line.startswith(("MODEL=", "DATA=")))
    told = printed.split("$ onnxprune prune ")[1].split("\n\n")[0].replace("\\\n", " ")
    for name, value in names.items():
        told = told.replace(f"${name}", value)
    words = shlex.split(told)
    words[words.index("-o") + 1] = str(tmp_path / "again.onnx")
    assert cli("prune", *words).code == 0
    assert (tmp_path / "again.onnx").read_bytes() == (kept / "pruned.onnx").read_bytes()

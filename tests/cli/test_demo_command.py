"""`onnxprune demo`: works from any folder, leaves nothing behind, and says what it means."""

import json
import shlex
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from onnxprune.cli import demo_steps
from onnxprune.compression import CompressOptions, RunFolder
from onnxprune.compression.config import KEYS
from tests.cli.conftest import Cli

FEW = 60


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few images, no repair, no training, a moment of timing: the path, not the figures."""
    whole = demo_steps.options

    def few() -> CompressOptions:
        asked = whole()
        return replace(
            asked,
            samples=FEW,
            prune=replace(asked.prune, criterion="group-l2"),
            search=replace(asked.search, agent="random", evaluations=4, calibration_rows=16),
            reconstruct=replace(asked.reconstruct, method="bias", rows=16),
            distill=replace(asked.distill, enabled=False),
            measure=replace(asked.measure, seconds=0.05),
        )

    monkeypatch.setattr(demo_steps, "options", few)
    monkeypatch.setattr(demo_steps, "SECONDS", 0.1)


@pytest.mark.usefixtures("quick")
def test_the_tour_tells_every_step_and_leaves_nothing(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ran = cli("demo")
    assert ran.code == 0, ran.err
    assert [line[:2] for line in ran.out.splitlines() if line[:1].isdigit()] == ["1.", "2.", "3.", "4."]
    for word in (
        "A/A",
        "--align 1",
        "top1 (test)",
        "target macs=50%: met",
        "reconstruct",
        "left out",
        "chosen by",
    ):
        assert word in ran.out
    assert max(map(len, ran.out.splitlines())) <= 140
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("quick")
def test_what_is_kept_is_what_was_measured(cli: Cli, tmp_path: Path) -> None:
    keep = tmp_path / "kept"
    ran = cli("demo", "--keep", keep, "--json", "-")
    document = json.loads(ran.out)
    assert (keep / "report.md").is_file()
    assert document["targets"][0]["share"] <= 0.5
    assert document["rows"]["test"] == FEW
    assert cli("verify", demo_steps.MODEL, keep / "pruned.onnx", "--masks", keep / "masks.json").code == 0
    assert cli("demo", "--keep", keep).error_code == "E203"


def test_what_lies_there_already_is_not_replaced(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "masks.json").write_text("mine")
    ran = cli("demo", "--keep", tmp_path, "--force")
    assert (ran.error_code, ran.code, ran.out) == ("E203", 2, "")
    assert [path.name for path in tmp_path.iterdir()] == ["masks.json"]


def test_without_torch_the_demo_goes_without_distillation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_steps.importlib.util, "find_spec", lambda name: None)
    chosen = demo_steps.options()
    assert not chosen.distill.enabled
    assert "--no-distill" in demo_steps.words(chosen)


def test_every_option_of_the_demo_is_one_of_compress() -> None:
    assert set(demo_steps.CHOSEN) <= set(KEYS)


def test_the_command_that_the_demo_prints_asks_for_the_same(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[CompressOptions] = []

    def stopped(options: CompressOptions, *_: object, **__: object) -> RunFolder:
        seen.append(options)
        raise KeyboardInterrupt

    monkeypatch.setattr("onnxprune.cli.compress_command.start", stopped)
    chosen = demo_steps.options()
    words = shlex.split(shlex.join(demo_steps.words(chosen)))
    cli("compress", demo_steps.MODEL, "-o", tmp_path / "run", "--data", demo_steps.SAMPLE, *words)
    assert seen == [chosen]

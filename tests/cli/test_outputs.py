"""Files are written whole or not at all, and never over somebody's work; printing keeps to its channel."""

import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from tests.cli.conftest import Cli, contents

ROOT = Path(__file__).parents[2]


def prune(model: Path, out: Path, *more: object) -> list[object]:
    return ["prune", model, "-o", out, "--target", "macs=60%", *more]


def test_force_replaces_and_without_it_nothing_is_touched(cli: Cli, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    assert cli(*prune(model, out)).code == 0
    first = out.read_bytes()
    assert cli(*prune(model, out, "--seed", "1", "--criterion", "random")).error_code == "E203"
    assert out.read_bytes() == first
    assert cli(*prune(model, out, "--seed", "1", "--criterion", "random", "--force")).code == 0
    assert out.read_bytes() != first


@pytest.mark.parametrize("more", [[], ["--force"]])
def test_the_input_is_never_the_output(more: list[str], cli: Cli, model: Path, tmp_path: Path) -> None:
    before = contents(tmp_path)
    (tmp_path / "link.onnx").symlink_to(model)
    for out in (model, tmp_path / "link.onnx"):
        ran = cli(*prune(model, out, *more))
        assert (ran.error_code, ran.code) == ("E203", 2)
        assert "the model itself" in ran.err
    (tmp_path / "link.onnx").unlink()
    assert contents(tmp_path) == before


def test_an_output_named_twice_is_refused(cli: Cli, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "both.json"
    before = contents(tmp_path)
    assert cli(*prune(model, out, "--save-masks", out)).error_code == "E203"
    assert contents(tmp_path) == before
    assert cli(*prune(model, tmp_path / "o.onnx", "--save-masks", out, "--json", out)).error_code == "E203"
    assert not (tmp_path / "o.onnx").exists()


def test_masks_and_document_do_not_replace_without_force(cli: Cli, model: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks.json"
    masks.write_text("{}")
    assert cli(*prune(model, tmp_path / "out.onnx", "--save-masks", masks)).error_code == "E203"
    assert masks.read_text() == "{}"
    assert not (tmp_path / "out.onnx").exists()


def test_the_same_call_writes_the_same_bytes(cli: Cli, model: Path, samples: Path, tmp_path: Path) -> None:
    more = ("--criterion", "wanda", "--data", samples)
    cli(*prune(model, tmp_path / "a.onnx", *more))
    cli(*prune(model, tmp_path / "b.onnx", *more))
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_provenance_is_written_and_can_be_left_out(cli: Cli, model: Path, tmp_path: Path) -> None:
    cli(*prune(model, tmp_path / "a.onnx"))
    cli(*prune(model, tmp_path / "b.onnx", "--no-provenance"))
    keys = [{p.key for p in onnx.load(tmp_path / name).metadata_props} for name in ("a.onnx", "b.onnx")]
    assert keys == [
        {"kind", "onnxprune.version", "onnxprune.parent_sha256", "onnxprune.masks_sha256"},
        {"kind"},
    ]


def test_quiet_tells_results_and_warnings_only(cli: Cli, model: Path, tmp_path: Path) -> None:
    assert cli(*prune(model, tmp_path / "a.onnx")).err
    ran = cli(*prune(model, tmp_path / "b.onnx", "-q"))
    assert "MACs" in ran.out
    assert ran.err == ""


def test_verbose_tells_what_each_group_kept(cli: Cli, model: Path, tmp_path: Path) -> None:
    ran = cli(*prune(model, tmp_path / "a.onnx", "-v"))
    assert "channels kept" in ran.err


@pytest.mark.parametrize("way", ["--no-color", "NO_COLOR"])
def test_no_colours_where_none_are_wanted(
    way: str, cli: Cli, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    monkeypatch.delenv("NO_COLOR", raising=False)
    words = ["doctor", model]
    assert "\x1b[" in cli(*words).out
    if way == "NO_COLOR":
        monkeypatch.setenv("NO_COLOR", "1")
    else:
        words.append(way)
    ran = cli(*words)
    assert "\x1b" not in ran.out + ran.err


def test_no_line_is_wider_than_140_columns(cli: Cli, model: Path, samples: Path, tmp_path: Path) -> None:
    commands: list[list[object]] = [
        ["doctor", model],
        ["inspect", model, "--nodes", "--groups"],
        prune(model, tmp_path / "out.onnx", "-v"),
        ["verify", model, tmp_path / "out.onnx"],
        ["compare", model, tmp_path / "out.onnx", "--data", samples, "--duration", "0.05"],
    ]
    for words in commands:
        ran = cli(*words)
        wide = [line for line in ran.out.splitlines() if len(line) > 140]
        assert wide == [], words


def test_lines_have_no_trailing_blanks(cli: Cli, model: Path) -> None:
    lines = cli("inspect", model, "--nodes", "--groups").out.splitlines()
    assert [line for line in lines if line != line.rstrip()] == []


def test_a_reader_that_goes_away_is_no_error_of_ours(model: Path) -> None:
    command = f"{sys.executable} -m onnxprune inspect --nodes --groups {model}; echo code $? >&2"
    done = subprocess.run(
        ["bash", "-c", f"({command}) | head -c 1"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    assert "error[" not in done.stderr


def test_a_stdout_that_knows_no_unicode_gets_question_marks(model: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-m", "onnxprune", "inspect", str(model)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "MACs" in done.stdout

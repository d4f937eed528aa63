"""`onnxprune study`: one file, one folder, a table; it stops and goes on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Cli

ROOT = Path(__file__).parents[2]
STUDY = """
agents = ["random", "uniform"]
models = ["chain.onnx"]
targets = ["macs=60%"]
data = "{data}"
seeds = 2
evaluations = 4
batch = 2
[channels]
align = "1"
[measure]
seconds = 0.02
"""
SIGNALLED = """
import os, signal, sys
import onnxprune.search.journal as journal
real, calls = journal.Journal.pend, []
def pend(*words):
    calls.append(1)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGINT)
    return real(*words)
journal.Journal.pend = pend
from onnxprune.cli.main import main
main()
"""


@pytest.fixture
def file(model: Path, samples: Path, tmp_path: Path) -> Path:
    path = tmp_path / "study.toml"
    path.write_text(STUDY.format(data=samples.name))
    return path


def test_a_study_leaves_a_table_and_files(cli: Cli, file: Path, tmp_path: Path) -> None:
    ran = cli("study", file, "-o", tmp_path / "run", "--json", "-", "-q")
    assert ran.code == 0, ran.err
    document = json.loads(ran.out)
    assert [row["agent"] for row in document["rows"]]
    assert len(document["records"]) == 4
    assert document["failed"] == {}
    assert cli("study", "--resume", tmp_path / "run", "--force").error_code == "E201"
    again = cli("study", "--resume", tmp_path / "run")
    assert again.code == 0
    for word in ("chain, the original", "random", "uniform", "macs=60%", "report.md"):
        assert word in again.out


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_saves_and_says_how_to_go_on(cli: Cli, file: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = [sys.executable, "-c", SIGNALLED, "study", str(file), "-o", str(run)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 130, done.stderr
    assert f"onnxprune study --resume {run}" in done.stderr
    assert cli("study", file, "--resume", run, "-q").code == 0


def test_a_bad_file_is_one_error(cli: Cli, file: Path, tmp_path: Path) -> None:
    file.write_text(file.read_text().replace("seeds = 2", "sedes = 2"))
    ran = cli("study", file, "-o", tmp_path / "run")
    assert ran.code == 2
    assert ran.error_code == "E201"
    assert "unknown key 'sedes' in study.toml line 6; did you mean 'seeds'?" in ran.err
    assert not (tmp_path / "run").exists()


def test_neither_file_nor_folder_is_told(cli: Cli, file: Path, tmp_path: Path) -> None:
    assert cli("study", file).error_code == "E201"
    assert cli("study", "-o", tmp_path / "run").error_code == "E201"
    assert cli("study", tmp_path / "none.toml", "-o", tmp_path / "run").error_code == "E201"


def test_a_folder_in_use_is_refused(cli: Cli, file: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("x")
    assert cli("study", file, "-o", tmp_path / "run").error_code == "E203"

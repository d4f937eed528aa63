"""What is told may find no reader; what runs goes on, and its exit code is its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
posix = pytest.mark.skipif(os.name == "nt", reason="pipes and terminals of POSIX")


@pytest.fixture
def words(model: Path, samples: Path, tmp_path: Path) -> list[str]:
    """A search of a second or two that tells several lines, in the folder `run`."""
    return [
        *(sys.executable, "-m", "onnxprune", "search", str(model), "-o", str(tmp_path / "run")),
        *("--data", str(samples), "--target", "macs=60%", "--align", "1", "--agent", "random"),
        *("--evaluations", "12", "--batch", "2", "-v"),
    ]


def status(tmp_path: Path) -> str:
    assert (tmp_path / "run" / "masks.json").exists()
    return str(json.loads((tmp_path / "run" / "run.json").read_text())["status"])


def test_a_reader_that_goes_away_ends_no_search(words: list[str], tmp_path: Path) -> None:
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as running:
        assert running.stdout is not None
        assert b"[model]" in running.stdout.readline()
        running.stdout.close()
        assert running.wait(120) == 0
    assert status(tmp_path) == "done"


@posix
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_streams_that_were_closed_before_end_no_search(closed: str, words: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", f'"$@" {closed}', "bash", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert ("target macs=60%: met" in done.stdout) == (">&-" not in closed.split())
    assert status(tmp_path) == "done"


@posix
def test_a_terminal_that_hangs_up_ends_no_search(words: list[str], tmp_path: Path) -> None:
    import pty

    ours, theirs = pty.openpty()
    with subprocess.Popen(words, cwd=ROOT, stdout=theirs, stderr=theirs, start_new_session=True) as running:
        os.close(theirs)
        assert os.read(ours, 1)
        os.close(ours)
        assert running.wait(120) == 0
    assert status(tmp_path) == "done"


def test_an_error_that_nobody_reads_keeps_its_exit_code(words: list[str], tmp_path: Path) -> None:
    lacking = [word for word in words if word not in ("--target", "macs=60%")]
    with subprocess.Popen(lacking, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        running.stderr.close()
        assert running.wait(120) == 2
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("more", [("--help",), ("doctor", "--json", "-"), ("doctor",)])
@pytest.mark.parametrize("buffered", ["", "1"])
def test_a_full_disk_is_no_reader_that_went_away(more: tuple[str, ...], buffered: str) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "onnxprune", *more],
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": buffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 6, done.stderr
    assert done.stderr.startswith("error[E605]: <stdout> cannot be written: No space left on device")
    assert "Traceback" not in done.stderr

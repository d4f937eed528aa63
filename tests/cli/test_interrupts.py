"""Ctrl-C and SIGTERM: an exit code of their own, and nothing half-done left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Cli, contents

ROOT = Path(__file__).parents[2]
ENDLESS = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore it in background jobs
import onnxprune.pipeline as pipeline
def forever(*_, **__):
    print("verifying", flush=True)
    time.sleep(60)
pipeline.verify = forever
from onnxprune.cli.main import main
main()
"""


def test_an_interrupt_ends_with_130_and_no_trace(
    cli: Cli, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("onnxprune.pipeline.verify", interrupted)
    before = contents(tmp_path)
    ran = cli("prune", model, "-o", tmp_path / "out.onnx", "--target", "macs=60%")
    assert ran.code == 130
    assert "interrupted" in ran.err
    assert contents(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["chain.onnx"]


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_in_the_middle_of_a_check_leaves_no_files(
    number: int, code: int, model: Path, tmp_path: Path
) -> None:
    words = ["prune", str(model), "-o", str(tmp_path / "out.onnx"), "--target", "macs=60%"]
    started = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert started.stdout is not None
    assert started.stdout.readline() == "verifying\n"
    time.sleep(0.1)
    started.send_signal(number)
    _, printed = started.communicate(timeout=30)
    assert started.returncode == code
    assert "Traceback" not in printed
    assert [path.name for path in tmp_path.iterdir()] == ["chain.onnx"]

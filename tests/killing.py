"""Processes that die in the middle of a run."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
KILLED = """
import os, signal, sys
from pathlib import Path
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
{patch}
{go_on}
"""


def killed(run: Path, patch: str, go_on: str) -> None:
    """Go on with a run in another process that is killed where the patch says so."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED.format(patch=patch, go_on=go_on), str(run)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == -9, done.stderr[-2000:]

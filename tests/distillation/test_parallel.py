"""Two real processes give what one gives with the same batches."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from onnxprune.distillation import distill
from onnxprune.distillation.parallel import ALONE, Crew, check_batch
from onnxprune.errors import UsageError
from tests.distillation.small_pair import QUICK, arrays, make_data, make_pair

ROOT = Path(__file__).parents[2]
FROZEN = replace(
    QUICK, epochs=2, augment=("flip", "crop", "mixup"), accumulate=2, batch=8, freeze_bn=True, clip_norm=1.0
)
OPTIONS = {"frozen": FROZEN, "trained": replace(FROZEN, freeze_bn=False, batch=16)}
PROCESS = """
import sys
from pathlib import Path
from onnxprune.distillation import Hooks, distill
from onnxprune.distillation.parallel import crew_of_environment
from onnxprune.onnx_file import load_graph
from tests.distillation.small_pair import make_data
from tests.distillation.test_parallel import OPTIONS
folder = Path(sys.argv[1])
pair = [load_graph(folder / f"{name}.onnx") for name in ("teacher", "student")]
with crew_of_environment("cpu") as crew:
    assert crew.size == 2
    result = distill(*pair, make_data(), OPTIONS[sys.argv[2]], run=folder / "two")
    print(crew.rank, result.history[-1].loss)
"""


def start(rank: int, folder: Path, norms: str) -> subprocess.Popen[str]:
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(20000 + os.getpid() % 20000)}
    ranks = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS, str(folder), norms],
        cwd=ROOT,
        env={**os.environ, **place, **ranks, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("norms", [pytest.param("frozen", marks=pytest.mark.slow), "trained"])
def test_two_processes_give_what_one_gives(tmp_path: Path, norms: str) -> None:
    teacher, student = make_pair(tmp_path)
    running = [start(rank, tmp_path, norms) for rank in (0, 1)]
    one = distill(teacher, student, make_data(), OPTIONS[norms], run=tmp_path / "one")
    for process in running:
        printed, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
        assert float(printed.split()[1]) == pytest.approx(one.history[-1].loss, rel=1e-4)
    states = [torch.load(tmp_path / name / "checkpoint.pt", weights_only=True) for name in ("one", "two")]
    alone, together = (state["module"] for state in states)
    before = arrays(student.path)
    assert (
        max(np.abs(value.numpy() - before[name]).max() for name, value in alone.items() if name in before)
        > 0.01
    )
    for name, value in alone.items():
        torch.testing.assert_close(together[name], value, atol=1e-4, rtol=1e-3)


def test_a_batch_must_be_shared_evenly() -> None:
    check_batch(Crew(0, 4), 128)
    with pytest.raises(UsageError, match="--batch 10 is not a multiple of the 4 processes") as caught:
        check_batch(Crew(0, 4), 10)
    assert caught.value.hint == "--batch 8"


def test_one_process_alone_decides_for_itself() -> None:
    assert ALONE.any_of(True, False) == (True, False)
    assert ALONE.mean(2.5) == ALONE.from_leader(2.5) == 2.5

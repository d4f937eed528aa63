"""A run goes on where it stopped, even after kill -9 at any moment, and ends as one that never stopped."""

import json
import os
from pathlib import Path

import onnx
import pytest

from onnxprune.compression import RunFolder, compress, resume, start
from onnxprune.compression.compress import BOXES
from onnxprune.compression.listener import Listener
from onnxprune.errors import UsageError
from onnxprune.runs.folder import locked
from tests.compression.conftest import continued, deaths, hashes, killed, options, undone, write_samples

posix = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
# Where the process dies: the box that it leaves undone, and what is patched to kill.
DEATHS = {
    "prune, in the proof": ("prune", "import onnxprune.pipeline as m; m.verify = die"),
    "prune, between its files": ("prune", "import onnxprune.compression.boxes as m; m.save_masks = die"),
    "reconstruct, in the proof": (
        "reconstruct",
        "import onnxprune.compression.boxes as m; m.verify = die",
    ),
    "reconstruct, before it is recorded": (
        "reconstruct",
        (
            "import onnxprune.compression.boxes as b, onnxprune.runs.folder as m\n"
            "real = m.RunFolder.set_box\n"
            "m.RunFolder.set_box = lambda s, n, **f: "
            "die() if n == 'reconstruct' and f['state'] == 'done' else real(s, n, **f)"
        ),
    ),
    "distill, in a step of the second epoch": (
        "distill",
        (
            "import torch\n"
            "real, calls = torch.optim.SGD.step, []\n"
            "def step(*a, **k):\n"
            "    calls.append(1)\n"
            "    return die() if len(calls) == 5 else real(*a, **k)\n"
            "torch.optim.SGD.step = step"
        ),
    ),
    "distill, before the student is written": (
        "distill",
        "import onnxprune.compression.training as m; m.write_changed = die",
    ),
    "choose": ("choose", "import onnxprune.compression.judging as m; m.verifications = die"),
    "measure": ("measure", "import onnxprune.compression.judging as m; m.model_document = die"),
}
# One of each box that writes.
OFTEN = {
    "prune, in the proof",
    "reconstruct, before it is recorded",
    "distill, in a step of the second epoch",
    "choose",
}


@posix
@pytest.mark.parametrize(("box", "patch"), deaths(DEATHS, OFTEN))
def test_a_run_that_was_killed_ends_as_one_that_was_not(
    box: str, patch: str, model: Path, samples: Path, tmp_path: Path, finished: RunFolder
) -> None:
    whole = hashes(finished.path)
    trained = box in ("choose", "measure")
    run = undone(finished, box) if trained else start(options(model, samples), tmp_path / "killed", [])
    killed(run.path, patch)
    record = json.loads((run.path / "run.json").read_text())
    assert record["boxes"][box]["state"] == "running"
    for path in run.path.glob("*.onnx"):
        onnx.checker.check_model(onnx.load(path))
    continued(run.path)
    assert hashes(run.path) == whole
    assert [p.name for p in run.path.iterdir() if p.name.startswith(".")] == []


def test_a_finished_box_is_not_done_again(finished: RunFolder) -> None:
    states: dict[str, str] = {}
    compress(resume(finished.path, {}), Listener(box=lambda name, state: states.update({name: state})))
    assert states == {box.name: "kept" for box in BOXES} | {"search": "skipped"}


def test_a_file_that_was_changed_is_made_again(finished: RunFolder) -> None:
    before = hashes(finished.path)
    (finished.path / "reconstructed.onnx").write_bytes(b"not what was written")
    states: dict[str, list[str]] = {}
    listener = Listener(box=lambda name, state: states.setdefault(name, []).append(state))
    compress(resume(finished.path, {}), listener)
    assert states["reconstruct"] == ["running", "done"]
    assert states["prune"] == states["distill"] == ["kept"]
    assert hashes(finished.path) == before


def test_other_samples_are_refused(finished: RunFolder, model: Path, samples: Path) -> None:
    write_samples(samples, model, seed=2)
    with pytest.raises(
        UsageError, match=r"run was made for data with sha256 \w{8}\.\.\., got \w{8}\.\.\."
    ) as error:
        compress(resume(finished.path, {}))
    assert error.value.code == "E208"


def test_another_model_is_refused(finished: RunFolder, model: Path) -> None:
    changed = onnx.load(model)
    changed.doc_string = "another"
    onnx.save(changed, model)
    with pytest.raises(UsageError, match="run was made for model with sha256"):
        compress(resume(finished.path, {}))


def test_another_option_is_refused_and_the_same_one_is_not(finished: RunFolder) -> None:
    resume(finished.path, {"distill.epochs": 3})
    with pytest.raises(UsageError, match=r"run was made for distill\.epochs 3, got 5"):
        resume(finished.path, {"distill.epochs": 5})


def test_a_folder_without_a_run_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no run"):
        resume(tmp_path, {})


@posix
def test_a_second_process_is_kept_out(finished: RunFolder) -> None:
    with locked(finished.path), pytest.raises(UsageError, match="another process works in"):
        compress(resume(finished.path, {}))
    compress(resume(finished.path, {}))


def test_a_damaged_record_is_told(finished: RunFolder) -> None:
    (finished.path / "run.json").write_text('{"format": 1, "bo')
    with pytest.raises(UsageError, match=r"run\.json cannot be read"):
        resume(finished.path, {})


def test_a_stop_in_the_training_is_saved_and_goes_on(
    model: Path, samples: Path, tmp_path: Path, finished: RunFolder
) -> None:
    run = start(options(model, samples), tmp_path / "stopped", [])
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) == 4

    with pytest.raises(KeyboardInterrupt):
        compress(run, Listener(stop=stop))
    assert run.record["status"] == "interrupted"
    assert (run.path / "distill" / "checkpoint.pt").exists()
    continued(run.path)
    assert hashes(run.path) == hashes(finished.path)


def test_a_checkpoint_of_another_student_is_not_gone_on_from(
    model: Path, samples: Path, tmp_path: Path, finished: RunFolder
) -> None:
    run = start(options(model, samples), tmp_path / "run", [])
    calls: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        compress(run, Listener(stop=lambda: bool(calls.append(1)) or len(calls) == 4))
    boxes = run.record["boxes"]
    boxes["distill"]["reads"]["reconstructed.onnx"] = "of another one"
    run.save()
    continued(run.path)
    assert hashes(run.path) == hashes(finished.path)

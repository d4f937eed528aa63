"""Who teaches a stage: the original, or what scores higher, and that by the search part alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxprune import distillation
from onnxprune.compression import Listener, RunFolder, compress, options_of, start, summary_of
from onnxprune.compression.compress import path_of, step
from onnxprune.compression.stages import Stage
from onnxprune.compression.teaching import teacher_of
from onnxprune.compression.training import learning_options
from onnxprune.compression.work import Work, at_stage, make_work
from onnxprune.runs.folder import read_json, write_json
from tests.compression.conftest import options, with_run
from tests.search.conftest import three_convolutions

STAGED = {"stages.count": 3, "stages.stage_epochs": 1, "distill.epochs": 1, "target": ("macs=50%",)}
LAST = Stage(3, 3)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three stages whose teacher may change."""
    asked = {**STAGED, "distill.teacher": "best"}
    return with_run(tmp_path_factory.mktemp("made"), three_convolutions(np.random.default_rng(0)), **asked)


@pytest.fixture
def last(finished: RunFolder) -> Work:
    return at_stage(make_work(options_of(finished), finished, Listener()), LAST)


def scored(run: RunFolder, original: float, *stages: float, lower_is_better: bool = False) -> None:
    """Let the original and the first stages have these figures on the search part, in place."""
    baseline = read_json(run.path / "baseline.json")
    baseline["search"][baseline["metric"]] = original
    write_json(run.path / "baseline.json", {**baseline, "lower_is_better": lower_is_better})
    for number, figure in enumerate(stages, 1):
        path = run.path / Stage(number, 3).folder / "choice.json"
        choice = read_json(path)
        for figures in choice["search"].values():
            figures[choice["metric"]] = 0.0
        choice["search"][choice["final"]][choice["metric"]] = figure
        write_json(path, choice)


@pytest.mark.parametrize(
    ("figures", "teacher"),
    [
        ((0.8, 0.9, 0.7), "stage 1"),
        ((0.8, 0.81, 0.9), "stage 2"),
        ((0.8, 0.9, 0.9), "stage 1"),
        ((0.8, 0.8, 0.8), "original"),
        ((0.8, 0.7, 0.79), "original"),
    ],
)
def test_the_teacher_changes_only_to_what_scores_higher(
    figures: tuple[float, ...], teacher: str, last: Work
) -> None:
    scored(last.run, *figures)
    found = teacher_of(last)
    assert found.name == teacher
    folders = {"original": last.graph.path.parent, "stage 1": last.run.path / "stages/1"}
    assert found.graph.path.parent == folders.get(teacher, last.run.path / "stages/2")


def test_a_stage_is_not_taught_by_later_ones(last: Work) -> None:
    scored(last.run, 0.8, 0.7, 0.9)
    assert teacher_of(at_stage(last, Stage(2, 3))).name == "original"
    assert teacher_of(at_stage(last, Stage(1, 3))).name == "original"


def test_where_less_is_more_the_lowest_teaches(last: Work) -> None:
    scored(last.run, 0.8, 0.9, 0.7, lower_is_better=True)
    assert teacher_of(last).name == "stage 2"


def test_the_original_teaches_unless_the_best_is_asked_for(last: Work) -> None:
    scored(last.run, 0.1, 0.9, 0.9)
    kept = replace(
        last, options=replace(last.options, distill=replace(last.options.distill, teacher="original"))
    )
    assert teacher_of(kept).name == "original"
    assert learning_options(last.options.distill, seed=0, rows=64).switch_teacher
    assert not learning_options(kept.options.distill, seed=0, rows=64).switch_teacher


def test_the_training_learns_from_that_teacher(finished: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    scored(finished, 0.1, 0.9, 0.2)
    taught: list[str] = []
    real = distillation.distill

    def learning(teacher: Any, *args: Any, **kwargs: Any) -> Any:
        taught.append(teacher.path.relative_to(finished.path).as_posix())
        return real(teacher, *args, **kwargs)

    monkeypatch.setattr("onnxprune.distillation.distill", learning)
    work = make_work(options_of(finished), finished, Listener())
    (again,) = ((box, at) for box, at in path_of(work) if at.named(box.name) == "distill")
    step(*again)
    assert taught == ["stages/1/final.onnx"]
    assert read_json(finished.path / "distill.json")["teacher"] == "stage 1"
    assert summary_of(finished)["stages"][-1]["teacher"] == "stage 1"


def test_no_box_before_the_figures_at_the_end_reads_the_test_part(
    model: Path, samples: Path, tmp_path: Path
) -> None:
    class Unread:
        def __getattr__(self, name: str) -> Any:
            if name == "count":
                return 24
            raise AssertionError(f"the test part was asked for {name}")

    asked = options(model, samples, **{**STAGED, "distill.teacher": "best"})
    run = start(asked, tmp_path / "run", [])
    work = make_work(asked, run, Listener())
    closed = replace(work, parts=replace(work.parts, test=Unread()))  # type: ignore[arg-type]
    done: list[str] = []

    def go_on() -> None:
        for box, staged in path_of(closed):
            step(box, staged)
            done.append(staged.named(box.name))

    with pytest.raises(AssertionError, match="test part"):
        go_on()
    assert done[-1] == "choose"
    compress(run)

"""Work in several processes, some of which die."""

import os
import time
from pathlib import Path

import pytest

from onnxprune.study import jobs
from onnxprune.study.working import DONE, FAILED, Outcome

GOOD = [f"good {number}" for number in range(5)]


def work(job: str) -> Outcome:
    """Each is told by a file of its name; what is bad kills its process, what is unlucky the first time."""
    kind, _, path = job.partition("@")
    if kind == "raises":
        raise ValueError("not for us")
    if kind == "bad" or (kind == "unlucky" and not Path(path).exists()):
        if path:
            Path(path).touch()
        os._exit(9)
    time.sleep(0.1)
    return Outcome(DONE)


def outcomes(monkeypatch: pytest.MonkeyPatch, *names: str) -> dict[str, Outcome]:
    monkeypatch.setattr(jobs, "work", work)
    found = list(jobs.side_by_side(names, 2))  # type: ignore[arg-type]
    assert len(found) == len(names)
    return dict(found)  # type: ignore[arg-type]


def test_what_always_kills_its_process_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    found = outcomes(monkeypatch, "bad", *GOOD)
    assert found.pop("bad") == Outcome(FAILED, "its process died 3 times", 1)
    assert found == dict.fromkeys(GOOD, Outcome(DONE))


def test_what_was_killed_once_is_done_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = f"unlucky@{tmp_path / 'once'}"
    assert set(outcomes(monkeypatch, *GOOD, name).values()) == {Outcome(DONE)}


def test_what_does_not_come_back_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    found = outcomes(monkeypatch, *GOOD[:2], "raises")
    assert found["raises"] == Outcome(FAILED, "it did not come back: not for us", 1)

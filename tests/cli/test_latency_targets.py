"""`prune --target latency=...`: measured, met or told to be missed, with the file in any case but E701."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from onnxprune.groups import Groups
from onnxprune.masks import Masks
from tests.cli.conftest import Cli
from tests.latency.conftest import by_macs, stand_in

Share = Callable[[Masks], float]
UNALIGNED = ("--align", "1")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """Times by MACs."""
    stand_in(monkeypatch, cache)


def always(share: float) -> Callable[[Groups], Share]:
    """The smallest takes a fifth; everything else the same."""

    def share_of(groups: Groups) -> Share:
        honest = by_macs(groups)
        return lambda masks: share if honest(masks) > 0.2 else 0.2

    return share_of


@pytest.mark.parametrize("targets", [["latency=60%"], ["latency=6ms"], ["macs=80%", "latency=60%"]])
def test_a_target_in_latency_is_met_and_told_as_measured(
    targets: list[str], cli: Cli, model: Path, tmp_path: Path, clock: None, cache: Path
) -> None:
    words = [word for target in targets for word in ("--target", target)]
    ran = cli("prune", model, "-o", tmp_path / "out.onnx", *words, *UNALIGNED, "--json")
    assert ran.code == 0, ran.err
    document = json.loads(ran.out)
    assert document["latency"]["met"]
    assert 0.4 < document["latency"]["ratio"] <= 0.6
    assert document["latency"]["provider"] == "CPUExecutionProvider"
    assert document["verification"]["ok"]
    assert (tmp_path / "out.onnx").exists()
    assert len(list(cache.glob("latency-*.json"))) == 1


def test_the_table_of_results_has_the_latency_and_who_ran_it(
    cli: Cli, model: Path, tmp_path: Path, clock: None
) -> None:
    ran = cli("prune", model, "-o", tmp_path / "out.onnx", "--target", "latency=60%", *UNALIGNED)
    assert "latency met: " in ran.out
    assert "by the cpu clock on CPUExecutionProvider (A/A control 1.00 to 1.00)" in ran.out


def test_a_missed_target_is_told_with_the_nearest_written(
    cli: Cli, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    stand_in(monkeypatch, cache, always(0.75))
    out = tmp_path / "out.onnx"
    ran = cli("prune", model, "-o", out, "--target", "latency=60%", *UNALIGNED, "--json", tmp_path / "a.json")
    assert (ran.code, ran.error_code) == (7, "E702")
    assert "latency=60% was missed: measured 7.5 ms, 75.0 % of the original's 10 ms" in ran.err
    assert out.exists()
    document = json.loads((tmp_path / "a.json").read_text())
    assert not document["latency"]["met"]
    assert document["latency"]["excess"] == pytest.approx(1.25)


def test_an_impossible_target_is_told_with_the_least_latency(
    cli: Cli, model: Path, tmp_path: Path, clock: None
) -> None:
    ran = cli("prune", model, "-o", tmp_path / "out.onnx", "--target", "latency=1%", *UNALIGNED)
    assert (ran.code, ran.error_code) == (7, "E701")
    assert "latency=1% is impossible: the smallest reachable is" in ran.err
    assert "ms of 10 ms)" in ran.err
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize(("target", "code"), [("latency=90%", 0), ("latency=20%", 7)])
def test_masks_that_are_given_are_measured(
    target: str, code: int, cli: Cli, model: Path, tmp_path: Path, clock: None
) -> None:
    masks, out = tmp_path / "masks.json", tmp_path / "again.onnx"
    words = ("--target", "macs=60%", *UNALIGNED, "--save-masks", masks)
    assert cli("prune", model, "-o", tmp_path / "out.onnx", *words).code == 0
    ran = cli("prune", model, "-o", out, "--masks", masks, "--target", target, *UNALIGNED)
    assert ran.code == code, ran.err
    assert ran.error_code == ("E702" if code else "")
    assert out.exists() == (not code)


def test_times_are_kept_where_it_is_asked_for(
    cli: Cli, model: Path, tmp_path: Path, clock: None, cache: Path
) -> None:
    own = tmp_path / "own"
    words = ("--target", "latency=60%", *UNALIGNED, "--latency-cache", own)
    assert cli("prune", model, "-o", tmp_path / "out.onnx", *words).code == 0
    assert list(own.glob("latency-*.json"))
    assert not cache.exists()

"""A compression under a bound on the latency: the pruned model is measured, and a miss is told at the end."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from onnxprune.compression import compress, start, summary_of
from onnxprune.errors import TargetError, UsageError
from onnxprune.groups import Groups, find_groups
from onnxprune.latency.run_file import TABLE
from onnxprune.masks import Masks, load_masks, masks_hash, save_masks
from onnxprune.onnx_file import load_graph
from onnxprune.runs.folder import RunFolder, read_json
from tests.compression.conftest import continued, hashes, options, with_run
from tests.compression.test_search_box import QUICK
from tests.latency.conftest import by_macs, stand_in
from tests.search.conftest import three_convolutions

UNTRAINED = {"distill.enabled": False, "reconstruct.method": "bias"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a model that has channels to choose from."""
    return with_run(
        tmp_path_factory.mktemp("made"), three_convolutions(np.random.default_rng(0)), **UNTRAINED
    )


@pytest.fixture
def begin(model: Path, samples: Path, tmp_path: Path) -> Callable[..., RunFolder]:
    def begun(**others: object) -> RunFolder:
        asked = options(model, samples, **{"target": ("latency=60%",), **UNTRAINED, **others})
        return start(asked, tmp_path / "run", ["words"])

    return begun


@pytest.mark.parametrize("how", [{}, QUICK], ids=["chosen", "searched"])
def test_the_pruned_model_was_measured_to_meet_the_target(
    how: dict[str, object],
    begin: Callable[..., RunFolder],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    stand_in(monkeypatch, tmp_path / "cache")
    run = begin(**how)
    compress(run)
    (verdict,) = summary_of(run)["targets"]
    assert verdict["met"]
    assert 0.3 < verdict["share"] <= 0.6
    assert f"- Target `latency=60%`: met, {verdict['measured']}." in (run.path / "report.md").read_text()
    assert read_json(run.path / "prune.json")["latency"]["ratio"] == verdict["share"]


def test_a_missed_target_is_told_when_everything_is_written(
    begin: Callable[..., RunFolder], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def share_of(_groups: Groups) -> Callable[[Masks], float]:
        return lambda masks: 0.8 if sum(int(bits.sum()) for bits in masks.values()) > 6 else 0.2

    stand_in(monkeypatch, tmp_path / "cache", share_of)
    run = begin()
    with pytest.raises(TargetError, match=r"latency=60% was missed: 8 ms, 80\.0 %") as caught:
        compress(run)
    assert caught.value.code == "E702"
    assert run.record["status"] == "done"
    assert (run.path / "final.onnx").exists()
    assert "**missed**" in (run.path / "report.md").read_text()


def test_a_run_goes_on_by_its_own_table(
    begin: Callable[..., RunFolder], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand_in(monkeypatch, tmp_path / "cache")
    run = begin()
    compress(run)
    before = hashes(run.path, ("masks.json", "pruned.onnx"))
    for name in ("masks.json", "pruned.onnx", *(p.name for p in (tmp_path / "cache").iterdir())):
        (run.path / name).unlink(missing_ok=True)
        (tmp_path / "cache" / name).unlink(missing_ok=True)
    assert hashes(continued(run.path).path, ("masks.json", "pruned.onnx")) == before
    assert not list((tmp_path / "cache").iterdir())


def test_a_run_without_its_table_is_refused(
    begin: Callable[..., RunFolder], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand_in(monkeypatch, tmp_path / "cache")
    run = begin()
    (run.path / TABLE).unlink()
    with pytest.raises(UsageError) as caught:
        compress(run)
    assert caught.value.code == "E208"


def test_masks_that_are_given_are_measured_without_a_table(
    model: Path, begin: Callable[..., RunFolder], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand_in(monkeypatch, tmp_path / "cache")
    groups = find_groups(load_graph(model))
    half = {group.name: np.arange(group.channels) % 2 == 0 for group in groups.prunable}
    save_masks(tmp_path / "given.json", half, groups)
    run = begin(masks=str(tmp_path / "given.json"))
    compress(run)
    (verdict,) = summary_of(run)["targets"]
    assert verdict["share"] == by_macs(groups)(half)
    assert masks_hash(load_masks(run.path / "masks.json", groups)) == masks_hash(half)
    assert not (run.path / TABLE).exists()
    assert not (tmp_path / "cache").exists()

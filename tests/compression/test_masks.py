"""Masks that are given: they are applied as they are, and nothing is searched."""

import json
from pathlib import Path

import pytest

from onnxprune.compression import RunFolder, compress, start
from onnxprune.errors import OnnxPruneError
from onnxprune.groups import find_groups
from onnxprune.masks import Masks, load_masks, masks_hash, save_masks
from onnxprune.onnx_file import load_graph
from tests.compression.conftest import options


@pytest.fixture
def masks(model: Path, finished: RunFolder) -> Masks:
    """Others than those that a criterion chooses, at the same cost."""
    chosen = load_masks(finished.path / "masks.json", find_groups(load_graph(model)))
    return {name: bits[::-1].copy() for name, bits in chosen.items()}


def test_the_masks_that_are_given_are_applied(
    model: Path, samples: Path, masks: Masks, tmp_path: Path
) -> None:
    groups = find_groups(load_graph(model))
    save_masks(tmp_path / "given.json", masks, groups)
    asked = options(model, samples, masks=str(tmp_path / "given.json"), search__agent="auto")
    run = start(asked, tmp_path / "run", [])
    compress(run)
    assert masks_hash(load_masks(run.path / "masks.json", groups)) == masks_hash(masks)
    assert run.box("search")["state"] == "skipped"
    found = json.loads((run.path / "prune.json").read_text())
    assert (found["criterion"], found["allocation"]) == (None, None)


def refused(asked: object, folder: Path) -> OnnxPruneError:
    with pytest.raises(OnnxPruneError) as caught:
        start(asked, folder, [])  # type: ignore[arg-type]
    assert not folder.exists()
    return caught.value


def test_masks_beside_another_who_chooses_are_refused(
    model: Path, samples: Path, masks: Masks, tmp_path: Path
) -> None:
    given = tmp_path / "given.json"
    save_masks(given, masks, find_groups(load_graph(model)))
    for other in ({"search__agent": "random"}, {"prune__allocation": "uniform"}):
        error = refused(options(model, samples, masks=str(given), **other), tmp_path / "run")
        assert error.code == "E201"
        assert "nothing to choose" in error.message


def test_masks_over_the_target_or_of_no_file_are_refused_before_any_work(
    model: Path, samples: Path, masks: Masks, tmp_path: Path
) -> None:
    given = tmp_path / "given.json"
    save_masks(given, masks, find_groups(load_graph(model)))
    over = options(model, samples, masks=str(given), target=("macs=20%",))
    assert refused(over, tmp_path / "run").code == "E702"
    missing = options(model, samples, masks=str(tmp_path / "none.json"))
    assert refused(missing, tmp_path / "run").code == "E206"

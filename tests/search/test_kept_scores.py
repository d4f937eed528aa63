"""Scores that are kept are those that would be computed, of this model, these samples and labels alone."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from onnxprune.criteria import score
from onnxprune.data import open_data
from onnxprune.groups import find_groups
from onnxprune.onnx_file import load_graph
from onnxprune.search.kept_scores import Scorer


@pytest.fixture
def scorer(model: Path, samples: Path, tmp_path: Path) -> Scorer:
    groups = find_groups(load_graph(model))
    told: list[str] = []
    opened = open_data(str(samples), inputs=groups.graph.inputs)
    return Scorer(groups, opened, 8, 0, tmp_path / "kept", told.append)


def told(scorer: Scorer) -> list[str]:
    """Of what the scorer has told, by asking it to tell."""
    found: list[str] = scorer.note.__self__  # type: ignore[attr-defined]
    return found


def same(one: Mapping[str, NDArray[Any]], other: Mapping[str, NDArray[Any]]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_a_second_scorer_takes_what_the_first_has_kept(scorer: Scorer) -> None:
    expected = score(scorer.groups, "wanda", feeds=scorer.samples.batches(8))
    for _ in range(2):
        assert same(replace(scorer).scores("wanda"), expected)
    assert told(scorer) == ["wanda"]


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive at all"])
def test_a_damaged_file_is_computed_anew(content: bytes, scorer: Scorer) -> None:
    expected = scorer.scores("wanda")
    (path,) = scorer.folder.iterdir()  # type: ignore[union-attr]
    path.write_bytes(content)
    assert same(scorer.scores("wanda"), expected)
    assert told(scorer) == ["wanda", "wanda"]


def test_without_a_folder_nothing_is_kept(scorer: Scorer, tmp_path: Path) -> None:
    own = replace(scorer, folder=None)
    assert same(own.scores("wanda"), own.scores("wanda"))
    assert told(scorer) == ["wanda", "wanda"]
    assert not (tmp_path / "kept").exists()


def test_other_samples_labels_or_seeds_have_scores_of_their_own(
    scorer: Scorer, samples: Path, tmp_path: Path
) -> None:
    arrays = dict(np.load(samples))
    names = {scorer.name("taylor"), scorer.name("wanda"), replace(scorer, seed=1).name("taylor")}
    for key, array in arrays.items():
        changed = arrays | {key: np.roll(array, 1, axis=0)}
        np.savez(tmp_path / f"{key}.npz", **changed)
        other = open_data(str(tmp_path / f"{key}.npz"), inputs=scorer.groups.graph.inputs)
        names.add(replace(scorer, samples=other).name("taylor"))
    assert len(arrays) == 2
    assert len(names) == 3 + len(arrays)
    assert replace(scorer, batch=5).name("taylor") == scorer.name("taylor")  # however they are divided

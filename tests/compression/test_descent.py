"""Masks of a pruned model as masks of the original: two prunings one after the other are one."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from onnxprune.compression.descent import COUPLED_OTHERWISE, NONE, Descent, parents_of, trace
from onnxprune.groups import Groups, find_groups
from onnxprune.groups.restrict import restrict
from onnxprune.masks import Masks
from onnxprune.onnx_file import Graph, load_graph
from onnxprune.pruning import prune
from onnxprune.verification import VerifyOptions, verify
from tests.exported import SMALL, export_case
from tests.law.build import save
from tests.law.check import Shapes, Trial, input_shapes
from tests.law.random_models import random_models
from tests.law.test_random import SIZES
from tests.onnx_file.small_models import chain
from tests.search.conftest import three_convolutions

FAST = {"residual_option_a", "grouped_shuffle", "densenet", "encoder_gated", "vision_transformer", "lstm"}
BY_FAST = [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in SMALL]
Rng = np.random.Generator


def read(path: Path, shapes: Shapes | None = None) -> Groups:
    return find_groups(load_graph(path, shapes=shapes))


def cut(
    groups: Groups, masks: Mapping[str, NDArray[np.bool_]], out: Path, shapes: Shapes | None = None
) -> Groups:
    """The groups of the model that the masks leave."""
    onnx.save(prune(groups, masks), out)
    return read(out, shapes)


def random_masks(groups: Groups, rng: Rng, *, least: int = 1) -> Masks:
    """Each group keeps another share, and at least so many channels."""
    masks = {}
    for group in groups.prunable:
        bits = rng.random(group.channels) < rng.uniform(0.2, 0.9)
        bits[rng.permutation(group.channels)[:least]] = True
        masks[group.name] = bits
    return masks


def weights_of(model: onnx.ModelProto, graph: Graph) -> dict[str, bytes]:
    """Everything about the constants that the original has, by name."""
    return {
        tensor.name: tensor.SerializeToString()
        for tensor in model.graph.initializer
        if tensor.name in graph.initializers
    }


def two_steps_are_one(path: Path, rng: Rng, *, least: int = 1, shapes: Shapes | None = None) -> Descent:
    """Prune twice by random masks, and once by what they are together: the same, and proven so."""
    groups, out = read(path, shapes), path.with_name("second.onnx")
    before = random_masks(groups, rng, least=least)
    descent = trace(groups, before, cut(groups, before, path.with_name("first.onnx"), shapes))
    own = random_masks(descent.groups, rng)
    total = descent.total(own)
    assert all(np.array_equal(descent.own(total)[name], bits) for name, bits in own.items())
    twice, once = prune(descent.groups, own), prune(groups, total)
    assert [node.op_type for node in twice.graph.node] == [node.op_type for node in once.graph.node]
    assert weights_of(twice, groups.graph) == weights_of(once, groups.graph)
    onnx.save(twice, out)
    proof = verify(groups.graph, out, masks=total, groups=groups, options=VerifyOptions(prune=prune))
    assert proof.ok, proof.failed
    return descent


@pytest.mark.parametrize("name", BY_FAST)
def test_two_prunings_of_a_network_are_one(name: str, exported_folder: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(export_case(name, "torchscript_bn", exported_folder), tmp_path))
    for seed in range(2):
        descent = two_steps_are_one(path, np.random.default_rng(seed), least=2)
        assert set(descent.origins.values()) == {group.name for group in read(path).prunable}


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(random_models(), st.integers(0, 2**32 - 1))
def test_two_prunings_of_a_random_model_are_one(made: onnx.ModelProto, seed: int) -> None:
    with TemporaryDirectory() as folder:
        shapes = input_shapes(made, Trial(sizes=SIZES), 0)
        two_steps_are_one(save(made, Path(folder)), np.random.default_rng(seed), shapes=shapes)


def test_many_prunings_are_one(tmp_path: Path) -> None:
    groups = read(save(three_convolutions(np.random.default_rng(0)), tmp_path))
    rng = np.random.default_rng(1)
    total: Masks = {}
    left = groups
    for step in range(4):
        descent = trace(groups, total, left)
        own = {g.name: np.arange(g.channels) != rng.integers(g.channels) for g in descent.groups.prunable}
        total = descent.total(own)
        left = cut(descent.groups, own, tmp_path / f"{step}.onnx")
    assert left.graph.model.SerializeToString() == prune(groups, total).SerializeToString()
    assert [int(bits.sum()) for bits in total.values()] == [8, 12, 8]


def test_a_channel_is_traced_to_the_one_that_it_was(tmp_path: Path) -> None:
    groups = read(save(chain(np.random.default_rng(0)), tmp_path))
    first, second = (group.name for group in groups.prunable)
    kept = np.isin(np.arange(8), (1, 2, 4, 7))
    descent = trace(groups, {first: kept}, cut(groups, {first: kept}, tmp_path / "cut.onnx"))
    assert descent.places[first].tolist() == [1, 2, 4, 7]
    assert descent.places[second].tolist() == list(range(6))
    total = descent.total({first: np.array([True, False, False, True])})
    assert np.flatnonzero(total[first]).tolist() == [1, 7]
    assert total[second].all()


@pytest.mark.parametrize(
    ("pairs", "found"),
    [
        ([(0, 0), (0, 0), (1, 1), (2, 2)], [0, 1, 2]),
        ([(0, 2), (1, 1), (2, 0), (NONE, NONE)], [2, 1, 0]),
        ([(0, 0), (1, 0), (1, 1), (2, 2)], [NONE, NONE, 2]),
        ([(0, 0), (0, NONE), (1, 1), (2, 2)], [NONE, 1, 2]),
        ([(0, 0), (NONE, 0), (1, 1), (2, 2)], [NONE, 1, 2]),
        ([(0, 0), (1, 1)], [0, 1, NONE]),
    ],
)
def test_a_channel_has_a_parent_where_all_sites_of_both_say_so(
    pairs: list[tuple[int, int]], found: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxprune.compression.descent.sites", lambda *_: [np.array(pairs).T])
    three: Any = SimpleNamespace(starts=np.array([0, 3]))
    assert parents_of(three, three, np.ones(3, bool)).tolist() == found


def test_names_may_change_where_a_group_has_one_channel_left(exported_folder: Path, tmp_path: Path) -> None:
    """A group of the pruned model is not the original's of that name, and is not taken for it."""
    groups = read(export_case("lstm_stacked", "torchscript_bn", exported_folder))
    first, second = groups.prunable
    masks = {first.name: np.arange(first.channels) == 0, second.name: np.arange(second.channels) % 2 == 0}
    descent = trace(groups, masks, cut(groups, masks, tmp_path / "cut.onnx"))
    assert list(descent.origins.values()) == [second.name]
    assert [places.tolist() for places in descent.places.values()] == [list(range(0, second.channels, 2))]


def test_what_is_coupled_otherwise_after_pruning_stays(exported_folder: Path, tmp_path: Path) -> None:
    """Four heads of one channel look like four channels; in the original they are one."""
    groups = read(export_case("encoder_separate", "dynamo", exported_folder))
    masks = {group.name: np.arange(group.channels) == 0 for group in groups.prunable}
    pruned = cut(groups, masks, tmp_path / "cut.onnx")
    assert pruned.prunable
    descent = trace(groups, masks, pruned)
    assert {descent.groups[group.name].frozen for group in pruned.prunable} == {COUPLED_OTHERWISE}
    assert not descent.places


def test_what_is_frozen_in_the_original_stays(tmp_path: Path) -> None:
    whole = read(save(chain(np.random.default_rng(0)), tmp_path))
    first, second = (group.name for group in whole.prunable)
    groups = restrict(whole, only=["conv_w"])
    masks = {first: np.arange(8) < 4}
    descent = trace(groups, masks, cut(groups, masks, tmp_path / "cut.onnx"))
    assert set(descent.places) == {first}
    assert second not in descent.total({first: np.arange(4) < 2})

"""Pieces of a model: together they are the model, under any masks."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from onnxprune.groups import Groups, find_groups
from onnxprune.latency.extract import extract
from onnxprune.latency.grids import grid_of
from onnxprune.latency.segments import find_segments
from onnxprune.masks import Masks, all_true
from onnxprune.measurement import SessionSettings, make_session
from onnxprune.onnx_file import load_graph
from onnxprune.pruning import prune
from onnxprune.target import Alignment, Constraints
from onnxprune.verification.feeds import random_feeds
from tests.exported import export_case
from tests.latency.conftest import leading

PLAIN = SessionSettings("cpu")
# Networks of which every node lies behind a contraction, so that the pieces are the whole model.
WHOLE = ("densenet", "inverted_residual", "grouped_shuffle", "unet", "spatial_flatten", "encoder_split")
EVERY = (*WHOLE, "resnet20", "vision_transformer", "language_model", "conv1d", "conv3d")


def groups_of(name: str, folder: Path, exporter: str = "torchscript") -> Groups:
    return find_groups(load_graph(export_case(name, exporter, folder)))


def random_masks(groups: Groups, seed: int) -> Masks:
    """Each group keeps about two thirds, the first channels."""
    rng = np.random.default_rng(seed)
    counts = [max(1, round(g.channels * rng.uniform(0.4, 0.9))) for g in groups.prunable]
    return leading(groups, *counts)


@pytest.mark.parametrize("name", EVERY)
def test_every_contraction_begins_one_segment_and_no_node_is_in_two(name: str, exported_folder: Path) -> None:
    groups = groups_of(name, exported_folder)
    segments = find_segments(groups)
    assert {segment.name for segment in segments} == {term.node for term in groups.findings.macs}
    nodes = [index for segment in segments for index in segment.nodes]
    assert len(nodes) == len(set(nodes))


@pytest.mark.parametrize("pruned", [False, True], ids=["whole", "pruned"])
@pytest.mark.parametrize("name", WHOLE)
def test_pieces_one_after_the_other_give_what_the_model_gives(
    name: str, pruned: bool, exported_folder: Path
) -> None:
    groups = groups_of(name, exported_folder)
    masks = random_masks(groups, 1) if pruned else all_true(groups)
    feeds = random_feeds(groups.graph, groups.graph.assumed, np.random.default_rng(2))
    expected = make_session(prune(groups, masks).SerializeToString(), PLAIN).run(feeds)
    values = dict(feeds)
    for segment in find_segments(groups):
        piece = extract(segment, masks)
        for read, drawn in piece.feeds.items():
            assert values[read].shape == drawn.shape, f"{segment.name} reads {read}"
        values |= make_session(piece.content, PLAIN).run({read: values[read] for read in piece.feeds})
    for output, value in expected.items():
        np.testing.assert_allclose(values[output], value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("exporter", ["torchscript", "dynamo"])
@pytest.mark.parametrize("name", EVERY)
def test_every_piece_runs_at_every_point_of_its_grid(name: str, exporter: str, exported_folder: Path) -> None:
    groups = groups_of(name, exported_folder, exporter)
    seen = set()
    for segment in find_segments(groups):
        for kept in list(grid_of(segment, Constraints(Alignment(4, 16))).kept())[::3]:
            masks = {n: np.arange(groups[n].channels) < count for n, count in kept.items()}
            piece = extract(segment, masks)
            if piece.signature not in seen:
                make_session(piece.content, PLAIN).run(piece.feeds)
            seen.add(piece.signature)


def test_pieces_that_differ_in_names_and_weights_alone_have_one_signature(exported_folder: Path) -> None:
    groups = groups_of("resnet20", exported_folder)
    pieces = [extract(segment, {}) for segment in find_segments(groups)]
    assert len({piece.name for piece in pieces}) == 20
    # The first and the last, three widths with and without a residual sum, and those where the width doubles.
    assert len({piece.signature for piece in pieces}) == 13


def test_another_extent_is_another_signature(groups: Groups) -> None:
    segment = find_segments(groups)[1]
    signatures = {extract(segment, leading(groups, *n, 12)).signature for n in [(12, 16), (8, 16), (12, 8)]}
    assert len(signatures) == 3


def test_which_channels_stay_does_not_matter(groups: Groups) -> None:
    segment, rng = find_segments(groups)[1], np.random.default_rng(0)
    masks = {name: rng.permutation(bits) for name, bits in leading(groups, 8, 8, 6).items()}
    assert extract(segment, masks).signature == extract(segment, leading(groups, 8, 8, 6)).signature


def test_a_piece_holds_the_activation_behind_its_contraction(groups: Groups) -> None:
    segments = find_segments(groups)
    kinds = [[node.op_type for node in segment.members] for segment in segments]
    assert kinds == [
        ["Conv", "Relu"],
        ["Conv", "Relu"],
        ["Conv", "Relu", "GlobalAveragePool", "Flatten"],
        ["Gemm"],
    ]
    graph = onnx.load_from_string(extract(segments[0], leading(groups, 8, 16, 12)).content).graph
    assert [node.op_type for node in graph.node] == ["Conv", "Relu"]

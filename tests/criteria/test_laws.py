"""What holds for every criterion on real networks: order of channels, coverage, scale."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from onnxprune.criteria import CRITERIA, Feed, score
from onnxprune.groups import Groups, find_groups
from onnxprune.onnx_file import load_graph
from tests.exported import example_input, export_case

CASES = (
    ("residual_option_a", "torchscript_bn"),
    ("inverted_residual", "dynamo_bn"),
    ("densenet", "torchscript"),
    ("grouped_shuffle", "torchscript"),
    ("spatial_flatten", "dynamo"),
    ("encoder_split", "torchscript"),
    ("squeeze_excite", "torchscript_bn"),
)
SCORED = [name for name in CRITERIA if name not in ("random", "bn-scale", "hrank", "apoz")]


def feed_of(name: str, groups: Groups) -> Feed:
    return {groups.graph.inputs[0].name: example_input(name, batch=4).numpy()}


def permuted(groups: Groups, folder: Path) -> tuple[Groups, dict[str, np.ndarray]]:
    """The same function with the channels of every prunable group in another order, and that order."""
    rng = np.random.default_rng(1)
    orders = {group.name: rng.permutation(group.channels) for group in groups.prunable}
    arrays = {name: np.array(i.array()) for name, i in groups.graph.initializers.items()}
    for group in groups.prunable:
        for member in group.members:
            index = np.arange(arrays[member.tensor].shape[member.axis])
            index[member.positions.reshape(-1)] = member.positions[orders[group.name]].reshape(-1)
            arrays[member.tensor] = arrays[member.tensor].take(index, axis=member.axis)
    model = onnx.ModelProto()
    model.CopyFrom(groups.graph.model)
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(arrays[tensor.name], tensor.name))
    path = folder / "permuted.onnx"
    onnx.save(model, path)
    return find_groups(load_graph(path)), orders


@pytest.mark.parametrize("criterion", SCORED)
@pytest.mark.parametrize(("name", "exporter"), CASES)
def test_scores_follow_their_channels(
    name: str, exporter: str, criterion: str, exported_folder: Path, tmp_path: Path
) -> None:
    groups = find_groups(load_graph(export_case(name, exporter, exported_folder)))
    other, orders = permuted(groups, tmp_path)
    feed = feed_of(name, groups)
    before, after = (score(g, criterion, feeds=[feed]) for g in (groups, other))
    assert before.keys() == after.keys() != set()
    for group, values in before.items():
        np.testing.assert_allclose(after[group], values[orders[group]], rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "exporter", "criterion"),
    [
        (*case, criterion)
        for case in CASES
        for criterion in CRITERIA
        if criterion != "bn-scale" and (case[0], criterion) != ("encoder_split", "apoz")  # has no ReLU
    ],
)
def test_every_prunable_group_gets_finite_scores(
    name: str, exporter: str, criterion: str, exported_folder: Path
) -> None:
    groups = find_groups(load_graph(export_case(name, exporter, exported_folder)))
    scores = score(groups, criterion, feeds=[feed_of(name, groups)])
    assert scores.keys() == {group.name for group in groups.prunable}
    for group in groups.prunable:
        assert scores[group.name].shape == (group.channels,)
        assert scores[group.name].dtype == np.float64
        assert np.isfinite(scores[group.name]).all()
        assert (scores[group.name] >= 0).all()

"""The two levels of gnn-rl's graph: against explicit graphs, dense matrices and the pruned model."""

from math import sqrt
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("torch_geometric")
from torch_geometric.nn import GCNConv

from onnxprune.agents.gnn_rl import make
from onnxprune.agents.gnn_rl.encoder import convolve
from onnxprune.agents.gnn_rl.features import MeasuredFeatures
from onnxprune.agents.gnn_rl.paths import EMBEDDING, HIDDEN, ROLES, Paths, pooled
from onnxprune.agents.gnn_rl.wiring import Extents, Wiring, wiring_of
from onnxprune.cost import CostModel
from onnxprune.groups import Groups, find_groups
from onnxprune.masks import Masks
from onnxprune.observation import observe
from onnxprune.observation.families import FAMILIES
from onnxprune.onnx_file import load_graph
from onnxprune.pruning import prune
from tests.agents.conftest import World, problem_of, search
from tests.exported import export_case

VARIANTS = ("fixed", "paper")
GENERATOR = torch.Generator()


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def explicit(layer: GCNConv, roles: Tensor, count: int, *, filters: bool) -> Tensor:
    """The mean of the vertices of a graph with so many paths, each built."""
    source, channel, own, sink = roles
    paths = [channel, own] if filters else [channel]
    edges, features = [], [source]
    sink_number = 1 + count * len(paths)
    for _ in range(count):
        before = 0
        for vertex in paths:
            edges.append((before, len(features)))
            before = len(features)
            features.append(vertex)
        edges.append((before, sink_number))
    features.append(sink)
    return torch.tanh(layer(torch.stack(features), torch.tensor(edges).T)).mean(0)


@pytest.mark.parametrize("filters", [False, True], ids=["mixing", "grouped"])
@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_the_closed_form_is_the_graph_with_every_path(count: int, filters: bool) -> None:
    """Values and gradients, by another implementation of the convolution."""
    layer, roles = GCNConv(6, HIDDEN), drawn(len(ROLES), 6)
    roles.requires_grad_()
    with torch.no_grad():
        layer.bias.copy_(drawn(HIDDEN, seed=1))
    weighted = layer.lin(roles)[None, None]
    found = pooled(weighted, torch.tensor([[float(count)]]), torch.tensor([filters]), layer.bias)[0, 0]
    expected = explicit(layer, roles, count, filters=filters)
    torch.testing.assert_close(found, expected)
    sides = (*layer.parameters(), roles)
    direction = drawn(HIDDEN, seed=2)
    ours = torch.autograd.grad(found @ direction, sides)
    theirs = torch.autograd.grad(expected @ direction, sides)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_one_path_by_hand() -> None:
    """Scalar features 2, 3, 5, 7, weight 1: the sums that the module names."""
    weighted = torch.tensor([2.0, 3.0, 5.0, 7.0]).reshape(1, 1, 4, 1)
    found = pooled(weighted, torch.ones(1, 1), torch.tensor([False]), torch.zeros(1))
    sums = np.array([2, 2 / sqrt(2) + 3 / 2, 3 / sqrt(4) + 7 / 2])
    assert found.item() == pytest.approx(np.tanh(sums).mean())


def chain() -> Wiring:
    """Two operations behind each other, and a third that reads what both of them make."""
    edges = torch.tensor([[0, 1, 1, 2], [1, 2, 3, 3]])
    none = Extents(torch.zeros(0, 1), torch.zeros(0))
    empty = torch.zeros(0, dtype=torch.long)
    return Wiring(
        torch.zeros(3, 2), torch.zeros(3, dtype=torch.long), empty, empty.bool(), none,
        Extents(torch.zeros(3, 1), torch.ones(3)), edges, edges[1] - 1, torch.tensor([1.0, 2.0, 2.0, 3.0]),
        torch.ones(1),
    )  # fmt: skip


def test_level_2_is_the_product_with_the_normalised_matrix() -> None:
    """D^-1/2 (A + I) D^-1/2, row = where an edge ends, with the edges' vectors in between."""
    wiring = chain()
    message = nn.Linear(EMBEDDING, HIDDEN)
    maps, operations = drawn(2, 4, EMBEDDING), drawn(2, 3, EMBEDDING, seed=1)
    adjacency = np.zeros((4, 4))
    adjacency[1, 0] = adjacency[2, 1] = adjacency[3, 1] = adjacency[3, 2] = 1
    adjacency += np.eye(4)
    degree = adjacency.sum(1)
    dense = adjacency / np.sqrt(np.outer(degree, degree))
    expected = np.zeros((2, 4, HIDDEN))
    with torch.no_grad():
        for state in range(2):
            for i in range(4):
                for j in range(4):
                    edge = torch.ones(EMBEDDING) if i == j else operations[state, i - 1]
                    expected[state, i] += dense[i, j] * message(maps[state, j] * edge).numpy()
        found = convolve(maps, operations, message, wiring)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_with_ones_on_all_edges_level_2_is_a_graph_convolution() -> None:
    wiring, layer = chain(), GCNConv(EMBEDDING, HIDDEN, bias=False)
    message = nn.Linear(EMBEDDING, HIDDEN, bias=False)
    message.weight = layer.lin.weight
    maps = drawn(1, 4, EMBEDDING)
    found = convolve(maps, torch.ones(1, 3, EMBEDDING), message, wiring)
    torch.testing.assert_close(found[0], layer(maps[0], wiring.edges))


def wired(groups: Groups) -> Wiring:
    return wiring_of(observe(groups, CostModel(groups)), groups, len(FAMILIES))


def halves(groups: Groups) -> Masks:
    """About half of every group; at least one channel."""
    rng = np.random.default_rng(0)
    masks: Masks = {}
    for group in groups.prunable:
        bits = rng.random(group.channels) < 0.5
        bits[0] = True
        masks[group.name] = bits
    return masks


@pytest.mark.parametrize(
    "name", ["resnet20", "encoder_split", "depthwise_multiplier", "grouped", "densenet", "unet"]
)
def test_counts_are_those_of_the_pruned_model_analysed_anew(
    name: str, exported_folder: Path, tmp_path: Path
) -> None:
    groups = find_groups(load_graph(export_case(name, "torchscript", exported_folder)))
    masks = halves(groups)
    onnx.save(prune(groups, masks), tmp_path / "pruned.onnx")
    before, after = wired(groups), wired(find_groups(load_graph(tmp_path / "pruned.onnx")))
    kept = torch.tensor([[float(masks[group.name].sum()) for group in groups.prunable]])
    assert torch.equal(before.inputs(kept), after.inputs(after.channels[None]))
    assert torch.equal(before.outputs(kept), after.outputs(after.channels[None]))
    assert not torch.equal(before.inputs(kept), before.inputs(before.channels[None]))
    assert torch.equal(before.edges, after.edges)


def test_channels_that_do_not_mix_have_filters_of_their_own(exported_folder: Path) -> None:
    path = export_case("depthwise_multiplier", "torchscript", exported_folder)
    wiring = wired(find_groups(load_graph(path)))
    read = wiring.inputs(wiring.channels[None])[0]
    assert read[wiring.grouped].tolist() == [8]
    assert read[~wiring.grouped].tolist()[:2] == [3, 16]


def test_every_map_but_the_source_is_made_by_its_operation(world: World) -> None:
    wiring = make(problem_of(world)).policy.wiring
    vertices = len(wiring.features)
    assert set(wiring.edges[1].tolist()) == set(range(1, vertices + 1))
    assert 0 in wiring.edges[0]
    assert (wiring.edges[0] < wiring.edges[1]).all()  # as the data flows
    assert int(wiring.degree.sum()) == wiring.edges.shape[1] + vertices + 1


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_state_follows_what_is_kept(world: World, variant: str) -> None:
    """As published by little: the mean of paths that are alike hardly depends on how many there are."""
    policy = make(problem_of(world), {"variant": variant}).policy.eval()
    whole = policy.wiring.channels
    with torch.no_grad():
        for encoder in (policy.actor_encoder, policy.critic_encoder):
            first, again, less = encoder(torch.stack([whole, whole, whole / 2]), policy.wiring, GENERATOR)
            torch.testing.assert_close(first, again)
            assert (first - less).abs().max() > 1e-5


def test_measured_features_show_each_group_alone(world: World) -> None:
    policy = make(problem_of(world)).policy.eval()
    whole = policy.wiring.channels
    kept = whole * (1 - torch.eye(len(whole)) / 2)  # a row each, one group halved
    with torch.no_grad():
        for encoder in (policy.actor_encoder, policy.critic_encoder):
            states = encoder(torch.cat([whole[None], kept]), policy.wiring, GENERATOR)
            assert (states[1:] - states[0]).abs().amax(1).min() > 1e-4


@pytest.mark.parametrize("variant", VARIANTS)
def test_states_of_a_batch_do_not_see_each_other(world: World, variant: str) -> None:
    policy = make(problem_of(world), {"variant": variant}).policy.eval()
    kept = torch.stack([policy.wiring.channels, policy.wiring.channels / 2])
    with torch.no_grad():
        both = policy.act(kept), policy.judge(kept)
        alone = [(policy.act(row[None]), policy.judge(row[None])) for row in kept]
    torch.testing.assert_close(both[0], torch.cat([one for one, _ in alone]))
    torch.testing.assert_close(both[1], torch.cat([one for _, one in alone]))


@pytest.mark.parametrize("variant", VARIANTS)
def test_both_levels_of_both_encoders_learn(small_world: World, variant: str) -> None:
    agent = make(problem_of(small_world, evaluations=48), {"variant": variant})
    before = {name: weight.clone() for name, weight in agent.policy.named_parameters()}
    search(agent, small_world, evaluations=32)
    for name, weight in agent.policy.named_parameters():
        assert not torch.equal(weight, before[name]), name
    parts = ("paths.weight", "paths.bias", "paths.embedding", "message", "state")
    for encoder in ("actor_encoder", "critic_encoder"):
        assert all(any(name.startswith(f"{encoder}.{part}") for name in before) for part in parts)


def test_random_features_are_the_same_for_both_encoders_and_no_weights(small_world: World) -> None:
    agent = make(problem_of(small_world, evaluations=48), {"variant": "paper"})
    features = agent.policy.actor_encoder.features
    assert features is agent.policy.critic_encoder.features
    assert list(features.parameters()) == []
    drawn_once = [buffer.clone() for buffer in features.buffers()]
    search(agent, small_world, evaluations=32)
    assert all(torch.equal(*pair) for pair in zip(drawn_once, features.buffers(), strict=True))


def test_measured_features_tell_how_much_is_left(world: World) -> None:
    wiring = make(problem_of(world)).policy.wiring
    features = MeasuredFeatures(wiring.features.shape[1])
    told = features(torch.stack([wiring.channels, wiring.channels / 2]), wiring).roles
    observed = wiring.features.shape[1]
    assert told.shape[2:] == (4, observed + 2 + 4)
    assert (told[0, :, :, observed : observed + 2] == 0).all()
    assert told[1, 1:-1, :, observed].max() == -1  # half of what every inner contraction reads is left
    assert isinstance(make(problem_of(world)).policy.actor_encoder.paths, Paths)

"""The parts of agmc against computations by hand: graph, encoder, decoders, rescaling."""

import numpy as np
import pytest
import torch

from onnxprune.agents.agmc.embedding import Convolution, Decoder, StepDecoder, Wired
from onnxprune.agents.agmc.graph import KINDS, PASSED_ON, RANDOM_FEATURES, map_graph, random_graph
from onnxprune.agents.agmc.rescaling import algorithm_1, bisected, linear_costs
from onnxprune.agents.ddpg.shares import within
from onnxprune.agents.space import Space
from onnxprune.cost import CostModel
from onnxprune.observation.families import CONTRACTION, FAMILIES
from tests.agents.conftest import World, problem_of, world_of


def test_the_graph_runs_from_its_source_to_its_sink(tiny: CostModel) -> None:
    """Five nodes in a row: two that make channels, a rectifier after each, and the last."""
    graph = map_graph(problem_of(world_of(tiny), align=1))
    assert sorted(zip(*graph.edges.tolist(), strict=True)) == [(v, v + 1) for v in range(6)]
    by_target = dict(zip(graph.edges[1].tolist(), graph.kinds.tolist(), strict=True))
    assert [by_target[v] == FAMILIES.index(CONTRACTION) for v in range(1, 6)] == [True, False] * 2 + [True]
    assert by_target[6] == PASSED_ON
    assert graph.features[:, graph.names.index("source")].tolist() == [1, 0, 0, 0, 0, 0, 0]
    assert graph.features[:, graph.names.index("sink")].tolist() == [0, 0, 0, 0, 0, 0, 1]
    assert graph.makers.tolist() == [[0, 1, 0, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0]]


def test_the_published_graph_has_a_vertex_for_every_filter(tiny: CostModel) -> None:
    """4, 6 and 2 filters: each is reached from what the node reads, and leads to the node's map."""
    graph = random_graph(problem_of(world_of(tiny), align=1))
    assert graph.features.shape == (7 + 12, RANDOM_FEATURES)
    pairs = set(zip(*graph.edges.tolist(), strict=True))
    for source, filters, target in ((0, range(7, 11), 1), (2, range(11, 17), 3), (4, range(17, 19), 5)):
        assert {(source, f) for f in filters} | {(f, target) for f in filters} <= pairs
        assert (source, target) not in pairs
    assert len(pairs) == 2 * 12 + 3


def test_random_features_are_drawn_by_the_seed_alone(small_world: World) -> None:
    first, again, other = (random_graph(problem_of(small_world, seed=seed)).features for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_makers_of_every_group_sum_to_one(world: World, small_world: World) -> None:
    for known in (world, small_world):
        for graph in (map_graph(problem_of(known)), random_graph(problem_of(known))):
            assert graph.makers.sum(1).tolist() == pytest.approx([1] * len(graph.makers))
            assert graph.edges.max() < len(graph.features)
            assert graph.kinds.max() < KINDS


def star() -> Wired:
    """Edges 0 -> 2 and 1 -> 2."""
    features = torch.tensor([[1.0, 2.0], [3.0, 5.0], [7.0, 11.0]])
    return Wired(features, torch.tensor([[0, 1], [2, 2]]), torch.tensor([0, 1]), torch.eye(3))


def test_a_published_convolution_is_the_mean_over_neighbours() -> None:
    layer, wired = Convolution(2, 3, typed=False), star()
    found = layer(wired.features, wired)
    weight = layer.neighbours.weight
    torch.testing.assert_close(found[2], weight @ torch.tensor([2.0, 3.5]))
    assert not found[:2].any()


def test_a_typed_convolution_adds_the_kinds_of_edges_and_the_vertex_itself() -> None:
    layer, wired = Convolution(2, 3, typed=True), star()
    assert layer.own is not None
    assert layer.of_kind is not None
    kinds = layer.of_kind.weight[:2].mean(0)
    expected = layer.neighbours(torch.tensor([2.0, 3.5])) + kinds + layer.own(wired.features[2])
    found = layer(wired.features, wired)
    torch.testing.assert_close(found[2], expected)
    torch.testing.assert_close(found[0], layer.own(wired.features[0]))


@pytest.mark.parametrize("kind", [Decoder, StepDecoder])
def test_states_step_by_step_are_those_of_the_whole_episode(kind: type[Decoder | StepDecoder]) -> None:
    torch.manual_seed(0)
    decoder = kind(6)
    vertices, groups, actions = torch.randn(9, 6), torch.randn(4, 6), torch.rand(2, 4)
    whole, _ = decoder(groups, actions, decoder.begin(vertices, 2))
    recall, states = decoder.begin(vertices, 2), []
    for step in range(4):
        state, recall = decoder(groups[step : step + 1], actions[:, step : step + 1], recall)
        states.append(state)
    torch.testing.assert_close(torch.cat(states, 1), whole)


def test_a_decoder_remembers_the_whole_episode_and_that_of_the_authors_its_last_state() -> None:
    """The cell of an LSTM is what tells both apart: theirs is always empty."""
    torch.manual_seed(0)
    vertices, groups, actions = torch.randn(9, 6), torch.randn(3, 6), torch.rand(1, 3)
    for kind, remembers in ((Decoder, True), (StepDecoder, False)):
        decoder = kind(6)
        state, (_, cell) = decoder(groups, actions, decoder.begin(vertices, 1))
        assert state.shape == (1, 3, 6)
        assert bool(cell.any()) == remembers


def test_algorithm_1_by_hand() -> None:
    """0.3 is walked of 0.5 that is wanted: 0.2 more, shared out as 1 to 3, over costs of 0.4 and 0.6."""
    costs, walked = np.array([0.4, 0.6]), np.array([0.15, 0.4])
    added = 0.2 * np.array([0.15, 0.4]) / 0.55 / costs
    assert algorithm_1(walked, costs, 0.5, 0.9) == pytest.approx(walked + added)
    assert algorithm_1(walked, costs, 0.5, 0.45) == pytest.approx([min(0.45, (walked + added)[0]), 0.45])
    assert algorithm_1(walked, costs, 0.2, 0.9) is walked  # it never gives back
    assert not algorithm_1(np.zeros(2), costs, 0.5, 0.9).any()


def test_algorithm_1_misses_by_its_own_measure_and_in_truth_and_the_bisection_does_not(world: World) -> None:
    """Random walks to half of the MACs of a ResNet-20, where it acts and something is clipped."""
    space = Space.of(problem_of(world, align=1))
    costs, rng = linear_costs(space, "macs"), np.random.default_rng(0)
    missed, truth, exact = [], [], []
    for _ in range(300):
        walked = 0.8 * rng.random(len(costs))
        if costs @ walked >= 0.5:
            continue
        share = algorithm_1(walked, costs, 0.5, 0.8)
        found = bisected(space, walked, space.problem.target, 0.8)
        kept = np.stack([np.rint((1 - share) * space.channels).astype(np.int64), found])
        macs = space.costs(kept).macs / space.problem.whole.macs
        missed.append(0.5 - costs @ share)
        truth.append(1 - macs[0])
        exact.append(macs[1])
    assert len(missed) > 200
    assert np.mean(np.array(missed) > 1e-9) > 0.85
    assert max(missed) > 0.05
    assert np.mean(truth) > 0.65
    assert 0.49 < min(exact) <= max(exact) <= 0.5


def test_the_bisection_keeps_the_order_of_what_was_walked(world: World) -> None:
    space = Space.of(problem_of(world, align=1))
    removed = np.linspace(0.1, 0.7, len(space.channels))
    shares = 1 - bisected(space, removed, space.problem.target, 0.8) / space.channels
    scale = shares[-1] / removed[-1]
    np.testing.assert_allclose(shares, removed * scale, atol=1.5 / space.channels.min())


def test_no_group_gives_more_than_the_most_before_the_target_needs_it(world: World) -> None:
    space = Space.of(problem_of(world, align=1))
    removed = np.full(len(space.channels), 0.01)
    removed[1] = 1.0
    kept = bisected(space, removed, space.problem.target, 0.6)
    assert kept[1] == np.ceil(0.4 * space.channels[1] - 0.5)
    assert within(space, kept[None])[0]


@pytest.mark.parametrize("quantity", ["macs", "params", "bytes"])
def test_linear_costs_are_those_of_the_layers(quantity: str, tiny: CostModel, world: World) -> None:
    """12 and 24 of 48: the last layer makes no group."""
    assert linear_costs(Space.of(problem_of(world_of(tiny), align=1)), quantity).tolist() == [0.25, 0.5]
    assert 0.9 < linear_costs(Space.of(problem_of(world)), quantity).sum() <= 1

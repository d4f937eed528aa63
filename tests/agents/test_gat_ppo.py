"""The agent that learns: its probabilities, its update, and what it finds where the answer is known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Normal

pytest.importorskip("torch_geometric")

from onnxprune.agents.gat_ppo import GatPpo, GatPpoOptions, make
from onnxprune.agents.gat_ppo.elites import Elites, boundary_logits
from onnxprune.agents.gat_ppo.graph import Wiring, hetero_data, wiring_of
from onnxprune.agents.gat_ppo.policy import Actions, Network, Outlook, Policy, States
from onnxprune.agents.gat_ppo.rollout import roll_out, states_of
from onnxprune.agents.gat_ppo.update import Batch, advantages, losses, standardised
from onnxprune.agents.table import AGENTS
from onnxprune.agents.types import Outcome, Problem
from onnxprune.allocation import allocate
from onnxprune.errors import UsageError
from onnxprune.latency import LatencyTable, TimedCostModel, Times
from onnxprune.masks import masks_hash
from onnxprune.target import parse_target
from tests.agents.conftest import World, problem_of, search
from tests.latency.conftest import SETTING

SMALL = GatPpoOptions(hidden=16, heads=2, layers=2)
QUICK = replace(SMALL, encoder="mlp", imagined=32, scattered=64)


@pytest.fixture(scope="module")
def problem(world: World) -> Problem:
    return problem_of(world, evaluations=96)


@pytest.mark.parametrize("options", [SMALL, QUICK], ids=["gat", "mlp"])
def test_a_bound_on_the_latency_is_seen_and_held(problem: Problem, options: GatPpoOptions) -> None:
    table = LatencyTable(SETTING, 10**6, (times_of(problem),))
    target = parse_target(["latency=60%"])
    timed = replace(problem, cost_model=TimedCostModel(problem.groups, table), target=target)
    agent = GatPpo(timed, options)
    state = states_of([agent.episode()], timed)
    assert state.bounds.tolist() == [pytest.approx([1, 1, 1, 1, 1, 1, 0.6, 1])]
    assert "latency share" in agent.observation.channel_features
    for _ in range(2):
        candidates = agent.ask(4)
        costs = [timed.cost_model.count(candidate.masks) for candidate in candidates]
        assert all(target.met_by(cost, original=timed.whole) for cost in costs)
        agent.tell(candidates, [Outcome(0.5, 0.0, cost, 24) for cost in costs])


def times_of(problem: Problem) -> Times:
    """A time in proportion to all channels that may go."""
    weights = {group.name: 1 for group in problem.groups.prunable}
    channels = sum(group.channels for group in problem.groups.prunable)
    return Times("all", ({}, weights), ([0], [0, channels]), np.array([[0, 9 * 10**5]]))


def first_states(agent: GatPpo) -> States:
    channels = len(agent.problem.order)
    return States(torch.ones(1, channels, 2), torch.full((1, 6), 0.5))


def shaken(module: torch.nn.Module) -> None:
    """Weights away from their zero start."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in module.parameters():
            weight += 0.1 * torch.randn(weight.shape, generator=generator)


def test_the_graph_has_each_relation_both_ways(problem: Problem) -> None:
    data = hetero_data(GatPpo(problem, SMALL).observation)
    assert data.validate()
    forth, back = data["channel", "read_by", "node"], data["node", "reads", "channel"]
    pairs = {tuple(pair) for pair in forth.edge_index.T.tolist()}
    assert pairs == {(a, b) for b, a in back.edge_index.T.tolist()}
    assert len(data.edge_types) == 8


@pytest.mark.parametrize("encoder", ["gat", "mlp"])
def test_a_network_does_not_care_in_which_order_channels_come(problem: Problem, encoder: str) -> None:
    agent = make(problem, {"encoder": encoder, "hidden": 16, "heads": 2, "layers": 2})
    shaken(agent.network)
    wiring, states = agent.policy.wiring, first_states(agent)
    count, vertices = len(wiring.channels), wiring.vertices
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    place = torch.arange(vertices)
    place[order] = torch.arange(count)  # where each vertex has gone
    moved = Wiring(
        wiring.channels[order],
        wiring.nodes,
        wiring.group_of[order],
        place[wiring.producer[order]],
        place[wiring.edge_index],
        wiring.edge_attr,
    )
    with torch.no_grad():
        logits, mean, value = agent.network(states, wiring)
        others = agent.network(states, moved)
    assert float(logits.std()) > 1e-3
    torch.testing.assert_close(others[0], logits[:, order], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(others[1], mean, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(others[2], value, atol=1e-5, rtol=1e-4)


def test_copies_of_a_graph_do_not_see_each_other(problem: Problem) -> None:
    agent = GatPpo(problem, SMALL)
    shaken(agent.network)
    one = first_states(agent)
    other = States(torch.zeros_like(one.dynamic), one.bounds * 0.5)
    both = States(torch.cat([one.dynamic, other.dynamic]), torch.cat([one.bounds, other.bounds]))
    with torch.no_grad():
        joined = agent.policy(both).logits
        alone = torch.cat([agent.policy(one).logits, agent.policy(other).logits])
    torch.testing.assert_close(joined, alone, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(joined[0], joined[1])


def drawn(agent: GatPpo, steps: int = 4) -> tuple[Outlook, Actions]:
    with torch.no_grad():
        outlook = agent.policy(first_states(agent)).at(torch.zeros(steps, dtype=torch.long))
        return outlook, agent.policy.draw(
            outlook,
            torch.ones(steps, agent.policy.wiring.groups, dtype=torch.bool),
            torch.Generator().manual_seed(2),
        )


def test_probabilities_are_those_of_the_distributions(problem: Problem) -> None:
    agent = GatPpo(problem, SMALL)
    shaken(agent.policy)
    outlook, actions = drawn(agent)
    of_shifts, of_bits = agent.policy.log_probabilities(outlook, actions)
    torch.testing.assert_close(
        of_shifts, Normal(outlook.mean, outlook.log_std.exp()).log_prob(actions.shifts)
    )
    logits = outlook.logits + (actions.shifts * outlook.reach)[:, agent.policy.wiring.group_of]
    torch.testing.assert_close(of_bits, Bernoulli(logits=logits).log_prob(actions.bits))
    assert agent.policy.entropy(outlook, actions.shifts) == pytest.approx(
        float(Bernoulli(logits=logits).entropy().mean()), rel=1e-5
    )


def batch_of(agent: GatPpo, advantage: Tensor) -> Batch:
    walk = roll_out(agent.policy, agent.problem, agent.episode, agent.active(len(advantage)), agent.generator)
    zeros = torch.zeros(len(advantage))
    turn, state = walk.turn.flatten(0, 1).float(), walk.state.flatten()
    return Batch(walk.states, state, turn, walk.actions, walk.shifts, walk.bits, advantage, zeros)


@pytest.mark.parametrize("ratio", ["bit", "joint"])
def test_the_gradient_before_any_update_is_the_policy_gradient(problem: Problem, ratio: str) -> None:
    options = replace(QUICK, ratio=ratio, value_weight=0.0, imitation=0.0)  # type: ignore[arg-type]
    agent = GatPpo(problem, options)
    batch = batch_of(agent, torch.tensor([1.0, -2.0, 0.5]))
    found = losses(agent.policy, batch, None, options, 0.0)
    assert found.kl.item() == pytest.approx(0, abs=1e-6)
    assert found.clipped.item() == 0
    weight = agent.policy.channel_bias
    (gradient,) = torch.autograd.grad(found.total, weight, retain_graph=True)
    outlook = agent.policy(batch.states).at(batch.state)
    _, of_bits = agent.policy.log_probabilities(outlook, batch.actions)
    share = of_bits.mean(1) if ratio == "bit" else of_bits.sum(1)
    (expected,) = torch.autograd.grad(-(batch.advantage * share).mean(), weight)
    torch.testing.assert_close(gradient, expected, atol=1e-6, rtol=1e-3)


def test_advantages_of_one_step_are_reward_less_value() -> None:
    value = torch.tensor([0.1, 0.2, 0.3])
    outlook = Outlook(torch.zeros(3, 1), torch.ones(3, 1), torch.zeros(3, 1), torch.zeros(1), 1.0, value)
    found, returns = advantages(outlook, torch.tensor([1.0, 0.0, -1.0]), 0.95)
    torch.testing.assert_close(found[:, 0], torch.tensor([0.9, -0.2, -1.3]))
    torch.testing.assert_close(returns[:, 0], torch.tensor([1.0, 0.0, -1.0]))


def test_advantages_at_lambda_one_are_whole_returns() -> None:
    value = torch.tensor([0.1, 0.7, -0.4, 0.2])  # two episodes of two steps
    outlook = Outlook(torch.zeros(4, 1), torch.ones(4, 1), torch.zeros(4, 1), torch.zeros(1), 1.0, value)
    found, returns = advantages(outlook, torch.tensor([1.0, -1.0]), 1.0)
    torch.testing.assert_close(returns, torch.tensor([[1.0, 1.0], [-1.0, -1.0]]))
    torch.testing.assert_close(found, returns - value.reshape(2, 2))
    assert standardised(torch.ones(4)).tolist() == [0, 0, 0, 0]


def test_the_priors_logits_lead_to_the_masks_that_they_were_made_of(world: World, problem: Problem) -> None:
    scores = world.scores["l2"]
    masks = problem.project({name: np.asarray(row) for name, row in scores.items()})
    logits = boundary_logits(masks, scores, weight=1.5)
    for name, bits in masks.items():
        assert np.array_equal(logits[name] > 0, bits)
        assert np.array_equal(np.argsort(logits[name]), np.argsort(scores[name], kind="stable"))


def test_the_best_masks_are_kept_once_and_weighted_by_accuracy(problem: Problem, world: World) -> None:
    elites = Elites(problem.order, 3)
    candidates = make(problem, None).ask(8)
    for candidate in [*candidates, *candidates]:
        elites.add(candidate.masks, world.accuracy(candidate.masks))
    accuracies = sorted({world.accuracy(c.masks) for c in candidates}, reverse=True)
    assert [accuracy for accuracy, _ in elites.found.values()] == accuracies[:3]
    assert elites.weights().sum() == pytest.approx(1)
    assert list(elites.weights()) == sorted(elites.weights(), reverse=True)
    copy = Elites(problem.order, 3)
    copy.restore(elites.state())
    assert copy.found.keys() == elites.found.keys()
    assert np.array_equal(copy.rows(), elites.rows())


def test_it_sets_out_from_equal_shares_in_the_order_of_the_prior(world: World, problem: Problem) -> None:
    uniform = allocate(
        world.scores["l2"],
        problem.cost_model,
        target=problem.target,
        constraints=problem.constraints,
        how="uniform",
    )
    assert masks_hash(GatPpo(problem, QUICK).final()[0].masks) == masks_hash(uniform)


def test_it_ends_with_no_less_than_every_allocation_of_the_prior(world: World, problem: Problem) -> None:
    agent = GatPpo(problem, QUICK)
    tried = [candidate.note for candidate in search(agent, world, batches=1).batches[0]]
    assert {"l2 uniform", "l2 global", "l2 shallow"} <= set(tried)
    assert agent.opening == []


@pytest.mark.parametrize(
    ("options", "seeds"),
    [pytest.param(QUICK, 2, id="mlp", marks=pytest.mark.slow), pytest.param(SMALL, 1, id="gat")],
)
def test_it_learns(world: World, options: GatPpoOptions, seeds: int) -> None:
    """Better than where it began, and than as many random masks."""
    evaluations = 160
    for seed in range(seeds):
        problem = problem_of(world, evaluations=evaluations, seed=seed)
        run = search(GatPpo(problem, options), world, evaluations=evaluations)
        other = search(AGENTS["random"].make(problem, None), world, evaluations=evaluations)
        assert run.best() > max(run.best(1), other.best())
        means = [np.mean([o.accuracy for o in batch if o.accuracy is not None]) for batch in run.outcomes]
        assert np.mean(means[-3:]) > np.mean(means[1:4])


@pytest.mark.parametrize("episode", ["one-shot", "rounds", "group-wise"])
@pytest.mark.parametrize("constraint", ["project", "lagrangian", "penalty"])
def test_every_kind_of_episode_runs(small_world: World, episode: str, constraint: str) -> None:
    problem = problem_of(small_world, evaluations=40)
    options = {
        "episode": episode,
        "constraint": constraint,
        "hidden": 8,
        "heads": 2,
        "layers": 1,
        "epochs": 2,
    }
    run = search(make(problem, options), small_world, evaluations=20)
    feasible = [outcome.feasible for outcome in run.flat]
    assert len(feasible) == 20
    assert constraint != "project" or all(feasible)


@pytest.mark.parametrize(
    "options", [QUICK, replace(QUICK, episode="rounds", rounds=2)], ids=["one", "rounds"]
)
def test_it_goes_on_bit_for_bit_from_its_state(
    small_world: World, options: GatPpoOptions, tmp_path: Path
) -> None:
    problem = problem_of(small_world, evaluations=192)
    straight, stopped, resumed = (GatPpo(problem, options) for _ in range(3))
    whole = search(straight, small_world, batches=9).batches
    search(stopped, small_world, batches=6)
    torch.save(stopped.state(), tmp_path / "state.pt")
    search(stopped, small_world, batches=1)  # what comes later must not reach into the state
    resumed.restore(torch.load(tmp_path / "state.pt", weights_only=True))
    rest = search(resumed, small_world, batches=3).batches
    hashes = [[masks_hash(c.masks) for c in batch] for batch in rest]
    assert hashes == [[masks_hash(c.masks) for c in batch] for batch in whole[6:]]
    drawn = [any(c.note == "neighbour" for c in batch) for batch in (*whole[:6], *rest)]
    assert (any(drawn[:6]) and any(drawn[6:])) == (options.episode == "one-shot")


def test_failed_outcomes_are_survived(world: World, problem: Problem) -> None:
    agent = GatPpo(problem, QUICK)
    assert len(search(agent, world, evaluations=64, fails=frozenset(range(48))).flat) == 64
    assert all(torch.isfinite(weight).all() for weight in agent.policy.parameters())


def test_without_a_prior_nothing_of_it_is_in_the_masks(world: World) -> None:
    problem = problem_of(world, evaluations=32)
    agent = GatPpo(problem, replace(QUICK, prior_weight=0.0))
    assert agent.opening == []
    assert not agent.policy.prior.any()
    assert search(agent, world, evaluations=32).best() > 0


def test_a_network_is_carried_to_another_model(world: World, tmp_path: Path) -> None:
    first = GatPpo(problem_of(world, evaluations=48), SMALL)
    search(first, world, evaluations=48)
    torch.save(first.carried(), tmp_path / "policy.pt")
    options = replace(SMALL, init_policy=str(tmp_path / "policy.pt"), freeze_encoder=True)
    other = problem_of(world, evaluations=48, target="params=60%", seed=5)
    second = GatPpo(other, options)
    taken = {name: weight.clone() for name, weight in second.network.state_dict().items()}
    assert all(torch.equal(weight, first.network.state_dict()[name]) for name, weight in taken.items())
    search(second, world, evaluations=48)
    after = second.network.state_dict()
    same = {name for name, weight in taken.items() if torch.equal(weight, after[name])}
    assert {name for name in taken if name.startswith("encoder.")} <= same
    assert any(name.startswith("keep.") for name in taken.keys() - same)


def test_a_policy_that_does_not_fit_is_refused(problem: Problem, tmp_path: Path) -> None:
    path = tmp_path / "policy.pt"
    with pytest.raises(UsageError, match="does not exist"):
        GatPpo(problem, replace(SMALL, init_policy=str(path)))
    path.write_bytes(b"no policy")
    with pytest.raises(UsageError, match="cannot be read"):
        GatPpo(problem, replace(SMALL, init_policy=str(path)))
    torch.save(GatPpo(problem, SMALL).carried(), path)
    with pytest.raises(UsageError, match="has hidden 16, not 32"):
        GatPpo(problem, replace(SMALL, hidden=32, init_policy=str(path)))
    table = LatencyTable(SETTING, 10**6, (times_of(problem),))
    timed = replace(problem, cost_model=TimedCostModel(problem.groups, table))
    with pytest.raises(UsageError, match="lacks latency share among its channel features"):
        GatPpo(timed, replace(SMALL, init_policy=str(path)))
    broken = GatPpo(problem, SMALL).carried()
    next(iter(broken["network"].values()))[...] = torch.nan
    torch.save(broken, path)
    with pytest.raises(UsageError, match="holds numbers that are not finite"):
        GatPpo(problem, replace(SMALL, init_policy=str(path)))
    torch.save({"format": 1}, path)
    with pytest.raises(UsageError, match="is none of this agent"):
        GatPpo(problem, replace(SMALL, init_policy=str(path)))


@pytest.mark.parametrize(("size", "shift"), [(1e-9, 0.0), (1e6, -1e6)])
def test_accuracies_of_any_size_are_learnt_from_alike(size: float, shift: float, world: World) -> None:
    """Such as minus a squared error: the unit is found from the first that are told."""
    agents = [GatPpo(problem_of(world, evaluations=48), QUICK) for _ in range(2)]
    for scale, offset, agent in ((1e3, -2e3, agents[0]), (size, shift - size, agents[1])):
        for _ in range(3):
            asked = agent.ask(8)
            worth = [world.accuracy(candidate.masks) * scale + offset for candidate in asked]
            costs = [agent.problem.cost_model.count(candidate.masks) for candidate in asked]
            agent.tell(asked, [Outcome(a, 0.0, c, 100) for a, c in zip(worth, costs, strict=True)])
    first, second = (agent.policy.state_dict() for agent in agents)
    for name, weight in first.items():
        torch.testing.assert_close(weight, second[name], rtol=1e-3, atol=1e-4)


def test_a_policy_without_numbers_says_so(problem: Problem, world: World) -> None:
    agent = GatPpo(problem, QUICK)
    with torch.no_grad():
        agent.policy.channel_bias.fill_(float("nan"))
    agent.opening = []
    with pytest.raises(UsageError, match="no longer finite"):
        agent.ask(4)


def test_options_out_of_range_are_refused(problem: Problem) -> None:
    for options in (
        {"encoder": "rnn"},
        {"hidden": 10, "heads": 4},
        {"heads": 0},
        {"clip": 2},
        {"network-rate": 0},
    ):
        with pytest.raises(UsageError, match="options of the agent"):
            make(problem, options)


def test_the_policy_takes_no_part_in_the_global_random_state(problem: Problem) -> None:
    before = torch.get_rng_state()
    agent = GatPpo(problem, SMALL)
    agent.ask(16)
    assert torch.equal(before, torch.get_rng_state())
    assert isinstance(agent.network, Network)
    assert isinstance(agent.policy, Policy)
    assert isinstance(wiring_of(hetero_data(agent.observation)), Wiring)

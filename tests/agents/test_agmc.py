"""agmc as a whole: gradients, every kind of target met, transfer, going on bit for bit."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from onnxprune.agents.agmc import Agmc, make
from onnxprune.agents.agmc.rescaling import linear_costs
from onnxprune.agents.ddpg.memory import Past
from onnxprune.agents.table import AGENTS
from onnxprune.agents.types import Outcome
from onnxprune.cost import CostModel
from onnxprune.errors import UsageError
from onnxprune.latency import LatencyTable, TimedCostModel, Times
from onnxprune.masks import masks_hash
from onnxprune.search.checkpoint import load_state, save_state
from onnxprune.target import parse_target
from tests.agents.conftest import World, problem_of, search, world_of
from tests.latency.conftest import SETTING

VARIANTS = ("fixed", "paper")
TARGETS = ("macs=50%", "params=60%", "bytes=40%", "macs=60% params=50% bytes=70%")
QUICK = {"hidden": 16, "embedding": 8, "width": 8}


def agent_of(world: World, *, evaluations: int = 64, target: str = "macs=50%", **options: object) -> Agmc:
    return make(problem_of(world, evaluations=evaluations, target=target), {**QUICK, **options})


def weights_of(modules: Mapping[str, torch.nn.Module]) -> dict[str, Tensor]:
    named = modules.items()
    return {f"{part}.{key}": v.clone() for part, m in named for key, v in m.state_dict().items()}


def changed(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> set[str]:
    """Names of the parts in which any weight differs."""
    return {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize("stages", [1, 2])
def test_what_was_walked_is_what_is_computed_anew(stages: int, world: World) -> None:
    """The states that the losses see are those that the actions were chosen by."""
    agent, seen = agent_of(world, stages=stages), []

    def choose(state: NDArray[np.float32]) -> float:
        seen.append(state)
        return 0.2 + 0.7 * (len(seen) % 3) / 3

    walk = agent.walk(choose)
    with torch.no_grad():
        states = agent.states(torch.from_numpy(walk.actions)[None])[0].numpy()
    np.testing.assert_allclose(states, np.stack(seen), atol=1e-6)
    assert walk.states.shape == (stages * len(agent.space.channels), 0)


def remembering(agent: Agmc, world: World) -> Agmc:
    """With episodes in its memory, of which it has learnt nothing yet."""
    for candidate, walk in zip(agent.ask(6), agent.walks, strict=True):
        agent.memory.add(Past(walk.states, walk.actions, world.accuracy(candidate.masks)))
    return agent


@pytest.mark.parametrize("loss", ["critic", "actor"])
def test_both_losses_reach_encoder_and_decoder(loss: str, world: World) -> None:
    agent = remembering(agent_of(world), world)
    batch = agent.recomputed()
    parts = {"encoder": agent.encoder, "decoder": agent.decoder}
    if loss == "critic":
        total = (agent.ddpg.critic(batch.states, batch.actions) - agent.ddpg.wanted(batch)).square().mean()
    else:
        total = -agent.ddpg.critic(batch.states.detach(), agent.ddpg.actor(batch.states)).mean()
    total.backward()  # type: ignore[no-untyped-call]
    for part in parts.values():
        reached = [w.grad is not None and bool(w.grad.any()) for w in part.parameters()]
        assert sum(reached) >= len(reached) - 2  # vectors of kinds of edges that the graph lacks have none


def test_one_update_moves_encoder_decoder_actor_and_critic(world: World) -> None:
    agent = remembering(agent_of(world), world)
    before = weights_of(agent.networks)
    agent.learn()
    assert changed(before, weights_of(agent.networks)) == set(agent.networks)


def test_as_published_encoder_and_decoder_stay_as_they_were_drawn(world: World) -> None:
    agent = agent_of(world, variant="paper", warm_up=2)
    before = weights_of(agent.networks)
    search(agent, world, evaluations=16)
    assert changed(before, weights_of(agent.networks)) == {"actor", "critic", "slow_actor", "slow_critic"}


def test_the_transitions_of_an_update_are_whole_episodes(world: World) -> None:
    agent = remembering(agent_of(world, batch=20), world)
    batch, steps = agent.recomputed(), agent.steps
    assert len(batch.actions) == 2 * steps  # the fewest episodes that have as many transitions as asked
    for part, end in ((slice(0, steps), steps - 1), (slice(steps, 2 * steps), 2 * steps - 1)):
        assert batch.going[part].sum() == steps - 1
        assert batch.going[end] == 0
        assert len(set(batch.gains[part].tolist())) == 1
        torch.testing.assert_close(batch.following[part][:-1], batch.states[part][1:])
    assert not batch.following.requires_grad


@pytest.mark.parametrize("action", [0.05, 0.5, 0.95])
def test_the_bisection_scales_from_both_sides(action: float, world: World) -> None:
    agent = agent_of(world)
    kept = agent.space.kept(agent.walk(lambda _: action).masks)
    assert 0.47 < agent.space.costs(kept[None]).macs[0] / agent.problem.whole.macs <= 0.5
    assert (kept / agent.space.channels).std() < 0.1


def test_stages_come_down_in_equal_shares(world: World) -> None:
    agent = agent_of(world, stages=2, target="macs=36%")
    after = agent.rescaled(agent.space.channels, np.full(len(agent.space.channels), 0.5), 0)
    share = agent.space.costs(after[None]).macs[0] / agent.problem.whole.macs
    assert 0.56 < share <= 0.6
    last = agent.rescaled(after, np.full(len(after), 0.5), 1)
    assert (last <= after).all()
    assert 0.33 < agent.space.costs(last[None]).macs[0] / agent.problem.whole.macs <= 0.36


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("model", ["resnet20", "encoder_split"])
def test_every_episode_meets_every_kind_of_target(
    model: str, target: str, variant: str, cost_models: dict[str, CostModel]
) -> None:
    known = world_of(cost_models[model])
    agent = agent_of(known, target=target, variant=variant, warm_up=4)
    run = search(agent, known, evaluations=16)
    assert all(outcome.violation == 0 for outcome in run.flat)
    (final,) = agent.final()
    assert agent.problem.target.met_by(known.cost_model.count(final.masks), original=agent.problem.whole)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_bound_on_the_latency_is_held(variant: str, world: World) -> None:
    problem = problem_of(world)
    weights = {group.name: 1 for group in problem.groups.prunable}
    channels = sum(group.channels for group in problem.groups.prunable)
    times = Times("all", ({}, weights), ([0], [0, channels]), np.array([[0, 9 * 10**5]]))
    model = TimedCostModel(problem.groups, LatencyTable(SETTING, 10**6, (times,)))
    timed = replace(problem, cost_model=model, target=parse_target(["latency=60%"]))
    agent = make(timed, {**QUICK, "variant": variant})
    assert linear_costs(agent.space, "latency_ns").sum() == pytest.approx(0.9)
    candidates = agent.ask(4)
    costs = [model.count(candidate.masks) for candidate in candidates]
    assert all(timed.target.met_by(cost, original=timed.whole) for cost in costs)
    agent.tell(candidates, [Outcome(0.5, 0.0, cost, 24) for cost in costs])


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_goes_on_bit_for_bit_from_its_state(variant: str, small_world: World, tmp_path: Path) -> None:
    straight, stopped, resumed = (agent_of(small_world, variant=variant) for _ in range(3))
    whole = search(straight, small_world, batches=3).masks
    search(stopped, small_world, batches=1)
    save_state(tmp_path / "state.npz", stopped.state())
    search(stopped, small_world, batches=1)  # what comes later must not reach into the state
    resumed.restore(load_state(tmp_path / "state.npz"))
    rest = search(resumed, small_world, batches=2).masks
    assert [masks_hash(masks) for masks in rest] == [masks_hash(masks) for masks in whole[16:]]
    assert not changed(weights_of(resumed.networks), weights_of(straight.networks))


def test_failed_outcomes_are_survived(small_world: World) -> None:
    agent = agent_of(small_world)
    assert len(search(agent, small_world, evaluations=48, fails=frozenset(range(32))).flat) == 48
    assert all(torch.isfinite(weight).all() for weight in weights_of(agent.networks).values())


def test_networks_are_carried_to_another_model_and_the_decoder_alone_goes_on(
    world: World, small_world: World, tmp_path: Path
) -> None:
    """As in the paper: encoder and agent of one model, on the other only the decoder learns."""
    first = agent_of(world, warm_up=2)
    search(first, world, evaluations=16)
    torch.save(first.carried(), tmp_path / "policy.pt")
    carried = {"init_policy": str(tmp_path / "policy.pt"), "freeze_encoder": True, "freeze_agent": True}
    second = agent_of(small_world, target="params=60%", warm_up=2, **carried)
    before = weights_of(second.networks)
    assert not changed(weights_of(first.networks), before)
    search(second, small_world, evaluations=16)
    after = weights_of(second.networks)
    assert changed(before, after) & {"encoder", "actor", "critic", "decoder"} == {"decoder"}


def test_a_policy_that_does_not_fit_is_refused(small_world: World, tmp_path: Path) -> None:
    path = tmp_path / "policy.pt"
    with pytest.raises(UsageError, match="does not exist"):
        agent_of(small_world, init_policy=str(path))
    path.write_bytes(b"no policy")
    with pytest.raises(UsageError, match="cannot be read"):
        agent_of(small_world, init_policy=str(path))
    saved = agent_of(small_world).carried()
    torch.save(saved, path)
    with pytest.raises(UsageError, match="has embedding 8, not 9") as caught:
        agent_of(small_world, embedding=9, init_policy=str(path))
    assert caught.value.hint == "--agent-option embedding=8"
    torch.save(saved | {"weights": {**saved["weights"], "actor": {}}}, path)
    with pytest.raises(UsageError, match="does not fit"):
        agent_of(small_world, init_policy=str(path))


def test_it_takes_no_part_in_the_global_random_state(small_world: World) -> None:
    before = torch.get_rng_state()
    search(agent_of(small_world, warm_up=2), small_world, evaluations=8)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.slow
def test_it_learns_and_beats_random(cost_models: dict[str, CostModel]) -> None:
    """On average, with equal evaluations; and its policy ends far above where its episodes began."""
    found: dict[str, list[float]] = {"random": [], "agmc": []}
    for seed in range(4):
        known = world_of(cost_models["resnet20"], seed)
        problem = problem_of(known, evaluations=160, seed=seed)
        agent, random = make(problem, {"hidden": 64}), AGENTS["random"].make(problem, None)
        run = search(agent, known, evaluations=160)
        found["agmc"].append(run.best())
        found["random"].append(search(random, known, evaluations=160).best())
        begun = np.mean([outcome.accuracy for outcome in run.outcomes[0]])  # type: ignore[misc]
        assert known.accuracy(agent.final()[0].masks) > begun
    assert np.mean(found["agmc"]) > np.mean(found["random"])


def test_a_reward_by_cost_lets_less_be_kept_than_the_bounds_allow(world: World) -> None:
    """Walks that break a bound still end at it."""
    agent = agent_of(world, reward="cost", target="macs=90%", warm_up=32)
    whole = agent.problem.whole.macs
    costs = [world.cost_model.count(candidate.masks).macs / whole for candidate in agent.ask(32)]
    assert max(costs) <= 0.9
    assert min(costs) < 0.4
    by_accuracy = agent_of(world, target="macs=90%", warm_up=32).ask(32)
    assert min(world.cost_model.count(one.masks).macs for one in by_accuracy) > 0.8 * whole


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"features": "all"}, "features is one of structural, random"),
        ({"learning": "alone"}, "learning is one of"),
        ({"recall": "nothing"}, "recall is one of"),
        ({"rescaling": "none"}, "rescaling is one of"),
        ({"stages": 0}, "at least 1"),
        ({"embedding_rate": 0.0}, "above 0"),
        ({"most": 1.0}, "most lies"),
        ({"learning": "none", "freeze_agent": True}, "nothing that learns"),
        ({"freeze_agent": True}, "without a policy"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    given: dict[str, object], said: str, small_world: World
) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        agent_of(small_world, **given)
    assert caught.value.code == "E202"


def test_the_table_knows_its_variants(small_world: World) -> None:
    problem = problem_of(small_world)
    agents = [AGENTS["agmc"].make(problem, {"variant": name}) for name in AGENTS["agmc"].variants]
    assert [agent.options.rescaling for agent in agents if isinstance(agent, Agmc)] == [
        "bisection",
        "algorithm-1",
    ]

"""amc: its features and walls by hand, every kind of target met, going on bit for bit, better than random."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from onnxprune.agents.amc import Amc, make
from onnxprune.agents.amc.features import FEATURES, first_makers, first_with, static_features
from onnxprune.agents.amc.walls import PaperWall, Walls, shared
from onnxprune.agents.ddpg.agent import Walk
from onnxprune.agents.ddpg.shares import within
from onnxprune.agents.space import Space
from onnxprune.agents.table import AGENTS
from onnxprune.cost import CostModel
from onnxprune.errors import UsageError
from onnxprune.masks import masks_hash
from onnxprune.observation.rows import ChannelRows
from onnxprune.observation.vertices import find_vertices
from onnxprune.search.checkpoint import load_state, save_state
from tests.agents.conftest import World, problem_of, search, world_of

VARIANTS = ("fixed", "paper")
TARGETS = ("macs=50%", "params=60%", "bytes=40%", "macs=60% params=50% bytes=70%")
QUICK = {"hidden": 16}


def agent_of(world: World, *, evaluations: int = 64, target: str = "macs=50%", **options: object) -> Amc:
    return make(problem_of(world, evaluations=evaluations, target=target), {**QUICK, **options})


def tiny_space(tiny: CostModel, target: str = "macs=50%") -> Space:
    """MACs 3 a + a c + 2 c of a in 1 .. 4 and c in 1 .. 6: 48 in all."""
    return Space.of(problem_of(world_of(tiny), target=target, align=1))


def none(*counts: int) -> NDArray[np.int64]:
    return np.array(counts, np.int64)


def brute(space: Space, *decided: int) -> list[int]:
    """Counts of the next group that leave a way to the target, tried one by one."""
    place, rungs = len(decided), space.rungs
    rest = [rung[0] for rung in rungs[place + 1 :]]
    limit = space.problem.limits["macs"]
    rows = {int(n): np.array([[*decided, n, *rest]]) for n in rungs[place]}
    return [n for n, row in rows.items() if space.costs(row).macs[0] <= limit]


@pytest.mark.parametrize("target", ["macs=30%", "macs=50%", "macs=90%"])
def test_the_upper_wall_is_the_largest_count_that_leaves_a_way(target: str, tiny: CostModel) -> None:
    space = tiny_space(tiny, target)
    walls = Walls(space, lower=False)
    for decided in ((), *((n,) for n in brute(space))):
        assert walls.count(none(*decided), 1.0) == max(brute(space, *decided))


def test_the_walls_by_hand(tiny: CostModel) -> None:
    """24 of 48 MACs: 3 a + a c + 2 c <= 24. At c = 1 four a cost 18; at c = 6 one a costs 21, two 30."""
    walls = Walls(tiny_space(tiny), lower=True)
    assert walls.between(none()) == (1, 3)
    assert walls.between(none(1)) == (5, 5)
    assert walls.between(none(2)) == (3, 3)  # 6 + 2 c + 2 c: c = 4
    assert walls.between(none(4)) == (1, 1)  # 12 + 4 c + 2 c: c = 2


def test_what_could_not_be_made_up_for_is_not_given_away(tiny: CostModel) -> None:
    """38 of 48 MACs: with all six c, three a cost 39 and two 30; so two a would leave 8 MACs for good."""
    space = tiny_space(tiny, "macs=80%")
    assert Walls(space, lower=True).count(none(), 0.0) == 3
    assert Walls(space, lower=False).count(none(), 0.0) == 1


def test_a_ratio_becomes_the_nearest_count_within_the_walls(tiny: CostModel) -> None:
    walls = Walls(tiny_space(tiny, "macs=90%"), lower=False)
    assert [walls.count(none(), ratio) for ratio in (0.3, 0.55, 0.7, 1.0)] == [1, 2, 3, 4]


def test_alike_is_the_largest_common_ratio(tiny: CostModel) -> None:
    """3 a + a c + 2 c with a = 4 u and c = 6 u rounded: u = 0.625 gives 2 and 4, 22; u = 0.64, 3 and 4."""
    space = tiny_space(tiny)
    found = Walls(space, lower=True).even(none())
    pairs = {u: np.rint(none(4, 6) * u).astype(np.int64) for u in (found, found + 1 / 64)}
    costs = {u: int(space.costs(pair[None]).macs[0]) for u, pair in pairs.items()}
    assert costs[found] <= 24 < costs[found + 1 / 64]


def test_the_published_wall_by_hand(tiny: CostModel) -> None:
    """(B - other) / this: c at ceil(0.2 x 6) = 2; without a 4 MACs, with all of a 24; c adds 2 a + 2 ... ."""
    wall = PaperWall(tiny_space(tiny), "macs", 0.2)
    assert wall.most(none()) == pytest.approx((24 - 4) / (12 + 8))
    assert wall.most(none(3)) == pytest.approx((24 - 9) / (18 + 12))
    assert wall.count(none(3), 1.0) == 3
    assert wall.count(none(3), 0.0) == round(0.2 * 6)


def test_the_published_wall_passes_over_groups_of_several_layers(world: World) -> None:
    space = Space.of(problem_of(world, target="macs=10%", align=1))
    wall = PaperWall(space, "macs", 0.2)
    groups = space.problem.groups.prunable
    whole = [space.channels[:place] for place in range(len(groups))]  # all is kept before each
    assert 0 < sum(map(shared, groups)) < len(groups)
    held = [wall.count(decided, 1.0) for decided in whole]
    for group, decided, count in zip(groups, whole, held, strict=True):
        walled = round(max(0.2, min(1.0, wall.most(decided))) * group.channels)
        assert count == (group.channels if shared(group) else walled)
    assert any(count < group.channels for count, group in zip(held, groups, strict=True))


def test_the_last_group_takes_what_the_bounds_have_left(world: World) -> None:
    agent = agent_of(world)
    for action in (0.1, 0.5, 0.9):
        kept = agent.space.kept(agent.walk(lambda _, action=action: action).masks)  # type: ignore[misc]
        rungs = agent.space.rungs[-1]
        more = kept.copy()
        more[-1] = rungs[min(len(rungs) - 1, np.searchsorted(rungs, kept[-1]) + 1)]
        limit = agent.problem.limits["macs"]
        assert agent.space.costs(kept[None]).macs[0] <= limit
        assert more[-1] == kept[-1] or agent.space.costs(more[None]).macs[0] > limit


def test_half_keeps_all_groups_about_alike_and_one_keeps_everything_it_may(world: World) -> None:
    agent = agent_of(world)
    ratios = agent.space.kept(agent.walk(lambda _: 0.5).masks) / agent.space.channels
    assert ratios.std() < 0.12
    assert agent.ratio(none(), 1.0) == 1.0
    assert agent.ratio(none(), 0.0) == pytest.approx(0.0, abs=1e-6)


def test_the_state_tells_what_is_reduced_what_is_left_and_the_last_action(tiny: CostModel) -> None:
    agent = make(problem_of(world_of(tiny), align=1), QUICK)
    first, second = agent.seen(none()), agent.seen(none(2))
    assert first[-3:].tolist() == pytest.approx([0, 36 / 48, 1])  # without c, 3 a is left
    assert second[-3:].tolist() == pytest.approx([1 - 30 / 48, 0, 0.5])


def test_the_features_are_the_extents_of_the_nodes(world: World) -> None:
    """Of the first convolutions of a ResNet-20: 3 to 16 channels, then 16 to 16, and so on, at 32 x 32."""
    space = Space.of(problem_of(world))
    found = dict(zip(FEATURES["paper"], static_features(space, "paper", "macs").T, strict=True))
    assert found["index"].tolist() == pytest.approx(np.linspace(0, 1, len(space.channels)))
    assert found["outputs"].tolist() == [0] * 4 + [pytest.approx(1 / 3)] * 4 + [1] * 4
    assert found["inputs"][0] == 0
    assert found["height"].tolist() == found["width"].tolist()
    assert (found["height"][0], found["height"][-1]) == (1, 0)
    assert not found["kernel"].any()  # all are 3 x 3: there is nothing to tell
    strided = {1 - height for height in found["height"][found["stride"] == 1]}
    assert strided <= {1 - (16 - 8) / (32 - 8), 1.0}


@pytest.mark.parametrize(("kind", "width"), [("paper", 11), ("code", 10)])
def test_a_state_has_as_many_numbers_as_published(kind: str, width: int, world: World) -> None:
    agent = agent_of(world, features=kind)
    assert agent.seen(none()).shape == (width,)
    walk = agent.walk(lambda _: 0.5)
    assert isinstance(walk, Walk)
    assert np.isfinite(walk.states).all()
    assert walk.states[:, :-3].min() == 0
    assert walk.states[:, :-3].max() == 1


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("model", ["resnet20", "encoder_split"])
def test_every_episode_meets_every_kind_of_target(
    model: str, target: str, variant: str, cost_models: dict[str, CostModel]
) -> None:
    known = world_of(cost_models[model])
    agent = agent_of(known, evaluations=40, target=target, variant=variant)
    run = search(agent, known, evaluations=40)
    assert len(run.flat) == 40
    assert all(outcome.violation == 0 for outcome in run.flat)
    assert {candidate.note for batch in run.batches for candidate in batch} == {"warm-up", "sampled"}
    (final,) = agent.final()
    assert agent.problem.target.met_by(known.cost_model.count(final.masks), original=agent.problem.whole)


@pytest.mark.parametrize("target", ["params=45%", "macs=60% params=50%"])
@pytest.mark.parametrize("model", ["resnet20", "encoder_split"])
def test_nothing_of_the_budget_is_left_that_a_step_of_a_group_fits_into(
    model: str, target: str, cost_models: dict[str, CostModel]
) -> None:
    known = world_of(cost_models[model])
    agent = agent_of(known, target=target)
    space = agent.space
    for candidate in agent.ask(24):
        kept = space.kept(candidate.masks)
        for group, rungs in enumerate(space.rungs):
            more = kept.copy()
            more[group] = next((count for count in rungs if count > kept[group]), 0)
            assert not more[group] or not within(space, more[None])[0]


def test_what_is_filled_keeps_what_was_walked(world: World) -> None:
    agent = agent_of(world, target="params=45%")
    rng = np.random.default_rng(0)
    for _ in range(8):
        kept = none()
        for _ in agent.space.channels:
            kept = np.append(kept, agent.walls.count(kept, rng.random()))
        assert (agent.space.kept(agent.filled(kept)) >= kept).all()


def test_a_reward_by_cost_lets_less_be_kept_than_the_bounds_allow(world: World) -> None:
    agent = agent_of(world, reward="cost", target="macs=90%")
    costs = [world.cost_model.count(candidate.masks).macs for candidate in agent.ask(16)]
    assert max(costs) < 0.8 * agent.problem.whole.macs
    assert min(costs) < 0.4 * agent.problem.whole.macs


def test_it_learns_once_for_each_transition_after_the_warm_up(world: World) -> None:
    agent = agent_of(world, evaluations=64, warm_up=10)
    search(agent, world, evaluations=8)
    (layer,) = [p for name, p in agent.ddpg.actor.named_parameters() if name == "layers.0.bias"]
    assert not agent.ddpg.actor_optimizer.state
    search(agent, world, evaluations=5)
    steps = agent.ddpg.actor_optimizer.state[layer]["step"]
    assert steps == 3 * agent.steps


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_goes_on_bit_for_bit_from_its_state(variant: str, small_world: World, tmp_path: Path) -> None:
    straight, stopped, resumed = (agent_of(small_world, variant=variant) for _ in range(3))
    whole = search(straight, small_world, batches=4).masks
    search(stopped, small_world, batches=2)
    save_state(tmp_path / "state.npz", stopped.state())
    search(stopped, small_world, batches=1)  # what comes later must not reach into the state
    resumed.restore(load_state(tmp_path / "state.npz"))
    rest = search(resumed, small_world, batches=2).masks
    assert [masks_hash(masks) for masks in rest] == [masks_hash(masks) for masks in whole[32:]]
    for name, network in resumed.ddpg.networks.items():
        twin = straight.ddpg.networks[name].state_dict()
        assert all(torch.equal(weight, twin[part]) for part, weight in network.state_dict().items())


def test_known_masks_are_not_proposed_again_but_as_published(small_world: World) -> None:
    """With little noise and nothing learnt a policy gives few walks; noise grows until another comes."""
    still = {"noise": 0.02, "warm_up": 0, "actor_rate": 1e-12}
    different = {}
    for tries in (1, 16):
        run = search(agent_of(small_world, tries=tries, **still), small_world, evaluations=32)
        different[tries] = len({masks_hash(masks) for masks in run.masks})
    assert different[1] < 8
    assert different[16] > 24, different
    assert agent_of(small_world, variant="paper").options.tries == 1


@pytest.mark.parametrize(
    ("given", "least", "most"),
    [
        ({}, 0.3, 0.7),
        ({"least_action": 0.45}, 0.45, 0.55),
        ({"action": "ratio"}, 0.2, 1.0),
        ({"reward": "cost", "least_ratio": 0.6}, 0.6, 1.0),
        ({"variant": "paper"}, 0.2, 1.0),
    ],
)
def test_the_warm_up_draws_about_what_is_alike_or_ratios_as_published(
    given: dict[str, object], least: float, most: float, world: World
) -> None:
    agent = agent_of(world, evaluations=64, warm_up=20, **given)
    agent.ask(20)
    drawn = np.concatenate([walk.actions for walk in agent.walks])
    width = most - least
    assert least <= drawn.min() < least + 0.05 * width
    assert most - 0.05 * width < drawn.max() <= most


def test_failed_outcomes_are_survived(small_world: World) -> None:
    agent = agent_of(small_world)
    assert len(search(agent, small_world, evaluations=64, fails=frozenset(range(40))).flat) == 64
    assert len(agent.memory.episodes) == 24
    assert all(torch.isfinite(weight).all() for weight in agent.ddpg.actor.parameters())


def test_another_criterion_decides_which_channels_stay(world: World) -> None:
    masks = agent_of(world, criterion="fpgm").ask(1)[0].masks
    for name, bits in masks.items():
        scores = world.scores["fpgm"][name]
        assert bits.all() or scores[bits].min() >= scores[~bits].max()


def test_it_takes_no_part_in_the_global_random_state(small_world: World) -> None:
    before = torch.get_rng_state()
    search(agent_of(small_world), small_world, batches=2)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.slow
def test_it_learns_and_beats_random(cost_models: dict[str, CostModel]) -> None:
    """On average, with equal evaluations; and its policy ends far above where its episodes began."""
    found: dict[str, list[float]] = {"random": [], "amc": []}
    for seed in range(4):
        known = world_of(cost_models["resnet20"], seed)
        problem = problem_of(known, evaluations=160, seed=seed)
        agent = make(problem, {"hidden": 64})
        random = AGENTS["random"].make(problem, None)
        run = search(agent, known, evaluations=160)
        found["amc"].append(run.best())
        found["random"].append(search(random, known, evaluations=160).best())
        begun = np.mean([outcome.accuracy for outcome in run.outcomes[0]])  # type: ignore[misc]
        assert known.accuracy(agent.final()[0].masks) > begun
    assert np.mean(found["amc"]) > np.mean(found["random"])


@pytest.mark.parametrize(
    "given", [{"features": "all"}, {"action": "odd"}, {"walls": "lower"}, {"variant": ""}]
)
def test_options_that_make_no_sense_are_refused(given: dict[str, object], small_world: World) -> None:
    with pytest.raises(UsageError, match="is one of") as caught:
        agent_of(small_world, **given)
    assert caught.value.code == "E202"


@pytest.mark.parametrize("least", [-0.1, 0.5])
def test_a_warm_up_that_is_not_about_a_half_is_refused(least: float, small_world: World) -> None:
    with pytest.raises(UsageError, match="least_action is not below 0, and below") as caught:
        agent_of(small_world, least_action=least)
    assert caught.value.code == "E202"


def test_a_warm_up_as_long_as_the_search_is_refused(small_world: World) -> None:
    assert agent_of(small_world, evaluations=32, warm_up=31).course.warm_up == 31
    with pytest.raises(UsageError, match="warm_up 32: there are 32 evaluations") as caught:
        agent_of(small_world, evaluations=32, warm_up=32)
    assert (caught.value.code, caught.value.hint) == (
        "E202",
        "--evaluations 33 or more, or a shorter warm_up",
    )


def test_the_table_knows_its_variants(small_world: World) -> None:
    problem = problem_of(small_world)
    agents = [AGENTS["amc"].make(problem, {"variant": name}) for name in AGENTS["amc"].variants]
    assert [agent.options.walls for agent in agents if isinstance(agent, Amc)] == ["both", "paper"]
    assert agents[1].options.action == "ratio"  # type: ignore[attr-defined]


def test_what_makes_a_group_is_the_first_that_has_it(world: World, small_world: World) -> None:
    """So a group that no node is known to make has the features of the first that it runs through."""
    for known in (world, small_world):
        rows = ChannelRows.of(known.cost_model.groups)
        vertices = find_vertices(rows)
        found = [first_with(rows, vertices, group) for group in range(len(rows.groups.prunable))]
        assert found == first_makers(rows, vertices).tolist()

"""rl-pruner as a whole: what it learns from a stage, what it carries on, every kind of target met."""

from pathlib import Path

import numpy as np
import pytest

from onnxprune.agents.rl_pruner import RlPruner, make
from onnxprune.agents.table import AGENTS
from onnxprune.agents.types import Candidate, Outcome
from onnxprune.cost import CostModel
from onnxprune.errors import UsageError
from onnxprune.masks import masks_hash
from onnxprune.search.checkpoint import load_state, save_state
from tests.agents.conftest import World, outcome_of, problem_of, search, world_of

VARIANTS = ("fixed", "paper")
TARGETS = ("macs=50%", "params=60%", "bytes=40%", "macs=60% params=50% bytes=70%")


def tell(agent: RlPruner, world: World, candidates: list[Candidate]) -> list[Outcome]:
    outcomes = [outcome_of(world, agent.problem, candidate.masks) for candidate in candidates]
    agent.tell(candidates, outcomes)
    return outcomes


def agent_of(world: World, *, evaluations: int = 200, seed: int = 0, **options: object) -> RlPruner:
    return make(problem_of(world, evaluations=evaluations, seed=seed), options)


def test_a_stage_moves_the_policy_to_its_best_action_as_computed_by_hand(world: World) -> None:
    agent = agent_of(world, steps=4, epsilon=0)
    before, asked = agent.policy, agent.ask(16)
    assert [candidate.note for candidate in asked] == ["step 1 of 4"] * len(asked)
    by_key = {masks_hash(c.masks): o for c, o in zip(asked, tell(agent, world, asked), strict=True)}
    action = max(agent.nodes, key=lambda node: by_key[node.key].accuracy).action
    agent.ask(1)
    ratios = np.clip(1 + 0.1 * (action / before - 1), 0.8, 1.2)
    moved = np.maximum(before * ratios, 1e-5)
    assert agent.policy == pytest.approx(moved / moved.sum(), abs=1e-12)
    assert not np.allclose(agent.policy, before)


def test_a_stage_that_is_no_better_leaves_the_policy_alone(world: World) -> None:
    agent = agent_of(world, steps=2)
    for worth in (0.9, 0.8):
        asked = agent.ask(100)  # learns from the stage before
        agent.tell(asked, [Outcome(worth, 0.0, agent.problem.whole) for _ in asked])
    first = agent.policy
    agent.close_stage()
    assert agent.best_q == 0.9
    assert np.array_equal(agent.policy, first)
    assert not np.array_equal(agent.policy, agent.first)


def test_the_best_model_of_a_step_is_carried_on(world: World) -> None:
    agent = agent_of(world, steps=4, stages=2, epsilon=0)
    told: dict[str, float] = {}
    while agent.step == 0:
        asked = agent.ask(16)
        if agent.step == 0:
            told |= {
                masks_hash(c.masks): o.accuracy or 0.0
                for c, o in zip(asked, tell(agent, world, asked), strict=True)
            }
    assert told[masks_hash(agent.masks_of(agent.kept))] == max(told.values())


@pytest.mark.parametrize("explores", ["update", "carry"])
def test_epsilon_explores_in_the_update_or_in_what_is_carried(explores: str, world: World) -> None:
    """At epsilon 1 one of both is drawn from the buffer, for some seed not the best; the other is greedy."""
    updates, carries = set(), set()
    for seed in range(8):
        agent = agent_of(
            world, seed=seed, steps=2, stages=1, epsilon=1, exploration=1, decay="constant", explores=explores
        )
        first, asked = agent.policy, agent.ask(16)
        tell(agent, world, asked)
        best = max(agent.nodes, key=agent.reward)
        agent.ask(1)
        moved = best.action - first
        updates.add(bool(np.corrcoef(agent.policy - first, moved)[0, 1] > 0.5))
        carries.add(masks_hash(agent.masks_of(agent.kept)) == best.key)
    assert False in (updates if explores == "update" else carries)
    assert (carries if explores == "update" else updates) == {True}


def test_a_step_that_fell_too_deep_is_taken_again_once_with_the_first_policy(world: World) -> None:
    agent = agent_of(world, variant="paper", steps=3, stages=1)
    worths = {1: 0.9, 2: 0.5, 3: 0.5, 4: 0.4}  # the second stage falls by more than a tenth; again; then on
    steps = []
    for worth in worths.values():
        asked = agent.ask(100)
        steps.append((agent.step, agent.again, bool(np.allclose(agent.policy, agent.first))))
        agent.tell(asked, [Outcome(worth, 1.0, agent.problem.whole) for _ in asked])
    assert [(step, again) for step, again, _ in steps] == [(0, False), (1, False), (1, True), (2, False)]
    assert [fresh for _, _, fresh in steps] == [True, False, True, False]


@pytest.mark.parametrize(
    ("kind", "weights"), [("accuracy", (0, 0)), ("macs", (0.25, 0)), ("params", (0, 0.25))]
)
def test_the_reward_adds_what_is_saved(kind: str, weights: tuple[float, float], world: World) -> None:
    agent = agent_of(world, reward=kind)
    asked = agent.ask(1)
    (outcome,) = tell(agent, world, asked)
    node = next(node for node in agent.nodes if node.key == masks_hash(asked[0].masks))
    whole, cost = agent.problem.whole, outcome.cost
    alpha, beta = weights
    saved = alpha * (1 - cost.macs / whole.macs) + beta * (1 - cost.params / whole.params)
    assert agent.reward(node) == pytest.approx((outcome.accuracy or 0.0) + saved)
    assert (saved > 0) == (kind != "accuracy")


def test_weights_that_are_given_go_before_those_of_the_kind(world: World) -> None:
    options = agent_of(world, reward="macs", alpha=0.5, beta=0.125).options
    assert (options.alpha, options.beta) == (0.5, 0.125)


def test_a_look_ahead_asks_for_children_of_children_and_carries_only_children(world: World) -> None:
    agent = agent_of(world, steps=3, stages=1, depth=2, samples=4)
    asked = agent.ask(100)
    assert {candidate.note for candidate in asked} == {"step 1 of 3", "step 2 of 3"}
    assert [node.level for node in agent.nodes] == [1, 2, 2] * 4
    assert len({node.key for node in agent.nodes}) == len(asked)
    children = [node.key for node in agent.nodes if node.level == 1]
    tell(agent, world, asked)
    agent.ask(1)
    assert agent.step == 1
    assert masks_hash(agent.masks_of(agent.kept)) in children


def test_another_criterion_decides_which_channels_stay(world: World) -> None:
    chosen = [agent_of(world, criterion=name).ask(1)[0].masks for name in ("prior", "l2", "fpgm")]
    assert len({masks_hash(masks) for masks in chosen[:2]}) == 1
    for name, bits in chosen[2].items():
        scores = world.scores["fpgm"][name]
        assert bits.all() or scores[bits].min() >= scores[~bits].max()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("model", ["resnet20", "encoder_split"])
def test_its_steps_end_at_every_kind_of_target(
    model: str, target: str, variant: str, cost_models: dict[str, CostModel]
) -> None:
    known = world_of(cost_models[model])
    problem = problem_of(known, evaluations=60, target=target)
    agent = make(problem, {"variant": variant, "steps": 3, "stages": 1})
    run = search(agent, known, evaluations=60)
    notes = [candidate.note for batch in run.batches for candidate in batch]
    arrived = [o for note, o in zip(notes, run.flat, strict=True) if note == "target"]
    assert len(run.flat) == 60
    assert len(arrived) >= 20
    assert all(outcome.violation == 0 for outcome in arrived)
    assert all(
        outcome.violation > 0 for note, outcome in zip(notes, run.flat, strict=True) if note != "target"
    )
    (final,) = agent.final()
    assert problem.target.met_by(known.cost_model.count(final.masks), original=problem.whole)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("depth", [1, 2])
def test_it_goes_on_bit_for_bit_from_a_checkpoint_in_the_middle_of_a_stage(
    variant: str, depth: int, small_world: World, tmp_path: Path
) -> None:
    straight, stopped, resumed = (
        agent_of(small_world, variant=variant, depth=depth, steps=3, samples=9, evaluations=150)
        for _ in range(3)
    )
    whole = search(straight, small_world, evaluations=150).masks
    done = 0
    for size in (16, 16, 7):
        done += len(asked := stopped.ask(size))
        tell(stopped, small_world, asked)
    save_state(tmp_path / "state.npz", stopped.state())
    resumed.restore(load_state(tmp_path / "state.npz"))
    rest = search(resumed, small_world, evaluations=150 - done).masks
    assert [masks_hash(masks) for masks in rest] == [masks_hash(masks) for masks in whole[done:]]
    assert np.array_equal(resumed.policy, straight.policy)


def test_where_every_mask_of_a_step_fails_the_policy_alone_goes_on(world: World) -> None:
    agent = agent_of(world, steps=2, stages=1, evaluations=40)
    search(agent, world, evaluations=40, fails=frozenset(range(40)))
    assert agent.last
    assert np.array_equal(agent.policy, agent.first)


@pytest.mark.parametrize("align", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_the_fixed_variant_beats_random_and_the_papers_on_average(
    align: int, cost_models: dict[str, CostModel]
) -> None:
    """The paper's last step is as blind as its first, and its rounding leaves thin groups alone."""
    found: dict[str, list[float]] = {"random": [], "fixed": [], "paper": []}
    for seed in range(4):
        known = world_of(cost_models["resnet20"], seed)
        problem = problem_of(known, evaluations=160, seed=seed, align=align)
        agents = {name: make(problem, {"variant": name}) for name in VARIANTS}
        for name, agent in {"random": AGENTS["random"].make(problem, None), **agents}.items():
            found[name].append(search(agent, known, evaluations=160).best())
    means = {name: float(np.mean(values)) for name, values in found.items()}
    assert means["fixed"] > means["random"]
    assert means["fixed"] > means["paper"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"variant": "old"}, "variant is one of fixed, paper"),
        ({"decay": "fast"}, "decay is one of"),
        ({"explores": "both"}, "explores is one of auto, update, carry"),
        ({"reward": "r2"}, "reward is one of accuracy, macs, params"),
        ({"criterion": "l7"}, "criterion is prior or one of"),
        ({"samples": 0}, "at least 1"),
        ({"steps": -1}, "not below 0"),
        ({"narrowing": 0.0}, r"lie in \(0, 1\]"),
        ({"gamma": 1.5}, "shares of 1"),
        ({"clip": 1.0}, "between 0 and 1"),
        ({"nu": -1.0}, "not below 0"),
        ({"steps": 30}, "30 x 1 x 10 need 300 evaluations, there are 200"),
    ],
)
def test_options_that_make_no_sense_are_refused(given: dict[str, object], said: str, world: World) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        agent_of(world, **given)
    assert caught.value.code == "E202"


def test_the_table_knows_its_variants(world: World) -> None:
    for variant in AGENTS["rl-pruner"].variants:
        assert agent_of(world, variant=variant).options.variant == variant

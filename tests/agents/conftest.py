"""A search whose answer is known: the accuracy is a sum over channels that the prior knows only in part."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from onnxprune.agents.types import Agent, Candidate, Outcome, Problem
from onnxprune.cost import CostModel
from onnxprune.criteria import CRITERIA
from onnxprune.errors import DataError
from onnxprune.groups import find_groups
from onnxprune.masks import Masks
from onnxprune.onnx_file import load_graph
from onnxprune.target import Alignment, Constraints, parse_target, settle
from tests.exported import export_case
from tests.onnx_file.small_models import normal, parsed

Floats = NDArray[np.float64]
BATCH = 16
NEEDS_DATA = {name for name, criterion in CRITERIA.items() if criterion.needs_data}


@dataclass(frozen=True)
class World:
    """Accuracy = 1 - sum over groups of weight * (share of the group's value that is lost) ** 2.

    Attributes:
        values: True value of each channel by group name; each group's sum to 1.
        weights: How much a group matters.
        scores: What criteria see: the values with noise, and another scale in every group.
    """

    cost_model: CostModel
    values: Mapping[str, Floats]
    weights: Mapping[str, float]
    scores: Mapping[str, Mapping[str, Floats]]

    def accuracy(self, masks: Masks) -> float:
        lost = {name: float(self.values[name][~bits].sum()) for name, bits in masks.items()}
        return 1.0 - sum(self.weights[name] * share**2 for name, share in lost.items())

    def criterion(self, name: str) -> Mapping[str, Floats]:
        if name in NEEDS_DATA - self.scores.keys():
            raise DataError("E501", f"{name} needs inputs")
        return self.scores[name]


@pytest.fixture(scope="session")
def cost_models(exported_folder: Path) -> dict[str, CostModel]:
    names = ("resnet20", "densenet", "encoder_split")
    paths = {name: export_case(name, "torchscript", exported_folder) for name in names}
    return {name: CostModel(find_groups(load_graph(path))) for name, path in paths.items()}


def world_of(cost_model: CostModel, seed: int = 0) -> World:
    """Log-normal values; weights over a factor of thirty; each criterion with noise of its own."""
    rng = np.random.default_rng(seed)
    groups = cost_model.groups.prunable
    values = {group.name: np.exp(rng.standard_normal(group.channels)) for group in groups}
    values = {name: row / row.sum() for name, row in values.items()}
    weights = np.exp(1.2 * rng.standard_normal(len(groups)))
    weights /= weights.sum()

    def noisy(spread: float) -> dict[str, Floats]:
        scale = {name: np.exp(rng.standard_normal()) for name in values}
        noise = {name: np.exp(spread * rng.standard_normal(len(row))) for name, row in values.items()}
        return {name: scale[name] * noise[name] * row for name, row in values.items()}

    spreads = {
        "l2": 0.7,
        "l1": 0.8,
        "group-l2": 0.9,
        "fpgm": 1.0,
        "bn-scale": 1.5,
        "random": 4.0,
        "taylor": 0.7,
    }
    scores = {name: noisy(spread) for name, spread in spreads.items()}
    return World(cost_model, values, dict(zip(values, weights.tolist(), strict=True)), scores)


def problem_of(
    world: World, *, evaluations: int = 256, seed: int = 0, target: str = "macs=50%", align: int = 4
) -> Problem:
    bounds, asked = parse_target(target.split()), Constraints(Alignment(align, align))
    constraints = settle(world.cost_model, target=bounds, constraints=asked)
    return Problem(world.cost_model, bounds, constraints, world.criterion, "l2", evaluations, seed)


def outcome_of(
    world: World, problem: Problem, masks: Masks, *, failed: bool = False, given_up: bool = False
) -> Outcome:
    """What masks are worth; an estimate of those that were given up promises what none can reach."""
    cost = world.cost_model.count(masks)
    limits = problem.target.limits(problem.whole)
    violation = max((getattr(cost, name) / limit - 1 for name, limit in limits.items()), default=0.0)
    accuracy = None if failed else world.accuracy(masks) + given_up
    rows, error = 25 if given_up else 100, "it broke" if failed else ""
    return Outcome(accuracy, max(0.0, violation), cost, rows, error, given_up)


@dataclass(frozen=True)
class Run:
    """Everything that an agent asked for, and what it was told."""

    batches: list[list[Candidate]]
    outcomes: list[list[Outcome]]

    @property
    def masks(self) -> list[Masks]:
        return [candidate.masks for batch in self.batches for candidate in batch]

    @property
    def flat(self) -> list[Outcome]:
        return [outcome for batch in self.outcomes for outcome in batch]

    def best(self, batches: int | None = None) -> float:
        """Of the first so many batches, or of all."""
        told = [outcome for batch in self.outcomes[:batches] for outcome in batch]
        return max((o.accuracy for o in told if o.accuracy is not None and o.feasible), default=-np.inf)


def search(
    agent: Agent,
    world: World,
    *,
    evaluations: int = 10**6,
    batches: int = 10**6,
    fails: frozenset[int] = frozenset(),
    given_up: frozenset[int] = frozenset(),
) -> Run:
    """The loop of every search, in batches of `BATCH`; which evaluations fail or are given up, by number."""
    run, done = Run([], []), 0
    while (
        done < evaluations
        and len(run.batches) < batches
        and (asked := agent.ask(min(BATCH, evaluations - done)))
    ):
        outcomes = [
            outcome_of(
                world, agent.problem, candidate.masks, failed=number in fails, given_up=number in given_up
            )
            for number, candidate in enumerate(asked, done)
        ]
        agent.tell(asked, outcomes)
        run.batches.append(asked)
        run.outcomes.append(outcomes)
        done += len(asked)
    return run


@pytest.fixture(scope="session")
def world(cost_models: dict[str, CostModel]) -> World:
    return world_of(cost_models["resnet20"])


@pytest.fixture(scope="session")
def small_world(cost_models: dict[str, CostModel]) -> World:
    """With a quarter of the channels, for what holds in any world."""
    return world_of(cost_models["encoder_split"])


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> CostModel:
    """Two groups, of 4 and 6 channels; with a and c of them kept it has 3 a + a c + 2 c MACs and params."""
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("tiny") / "tiny.onnx"
    model = parsed(
        """<ir_version: 8, opset_import: ["" : 17]>
        tiny (float[1, 3] x) => (float[1, 2] y) {
            a = MatMul(x, a_w)
            b = Relu(a)
            c = MatMul(b, c_w)
            d = Relu(c)
            y = MatMul(d, y_w)
        }""",
        a_w=normal(rng, 3, 4),
        c_w=normal(rng, 4, 6),
        y_w=normal(rng, 6, 2),
    )
    onnx.save(model, path)
    return CostModel(find_groups(load_graph(path)))

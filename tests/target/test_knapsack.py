"""The knapsack: against all choices tried one by one, on tables of numbers and on real models."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from onnxprune.allocation import allocate
from onnxprune.cost import CostModel
from onnxprune.target import Alignment, Constraints, fill, knapsack, parse_target
from onnxprune.target.knapsack import choose
from tests.target.conftest import NAMES

Floats = NDArray[np.float64]
FREE = Constraints(Alignment(1, 1), min_keep=1)


def best_by_trying(worths: list[Floats], costs: list[Floats], budget: float) -> float:
    """The most that any choice under the budget is worth."""
    totals = [
        sum(worth[i] for worth, i in zip(worths, chosen, strict=True))
        for chosen in product(*(range(len(worth)) for worth in worths))
        if sum(cost[i] for cost, i in zip(costs, chosen, strict=True)) <= budget
    ]
    return float(max(totals))


def total(tables: list[Floats], chosen: list[int]) -> float:
    return float(sum(table[i] for table, i in zip(tables, chosen, strict=True)))


@st.composite
def tables(draw: st.DrawFn, *, whole: bool) -> tuple[list[Floats], list[Floats], float]:
    """Worths and costs of up to four groups; costs need not rise with the count, as with measured times."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    worths = [np.cumsum(rng.random(size)) for size in sizes]
    costs = [rng.integers(0, 60, size).astype(float) if whole else 60 * rng.random(size) for size in sizes]
    costs = [cost - cost.min() for cost in costs]
    most = sum(cost.max() for cost in costs)
    budget = draw(st.integers(0, 1000)) / 1000 * most
    return worths, costs, float(int(budget)) if whole else budget


@given(tables(whole=True))
def test_with_whole_costs_nothing_is_worth_more(case: tuple[list[Floats], list[Floats], float]) -> None:
    worths, costs, budget = case
    chosen = choose(worths, costs, budget)
    assert total(costs, chosen) <= budget
    assert total(worths, chosen) == pytest.approx(best_by_trying(worths, costs, budget))


@given(tables(whole=False))
def test_with_any_costs_it_is_worth_what_a_budget_less_one_unit_a_group_buys(
    case: tuple[list[Floats], list[Floats], float],
) -> None:
    worths, costs, budget = case
    chosen = choose(worths, costs, budget)
    assert total(costs, chosen) <= budget * (1 + 1e-9)
    least = best_by_trying(worths, costs, budget * (1 - len(worths) / knapsack.GRID))
    assert total(worths, chosen) >= least - 1e-9


def test_a_coarse_grid_still_keeps_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knapsack, "GRID", 7)
    worths, costs = [np.array([0.0, 1, 5])] * 3, [np.array([0.0, 0.4, 1.1])] * 3
    assert total(costs, choose(worths, costs, 2.0)) <= 2.0


def scores_of(cost_model: CostModel, seed: int = 0) -> dict[str, Floats]:
    rng = np.random.default_rng(seed)
    return {
        g.name: np.exp(rng.standard_normal(g.channels) + 2 * rng.standard_normal())
        for g in cost_model.groups.prunable
    }


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("texts", [["macs=50%"], ["params=60%"], ["bytes=40%"], ["macs=70%", "params=50%"]])
def test_every_bound_is_met_on_the_rungs(
    name: str, texts: list[str], cost_models: dict[str, CostModel]
) -> None:
    cost_model, target = cost_models[name], parse_target(texts)
    worth = {n: -np.sort(-values) for n, values in scores_of(cost_model).items()}
    kept = fill(worth, cost_model, target=target, constraints=FREE)
    costs = cost_model.count_kept(kept[None])
    for quantity, limit in target.limits(cost_model.count({})).items():
        assert getattr(costs, quantity)[0] <= limit
    assert (kept >= 1).all()
    assert (kept <= cost_model.channels).all()


@pytest.mark.parametrize("name", NAMES)
def test_it_keeps_more_than_other_allocations_of_the_same_scores(
    name: str, cost_models: dict[str, CostModel]
) -> None:
    cost_model, target = cost_models[name], parse_target(["macs=60%"])
    for seed in range(4):
        scores = scores_of(cost_model, seed)
        kept = {
            how: sum(
                scores[group][bits].sum()
                for group, bits in allocate(
                    scores, cost_model, target=target, constraints=FREE, how=how
                ).items()
            )
            for how in ("uniform", "global", "absolute", "per-mac", "knapsack")
        }
        assert kept["knapsack"] >= 0.995 * max(kept.values())


def test_it_comes_near_the_best_of_all_counts_of_a_chain(chain: CostModel) -> None:
    """Costs are products over neighbours here, so that no proof holds; all 8^3 choices are tried."""
    for seed in range(5):
        scores = scores_of(chain, seed)
        worth = {name: np.concatenate([[0.0], np.cumsum(-np.sort(-v))]) for name, v in scores.items()}
        free = [chain.names.index(group) for group in scores]
        some = np.array(list(product(range(1, 9), repeat=3)))
        every = np.tile(chain.channels, (len(some), 1))
        every[:, free] = some
        fits = chain.count_kept(every).macs <= 0.5 * chain.count({}).macs
        values = sum(worth[name][counts] for name, counts in zip(scores, some.T, strict=True))
        masks = allocate(scores, chain, target=parse_target(["macs=50%"]), constraints=FREE, how="knapsack")
        found = sum(scores[name][bits].sum() for name, bits in masks.items())
        assert found >= 0.97 * values[fits].max()

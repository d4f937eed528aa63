"""Costs of eliminations, against what taking all channels out at once costs."""

import numpy as np
import pytest
from numpy.typing import NDArray

from onnxprune.criteria import elimination
from onnxprune.criteria.elimination import WAITING, Block, eliminate, inverse_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Product = tuple[Floats, Floats, Ints]
SCALE = 3.0


def product(channels: int, width: int, others: int, seed: int = 0) -> Product:
    """A weight, an inverse Gram matrix, and columns that lie anywhere."""
    rng = np.random.default_rng(seed)
    columns = channels * width + others
    x = rng.standard_normal((2 * columns, columns)) @ rng.standard_normal((columns, columns))
    gram = x.T @ x / len(x)
    gram += 1e-3 * np.diagonal(gram).mean() * np.eye(columns)
    weight = rng.standard_normal((columns, 5))
    inverse: Floats = np.linalg.inv(gram).astype(np.float64)
    return weight, inverse, rng.permutation(columns)[: channels * width].reshape(channels, width)


def cost_of(weight: Floats, inverse: Floats, gone: Ints) -> float:
    """tr(W_R^T ((H^-1)_RR)^-1 W_R): what taking R out costs, however it is done."""
    own = weight[gone]
    return float(np.trace(own.T @ np.linalg.solve(inverse[np.ix_(gone, gone)], own))) / SCALE


def one_by_one(readers: list[Product], channels: int, at_once: int) -> Floats:
    """Scores by taking columns out of whole inverses."""
    states = [(weight.copy(), inverse.copy(), columns) for weight, inverse, columns in readers]
    alive, scores, reached = list(range(channels)), np.zeros(channels), 0.0
    while alive:
        costs = [sum(cost_of(w, a, columns[c]) for w, a, columns in states) for c in alive]
        for place in np.argsort(costs, kind="stable")[:at_once]:
            reached = max(reached, costs[place])
            scores[alive[place]] = reached
            for weight, inverse, columns in states:
                at = columns[alive[place]]
                gain = inverse[:, at].copy() @ np.linalg.inv(inverse[np.ix_(at, at)])
                weight -= gain @ weight[at]
                inverse -= gain @ inverse[at]
                weight[at] = 0
        alive = [c for c in alive if scores[c] == 0]
    return scores


@pytest.mark.parametrize(("channels", "width", "others"), [(1, 1, 0), (7, 4, 5), (30, 1, 2), (40, 9, 4)])
@pytest.mark.parametrize("at_once", [1, 3])
@pytest.mark.parametrize("waiting", [4, WAITING])
def test_scores_add_up_over_readers(
    channels: int, width: int, others: int, at_once: int, waiting: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elimination, "WAITING", waiting)
    monkeypatch.setattr(elimination, "STEPS", max(1, channels // at_once))
    readers = [product(channels, width, others), product(channels, 2, 1, seed=1)]
    found = eliminate([[Block(*reader, SCALE)] for reader in readers], channels)
    expected = one_by_one(readers, channels, max(1, channels // max(1, channels // at_once)))
    np.testing.assert_allclose(found, expected, rtol=1e-8)


@pytest.mark.parametrize(("channels", "width", "others"), [(12, 1, 0), (9, 4, 7), (40, 9, 0), (300, 1, 20)])
@pytest.mark.parametrize("at_once", [1, 3])
def test_costs_one_after_the_other_add_up_to_that_of_all_at_once(
    channels: int, width: int, others: int, at_once: int
) -> None:
    weight, inverse, columns = product(channels, width, others)
    block = Block(weight, inverse, columns, SCALE)
    order = np.random.default_rng(1).permutation(channels)
    paid = 0.0
    for start in range(0, channels - at_once, at_once):
        going, alive = np.sort(order[start : start + at_once]), np.sort(order[start:])
        before = cost_of(weight, inverse, columns[order[:start]].ravel())
        if at_once == 1:
            assert before == pytest.approx(paid, rel=1e-6, abs=1e-9)
            paid += float(block.costs(going)[0])
        some = slice(None, None, 1 + len(alive) // 4)
        for channel, found in zip(alive[some], block.costs(alive)[some], strict=True):
            with_it = columns[np.append(order[:start], channel)].ravel()
            assert found == pytest.approx(cost_of(weight, inverse, with_it) - before, rel=1e-5)
        block.remove(going)
    if channels * width > WAITING + 2 * at_once * width:
        assert len(block.base) < len(weight)  # what is gone was dropped


def test_the_inverse_is_that_of_numpy() -> None:
    matrix = product(12, 2, 3)[1]
    np.testing.assert_allclose(inverse_of(matrix), np.linalg.inv(matrix), rtol=1e-9)
    indefinite = np.array([[1.0, 2.0], [2.0, 1.0]])
    np.testing.assert_allclose(inverse_of(indefinite) @ indefinite, np.eye(2), atol=1e-12)


def test_what_was_given_stays_as_it_is() -> None:
    weight, inverse, columns = product(40, 9, 3)
    kept = weight.copy(), inverse.copy()
    eliminate([[Block(weight, inverse, columns, SCALE)]], 40)
    np.testing.assert_array_equal(weight, kept[0])
    np.testing.assert_array_equal(inverse, kept[1])


def test_many_channels_go_several_at_a_time_at_hardly_more_cost() -> None:
    weight, inverse, columns = product(1100, 1, 0)
    found = np.argsort(eliminate([[Block(weight, inverse, columns, SCALE)]], 1100), kind="stable")[:100]
    block = Block(weight, inverse, columns, SCALE)
    alive = np.arange(1100)
    for _ in range(100):
        cheapest = alive[np.argmin(block.costs(alive))]
        block.remove(np.array([cheapest]))
        alive = alive[alive != cheapest]
    greedy = np.setdiff1d(np.arange(1100), alive)
    dear = np.argsort(block.costs(np.arange(1100)))[-100:]
    costs = [cost_of(weight, inverse, columns[some].ravel()) for some in (greedy, found, dear)]
    assert costs[0] <= 1.1 * costs[1] <= 1.2 * costs[0] < 0.5 * costs[2]

"""Least squares from sums: what numpy finds from all rows at once, also where columns hardly move."""

import numpy as np
import pytest

from onnxprune.calibration.grams import Equations, Gram, solver_of

RNG = np.random.default_rng(5)


def gram_of(x: np.ndarray, y: np.ndarray, portions: int) -> Gram:
    gram = Gram.empty(x.shape[0], x.shape[2], y.shape[2])
    for rows, targets in zip(
        np.array_split(x, portions, axis=1), np.array_split(y, portions, axis=1), strict=True
    ):
        gram.add(rows, targets)
    return gram


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("portions", [1, 7])
def test_weights_are_those_of_numpy(portions: int, intercept: bool) -> None:
    x, y = RNG.standard_normal((2, 300, 5)) + 3, RNG.standard_normal((2, 300, 4)) - 2
    bias = RNG.standard_normal((2, 4))
    gram = gram_of(x, y, portions)
    equations = Equations.of(gram, (np.zeros((2, 5, 4)), bias), ridge=1e-12, intercept=intercept)
    weight, shift = equations.solve(gram)
    for g in range(2):
        columns = np.hstack([x[g], np.ones((300, 1))]) if intercept else x[g]
        wanted = np.linalg.lstsq(columns, y[g] if intercept else y[g] - bias[g], rcond=None)[0]
        np.testing.assert_allclose(weight[g], wanted[:5], rtol=1e-6, atol=1e-8)
    error = np.square(y - x @ weight - shift[:, None]).sum()
    spread = np.square(y - y.mean(1, keepdims=True)).sum()
    assert gram.relative_error(weight, shift) == pytest.approx(error / spread)


def test_a_column_that_hardly_moves_about_a_large_mean_does_no_harm() -> None:
    """In single precision the squares of 1000 round by more than 0.001 moves."""
    moving = RNG.standard_normal((1, 4000, 3))
    still = 1000 + 1e-3 * RNG.standard_normal((1, 4000, 1))
    x = np.concatenate([moving, still], 2).astype(np.float32)
    y = (moving @ RNG.standard_normal((3, 2))).astype(np.float32)
    gram = gram_of(x, y, 5)
    moves = x.astype(np.float64).var(1) * x.shape[1]
    np.testing.assert_allclose(np.einsum("gkk->gk", gram.centred().xx), moves, rtol=1e-3)
    prior = RNG.standard_normal((1, 4, 2)), np.zeros((1, 2))
    found = Equations.of(gram, prior, ridge=1e-6, intercept=True).solve(gram)
    assert gram.relative_error(*found) < 1e-6


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("ridge", [1e-4, 0.1, 10.0])
def test_damping_draws_towards_the_weights_that_are_there(ridge: float, intercept: bool) -> None:
    x, y = RNG.standard_normal((2, 300, 5)) + 3, RNG.standard_normal((2, 300, 4))
    weight, bias = RNG.standard_normal((2, 5, 4)), RNG.standard_normal((2, 4))
    gram = gram_of(x, y, 3)
    found, _ = Equations.of(gram, (weight, bias), ridge=ridge, intercept=intercept).solve(gram)
    for g in range(2):
        moved = x[g] - x[g].mean(0) if intercept else x[g]
        wanted = y[g] - y[g].mean(0) if intercept else y[g] - bias[g]
        square = moved.T @ moved
        damped = square + ridge * np.diagonal(square).mean() * np.eye(5)
        change = np.linalg.solve(damped, moved.T @ (wanted - moved @ weight[g]))
        np.testing.assert_allclose(found[g], weight[g] + change, rtol=1e-8)


def test_columns_that_depend_on_each_other_are_solved_too() -> None:
    x = RNG.standard_normal((1, 100, 3))
    x = np.concatenate([x, x], 2)
    y = x @ RNG.standard_normal((6, 2))
    gram = gram_of(x, y, 2)
    prior = np.zeros((1, 6, 2)), np.zeros((1, 2))
    found = Equations.of(gram, prior, ridge=1e-18, intercept=True).solve(gram)
    assert gram.relative_error(*found) < 1e-6


def test_where_nothing_is_damped_a_dead_column_keeps_its_weight() -> None:
    x = np.concatenate([RNG.standard_normal((1, 100, 3)), np.zeros((1, 100, 1))], 2)
    gram = gram_of(x, x @ RNG.standard_normal((4, 2)), 2)
    prior = RNG.standard_normal((1, 4, 2)), np.zeros((1, 2))
    weight, bias = Equations.of(gram, prior, ridge=0.0, intercept=True).solve(gram)
    assert gram.relative_error(weight, bias) < 1e-9
    np.testing.assert_allclose(weight[0, 3], prior[0][0, 3])


def test_the_order_of_portions_and_their_number_do_not_matter() -> None:
    x, y = RNG.standard_normal((1, 64, 3)) * [1, 10, 100] + 50, RNG.standard_normal((1, 64, 2))
    one, many = (gram_of(x, y, n).whole() for n in (1, 9))
    for name in ("xx", "xy", "x", "y", "yy"):
        np.testing.assert_allclose(getattr(one, name), getattr(many, name), rtol=1e-10, atol=1e-9)


def test_targets_are_added_anew_for_the_same_rows() -> None:
    x, y, z = (RNG.standard_normal((1, 40, n)) + 4 for n in (3, 2, 2))
    gram = gram_of(x, y, 2)
    again = gram.without_targets()
    again.add_targets(x, z)
    np.testing.assert_allclose(again.whole().xy, x.transpose(0, 2, 1) @ z)
    np.testing.assert_allclose(gram.whole().xy, x.transpose(0, 2, 1) @ y)


def test_a_matrix_that_rounding_left_indefinite_is_solved() -> None:
    square, right = np.array([[1.0, 2.0], [2.0, 1.0]]), RNG.standard_normal((2, 3))
    np.testing.assert_allclose(square @ solver_of(square, np.zeros((2, 3)))(right), right)

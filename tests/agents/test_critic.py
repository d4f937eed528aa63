"""The critic of gat-ppo, against its formulas written out."""

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch_geometric")

from onnxprune.agents.gat_ppo.critic import GRIDS, JOINT, LEAST, NEAR, NOISES, Critic, distinct_best
from onnxprune.masks import ChannelOrder

ORDER = ChannelOrder(("a", "b", "c"), np.array([0, 4, 12, 18]))


def masks(count: int, seed: int = 0) -> NDArray[np.bool_]:
    rng = np.random.default_rng(seed)
    return np.asarray(rng.random((count, len(ORDER))) < rng.uniform(0.2, 0.9, (count, 3))[:, ORDER.group_of])


def explains(bits: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Two nodes, with a channel of each group that matters more than the others; the second may lose all."""
    weights = np.ones((2, len(ORDER)))
    weights[0, 12:], weights[1, :12] = 0.1, 0.0
    weights[:, [2, 7, 15]] *= 9
    return np.asarray(bits @ weights.T / weights.sum(1))


def critic_of(
    bits: NDArray[np.bool_], worth: NDArray[np.float64], rows: int = 100, *, explained: bool = False
) -> Critic:
    critic = Critic(ORDER, 1000, explains if explained else None)
    for row, value in zip(bits, worth, strict=True):
        critic.add(row, float(value), rows)
    return critic


def additive(bits: NDArray[np.bool_]) -> NDArray[np.float64]:
    """A curve for each group, and one channel that matters more than the others."""
    shares = np.stack([part.mean(1) for part in np.split(bits, ORDER.starts[1:-1], axis=1)], 1)
    return np.asarray((np.sqrt(shares) * [0.1, 0.3, 0.2]).sum(1) + 0.05 * bits[:, 5])


def kernel_by_hand(
    x: NDArray[np.bool_], y: NDArray[np.bool_], explained: float, width: float, channels: float
) -> float:
    """But for <e, e'> / R, which is handed in with its weight."""
    groups = [(x[a:b], y[a:b]) for a, b in zip(ORDER.starts[:-1], ORDER.starts[1:], strict=True)]
    apart = [(p.mean() - q.mean()) ** 2 for p, q in groups]
    curves = sum(np.exp(-d / (2 * width**2)) for d in apart) / 3
    joint = JOINT * np.exp(-sum(apart) / (2 * 3 / 6))
    which = sum(((p - p.mean()) * (q - q.mean())).sum() for p, q in groups) / (0.1 * len(ORDER))
    return float(curves + joint + channels * which + explained) / (1 + JOINT)


@pytest.mark.parametrize("explained", [False, True])
def test_means_and_draws_are_those_of_the_process_written_out(*, explained: bool) -> None:
    known, asked = masks(24), masks(5, seed=1)
    critic = critic_of(known, additive(known), explained=explained)
    fit = critic.fit()
    assert fit is not None
    told = np.log(np.maximum(explains(known), LEAST))
    v, width, channels, _ = fit.weights
    assert (v > 0) == explained

    def standard(x: NDArray[np.bool_]) -> NDArray[np.float64]:
        logs = np.log(np.maximum(explains(x[None])[0], LEAST))
        return np.asarray((logs - told.mean(0)) / told.std(0).mean())

    def entry(x: NDArray[np.bool_], y: NDArray[np.bool_]) -> float:
        return kernel_by_hand(x, y, v * float(standard(x) @ standard(y)) / 2, width, channels)

    def matrix(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.array([[entry(x, y) for y in second] for x in first])

    values = additive(known)
    scaled = (values - values.mean()) / values.std()
    candidates = []
    doubts = np.array([1 + NEAR * (scaled.max() - value) ** 2 for value in scaled])
    for noise in NOISES:  # the likeliest of them was taken
        inverse = np.linalg.inv(matrix(known, known) + np.diag(noise * doubts + 1e-8))
        sign, determinant = np.linalg.slogdet(inverse)
        candidates.append((-0.5 * scaled @ inverse @ scaled + 0.5 * sign * determinant, inverse))
    inverse = max(candidates, key=lambda pair: pair[0])[1]
    cross = matrix(asked, known)
    mean = values.mean() + values.std() * cross @ inverse @ scaled
    assert critic.mean(fit, asked) == pytest.approx(mean, abs=1e-9)
    covariance = values.std() ** 2 * (matrix(asked, asked) - cross @ inverse @ cross.T)
    normals = np.random.default_rng(2).standard_normal((40_000, 5))
    drawn = critic.draws(fit, asked, normals)
    assert drawn.mean(0) == pytest.approx(mean, abs=5e-3 * values.std() + 1e-4)
    assert np.cov(drawn.T) == pytest.approx(covariance, abs=0.05 * covariance.max())


def test_the_grid_is_compared_by_likelihood() -> None:
    """A curve that bends sharply asks for another width than one that hardly bends."""
    bits = masks(150)
    first = bits[:, :4].mean(1)
    sharp, flat = critic_of(bits, (first > 0.6) * 1.0).fit(), critic_of(bits, first).fit()
    assert sharp is not None
    assert flat is not None
    assert sharp.weights[1] < flat.weights[1]
    rng = np.random.default_rng(3)
    which, none = critic_of(bits, bits[:, 4:12] @ rng.normal(size=8)).fit(), flat
    assert which is not None
    assert which.weights[2] >= none.weights[2]


def test_what_is_explained_tells_swaps_apart_that_it_has_not_seen() -> None:
    """Where accuracy follows it, masks of equal counts are known from few outcomes."""
    rng = np.random.default_rng(0)
    pool = np.array([rng.permutation(18) % 2 == 0 for _ in range(80)])  # as many channels in each
    worth = np.log(np.maximum(explains(pool), LEAST)).sum(1)
    told = {}
    for explained in (False, True):
        critic = critic_of(pool[:20], worth[:20], explained=explained)
        fit = critic.fit()
        assert fit is not None
        told[explained] = np.corrcoef(critic.mean(fit, pool[20:]), worth[20:])[0, 1]
    assert told[True] > 0.98 > told[False] + 0.05


def test_it_tells_better_from_worse_masks_that_it_has_not_seen() -> None:
    known, new = masks(96), masks(200, seed=5)
    critic = critic_of(known, additive(known) + 0.005 * np.random.default_rng(1).standard_normal(96))
    fit = critic.fit()
    assert fit is not None
    assert np.corrcoef(critic.mean(fit, new), additive(new))[0, 1] > 0.9


def test_an_estimate_from_few_rows_counts_less() -> None:
    known = masks(40)
    worth = additive(known)
    worth[0] += 0.5

    def believed(rows: int) -> float:
        critic = critic_of(known[1:], worth[1:])
        critic.add(known[0], worth[0], rows)
        fit = critic.fit()
        assert fit is not None
        return float(critic.mean(fit, known[:1])[0])

    assert believed(5) < believed(100)


def test_the_noise_grows_away_from_the_best_that_ran_on_all_rows() -> None:
    critic = critic_of(masks(4), np.array([0.5, 0.7, 0.4, 0.9]))
    critic.rows = np.array([100.0, 100.0, 100.0, 25.0])  # the last is an estimate
    found = critic.doubts(critic.accuracies)
    assert found == pytest.approx([1 + NEAR * 0.2**2, 1, 1 + NEAR * 0.3**2, 4])


def test_near_the_best_it_tells_finer_for_explaining_the_worst_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half the masks are wide misses that no curve explains; swaps among the good ones are told apart."""
    rng = np.random.default_rng(0)
    good, bad, asked = masks(96, seed=1), masks(96, seed=2), masks(60, seed=3)
    for bits in (good, asked):
        bits[:] = masks(1, seed=4)
        swapped = rng.integers(len(ORDER), size=(len(bits), 4))
        np.put_along_axis(bits, swapped, ~np.take_along_axis(bits, swapped, 1), 1)
    worth = np.concatenate([additive(good), additive(bad) - rng.uniform(0, 0.5, 96)])
    told = {}
    for near in (0.0, NEAR):
        monkeypatch.setattr("onnxprune.agents.gat_ppo.critic.NEAR", near)
        critic = critic_of(np.vstack([good, bad]), worth)
        fit = critic.fit()
        assert fit is not None
        told[near] = np.corrcoef(critic.mean(fit, asked), additive(asked))[0, 1]
    assert told[NEAR] > told[0.0] + 0.02


def test_outcomes_that_tell_nothing_make_no_fit() -> None:
    assert Critic(ORDER, 10).fit() is None
    assert critic_of(masks(1), np.array([0.5])).fit() is None
    assert critic_of(masks(5), np.full(5, 0.5)).fit() is None


def test_the_oldest_are_forgotten_and_all_else_is_restored_bit_for_bit() -> None:
    bits, asked = masks(30), masks(4, seed=9)
    critic = Critic(ORDER, 20, explains)
    for row, value in zip(bits, additive(bits), strict=True):
        critic.add(row, float(value), 100)
    assert (critic.bits == bits[-20:]).all()
    other = Critic(ORDER, 20, explains)
    other.restore(critic.state())
    fit, again = critic.fit(), other.fit()
    assert fit is not None
    assert again is not None
    assert (critic.mean(fit, asked) == other.mean(again, asked)).all()


def test_each_draw_takes_its_best_that_is_allowed_and_not_taken() -> None:
    draws = np.array([[3.0, 2.0, 1.0, 9.0], [3.0, 2.5, 1.0, 9.0], [0.0, 1.0, 5.0, 9.0], [1.0, 1.0, 1.0, 9.0]])
    allowed = np.array([True, True, True, False])
    assert distinct_best(draws, allowed, 4) == [0, 1, 2]
    assert distinct_best(draws, allowed, 1) == [0]


def test_the_grid_has_no_value_twice() -> None:
    for values in GRIDS:
        assert sorted(set(values)) == list(values)


@pytest.mark.parametrize("lowered", [10.0, 1e3, 1e12])
def test_one_candidate_that_diverged_hides_nothing_of_the_others(lowered: float) -> None:
    known, asked = masks(96), masks(60, seed=1)
    worth = additive(known)
    worth[5] -= lowered
    critic = critic_of(known, worth)
    fit = critic.fit()
    assert fit is not None
    assert np.corrcoef(critic.mean(fit, asked), additive(asked))[0, 1] > 0.9


def test_accuracies_of_any_size_give_the_same_critic() -> None:
    known, asked = masks(48), masks(20, seed=1)
    found = []
    for unit in (1.0, 1e-9, 1e9):
        critic = critic_of(known, additive(known) * unit)
        fit = critic.fit()
        assert fit is not None
        found.append(critic.mean(fit, asked) / unit)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-6)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-6)

"""Optimal brain surgeon on channels, against elimination by brute force."""

import numpy as np
import pytest

from onnxprune.criteria import score
from onnxprune.errors import DataError
from onnxprune.groups import Groups
from tests.criteria.conftest import Build

SIZES = {"w1": (7, 6), "b1": 6, "w2": (6, 5), "b2": 5}
FEED = {"x": np.random.default_rng(0).standard_normal((400, 7)).astype(np.float32)}


@pytest.fixture
def gemms(groups_of: Build) -> Groups:
    body = "c = Gemm(x, w1, b1)\nr = Relu(c)\ny = Gemm(r, w2, b2)"
    return groups_of("float[N,7] x => float[N,5] y", body, **SIZES)


def test_each_score_is_the_least_error_that_any_removal_leaves(gemms: Groups) -> None:
    (found,) = score(gemms, "obs", feeds=[FEED]).values()
    arrays = {name: i.array().astype(np.float64) for name, i in gemms.graph.initializers.items()}
    read = np.maximum(FEED["x"] @ arrays["w1"] + arrays["b1"], 0)
    read = read - read.mean(0)
    target = read @ arrays["w2"]
    alive, left, order = list(range(6)), 0.0, []
    while len(alive) > 1:
        errors = {}
        for k in alive:
            rest = [j for j in alive if j != k]
            fit = np.linalg.lstsq(read[:, rest], target, rcond=None)[0]
            errors[k] = np.square(read[:, rest] @ fit - target).sum() / np.square(target).sum()
        best = min(errors, key=errors.__getitem__)
        order.append((best, errors[best] - left))
        left = errors[best]
        alive.remove(best)
    ranked = np.argsort(found, kind="stable").tolist()
    assert ranked[:5] == [k for k, _ in order]
    steps = np.maximum.accumulate([step for _, step in order])
    np.testing.assert_allclose(found[ranked[:5]], steps, rtol=0.05, atol=1e-3)


def test_a_channel_that_others_can_replace_costs_nothing(groups_of: Build) -> None:
    w1 = np.random.default_rng(1).standard_normal((6, 3, 1, 1)).astype(np.float32)
    w1[4] = w1[1]
    body = "c = Conv(x, w1)\nr = Relu(c)\ny = Conv(r, w2)"
    groups = groups_of("float[N,3,5,5] x => float[N,4,3,3] y", body, w1=w1, w2=(4, 6, 3, 3))
    feed = {"x": np.random.default_rng(0).standard_normal((40, 3, 5, 5)).astype(np.float32)}
    (found,) = score(groups, "obs", feeds=[feed]).values()
    assert int(np.argmin(found)) in (1, 4)
    assert found.min() < 0.05 * np.median(found)
    assert max(found[1], found[4]) > 0.1 * np.median(found)  # the twin that is left has become precious


def test_it_needs_inputs(gemms: Groups) -> None:
    with pytest.raises(DataError) as caught:
        score(gemms, "obs")
    assert caught.value.code == "E501"

"""Curves of losses, and how many probes are planned."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from onnxprune.agents.sensitivity import composed, hull, loss_curves, plan_probes, probe_masks
from onnxprune.agents.space import Space
from tests.agents.conftest import World, problem_of


@given(st.dictionaries(st.integers(1, 15), st.floats(-0.1, 1), min_size=1))
def test_the_hull_is_the_largest_convex_curve_under_the_points(losses: dict[int, float]) -> None:
    curve = hull(losses, 16)
    assert curve[16] == 0
    assert (np.diff(curve) <= 1e-9).all()
    assert (np.diff(curve, 2) >= -1e-9).all()
    points = {kept: max(0.0, loss) for kept, loss in losses.items()} | {16: 0.0}
    assert all(curve[kept] <= loss + 1e-9 for kept, loss in points.items())
    least = min(points)
    for kept in range(least, 17):  # the oracle: the lowest chord between any two points
        chords = [
            points[a] if a == b else points[a] + (points[b] - points[a]) * (kept - a) / (b - a)
            for a in points
            for b in points
            if a <= kept <= b
        ]
        assert abs(curve[kept] - min(chords)) < 1e-9


def test_probes_cover_every_group_before_any_a_second_time(world: World) -> None:
    space = Space.of(problem_of(world))
    groups = len(space.channels)
    plan = plan_probes(space, levels=4, count=3 * groups)
    assert len(plan) <= 3 * groups
    assert sorted(group for group, _ in plan[:groups]) == list(range(groups))
    assert all(kept in space.rungs[group] and kept < space.channels[group] for group, kept in plan)
    assert len(plan_probes(space, levels=4, count=5)) == 5
    group, kept = plan[0]
    assert space.kept(probe_masks(space, group, kept)).sum() == space.channels.sum() - (
        space.channels[group] - kept
    )


def test_groups_that_suffer_more_keep_more(world: World) -> None:
    space = Space.of(problem_of(world))
    points = {g: {int(r[0]): 0.5 if g == 3 else 0.01} for g, r in enumerate(space.rungs)}
    curves = loss_curves(space, points)
    ratios = space.ratios(composed(space, curves, loss_power=1.0, cost_power=1.0))
    assert ratios[3] == 1
    assert ratios.min() < 0.6
    assert len(loss_curves(space, {})) == len(space.channels)  # nothing measured: all alike

"""How much each group suffers alone: probes, curves of losses, and the masks that follow from them."""

from collections.abc import Mapping, Sequence

import numpy as np

from onnxprune.agents.space import Space
from onnxprune.agents.types import Floats
from onnxprune.masks import Masks, all_true
from onnxprune.target.projection import best

BEND = 0.02  # a little curvature for every curve: no two channels of a group are worth the same
TINY = 1e-12
Points = Mapping[int, Mapping[int, float]]  # group -> kept count -> loss


def plan_probes(space: Space, *, levels: int, count: int) -> list[tuple[int, int]]:
    """(group, kept count) of at most so many probes: every group once, then once more, and so on.

    The levels of a group are spread evenly over what it may keep, the least first. The groups come in the
    order of what they can save.
    """
    lowest = np.array([rungs[0] for rungs in space.rungs])
    saved = space.unit_costs(space.channels) * (space.channels - lowest)
    order = np.argsort(-saved, kind="stable").tolist()
    levels = min(levels, max(1, count // max(1, len(order))))
    chosen: list[list[int]] = []
    for rungs in space.rungs:
        at = np.linspace(0, len(rungs) - 1, levels + 1).round().astype(int)[:-1]
        chosen.append(sorted({int(rungs[index]) for index in at} - {int(rungs[-1])}))
    plan = [
        (group, chosen[group][level])
        for level in range(levels)
        for group in order
        if level < len(chosen[group])
    ]
    return plan[:count]


def probe_masks(space: Space, group: int, kept: int) -> Masks:
    """Everything, but of one group only the best by the prior."""
    order = space.problem.order
    name = order.names[group]
    return {**all_true(space.problem.groups), name: best(-order.split(space.prior)[name], kept)}


def loss_curves(space: Space, points: Points) -> list[Floats]:
    """For each group its loss at every kept count (0..channels), falling and convex.

    The convex hull under what was measured, and a little curvature. Groups without a measurement suffer as
    the others do on average at the same keep ratio.
    """
    grid = np.linspace(0, 1, 101)
    measured = {group: hull(at, int(space.channels[group])) for group, at in points.items() if at}
    rows = [np.interp(grid, np.linspace(0, 1, len(row)), row) for row in measured.values()]
    average = np.mean(rows, 0) if rows else (1 - grid) ** 2
    bend = BEND * max(float(average.max()), 1e-6)
    curves = []
    for group, channels in enumerate(space.channels.tolist()):
        share = np.arange(channels + 1) / channels
        curve = measured[group] if group in measured else np.interp(share, grid, average)
        curves.append(curve + bend * (1 - share) ** 2)
    return curves


def hull(losses: Mapping[int, float], channels: int) -> Floats:
    """(channels + 1,) the greatest convex falling curve under (kept count, loss), 0 where all is kept."""
    corners = [(channels, 0.0)]
    for kept in sorted(set(losses) - {channels}, reverse=True):
        corner = (kept, max(0.0, losses[kept]))
        while len(corners) > 1 and slope(corners[-1], corner) <= slope(corners[-2], corners[-1]):
            corners.pop()
        corners.append(corner)
    if len(corners) > 1 and corners[-1][0] > 0:  # on below the least count at the last slope
        rise = slope(corners[-2], corners[-1])
        corners.append((0, corners[-1][1] + rise * corners[-1][0]))
    counts, values = zip(*reversed(corners), strict=True)
    return np.interp(np.arange(channels + 1), counts, values)


def slope(upper: tuple[int, float], lower: tuple[int, float]) -> float:
    """Loss for each channel between two kept counts."""
    return (lower[1] - upper[1]) / (upper[0] - lower[0])


def composed(space: Space, curves: Sequence[Floats], *, loss_power: float, cost_power: float) -> Masks:
    """The greedy solution of the knapsack: channels by the loss that they avoid for what they cost.

    Costs are taken first as in the original, then as among the channels that were so found.
    """
    kept = space.channels
    masks: Masks = {}
    for _ in range(3):
        costs = space.unit_costs(kept) ** cost_power
        preferences = []
        for group, name in enumerate(space.problem.order.names):
            avoided = np.maximum(-np.diff(curves[group]), TINY) ** loss_power / costs[group]
            prior = space.problem.order.split(space.prior)[name]
            preferences.append(avoided[np.argsort(np.argsort(prior, kind="stable"), kind="stable")])
        masks = space.problem.project(dict(zip(space.problem.order.names, preferences, strict=True)))
        kept = space.kept(masks)
    return masks

"""From a model to its latency table: pieces timed at a few kept counts, then fitted to the whole model."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from onnxprune.cost import CostModel
from onnxprune.errors import OnnxPruneError
from onnxprune.groups import Groups
from onnxprune.latency.extract import Piece, extract
from onnxprune.latency.grids import Grid, grid_of
from onnxprune.latency.model import TimedCostModel
from onnxprune.latency.segments import find_segments
from onnxprune.latency.stopwatch import NS, Stopwatch
from onnxprune.latency.store import Store
from onnxprune.latency.table import LatencyTable, Times, never_falling
from onnxprune.masks import Masks
from onnxprune.target import Constraints
from onnxprune.target.reach import lowest

Step = Callable[[int, int], None]  # points done, points in all


def ignore(_done: int, _all: int) -> None:
    return None


def measure_table(
    groups: Groups, constraints: Constraints, watch: Stopwatch, store: Store, *, progress: Step = ignore
) -> LatencyTable:
    """The latency of a model as a function of kept counts.

    Pieces that do not run by themselves are left out: what they take is told by the whole model alone.
    The sum over pieces is then stretched to what the original takes, and what it takes at its least.

    Args:
        groups: Of the original.
        constraints: Which kept counts matter.
        watch: Who measures.
        store: What was measured before; new times go there.
        progress: Called with the points done so far.

    Raises:
        RuntimeProblem: E601, a required provider does not run; E605, the disk is full.
        ModelError: E309, the model does not run.
    """
    grids = [grid_of(segment, constraints) for segment in find_segments(groups)]
    moving = [grid for grid in grids if grid.size > 1]
    done, total = 0, sum(grid.size for grid in moving)
    found = []
    try:
        for grid in moving:
            found.append(times_of(grid, watch, store))
            done += grid.size
            progress(done, total)
    finally:
        store.save()
    return fitted(groups, constraints, [times for times in found if times is not None], watch)


def times_of(grid: Grid, watch: Stopwatch, store: Store) -> Times | None:
    """The times of one segment; None where it does not run by itself."""
    groups, measured = grid.segment.groups, []
    try:
        for kept in grid.kept():
            piece = extract(grid.segment, leading(groups, kept))
            measured.append(time_once(piece, watch, store))
    except OnnxPruneError:
        return None
    shape = len(grid.inputs.levels), len(grid.outputs.levels)
    times = never_falling(np.array(measured, np.float64).reshape(shape))
    return Times(
        grid.segment.name,
        (grid.inputs.weights, grid.outputs.weights),
        (grid.inputs.points, grid.outputs.points),
        np.rint(times).astype(np.int64),
    )


def time_once(piece: Piece, watch: Stopwatch, store: Store) -> float:
    """From the store, or measured."""
    if piece.signature not in store.times:
        store.put(piece.signature, watch.piece_ns(piece))
    return store.times[piece.signature]


def leading(groups: Groups, kept: Mapping[str, int]) -> Masks:
    """Masks of the first channels: which ones they are does not change the time."""
    return {name: np.arange(groups[name].channels) < count for name, count in kept.items()}


def fitted(
    groups: Groups, constraints: Constraints, segments: Sequence[Times], watch: Stopwatch
) -> LatencyTable:
    """The table that gives what was measured of the original, and of the smallest model that there is."""
    plain = CostModel(groups)
    counts = dict(
        zip(plain.names, lowest(plain, constraints.finest(), groups.prunable).tolist(), strict=True)
    )
    masks = leading(groups, {group.name: counts[group.name] for group in groups.prunable})
    (least,) = watch.beside([masks])
    original = round(least.original_ms * NS)
    table = LatencyTable(watch.setting(), original, tuple(segments)).scaled(1.0)
    saved = original - TimedCostModel(groups, table).count(masks).latency_ns
    return table.scaled((1 - least.ratio) * original / saved) if saved > 0 else table

"""The law: the pruned model gives what the original gives when its consumers ignore the removed channels.

    groups = check_law(model, tmp_path)           # raises AssertionError where anything is not as promised
    assert free(groups) == ["8: w1.0 b1.0 w2.1"]  # and this is what could be pruned

Checked for random masks, for a single survivor in each group and for all channels but one: the numbers
(without and with optimisation, two sizes of the free dimensions), all extents, cost, weights, and that
nothing else changes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto

from onnxprune.groups import Group, Groups, find_groups
from onnxprune.masks import Masks, all_true
from onnxprune.onnx_file import Graph, load_graph
from onnxprune.pruning import prune
from onnxprune.verification.masked import masked_model
from tests.law.build import save
from tests.law.running import FULL, PLAIN, Arrays, assert_close, close, distance, runner
from tests.law.written import check_masks

Sizes = Mapping[str, int]
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Trial:
    """How a model is tried.

    Attributes:
        seeds: One random mask for each.
        sizes: Extents of free dimensions by their symbol, once for each run.
        free, batches: Other free extents; those of first axes, for each run.
        heads: As for `find_groups`.
        tolerance: Largest difference, relative to the largest output.
        limit: Integer inputs are below it.
        runs: False for models that ONNX Runtime cannot run on this processor (bfloat16 and the like).
    """

    seeds: range = range(2)
    sizes: tuple[Sizes, ...] = ({}, {})
    free: int = 8
    batches: tuple[int, ...] = (1, 3)
    heads: bool = False
    tolerance: float = 1e-4
    limit: int = 4
    runs: bool = True


def check_law(source: ModelProto | Path, folder: Path, trial: Trial = Trial()) -> Groups:
    """The groups of the model, once the law was seen to hold."""
    path = source if isinstance(source, Path) else save(source, folder)
    shapes = [
        input_shapes(onnx.load(path, load_external_data=False), trial, run) for run in range(len(trial.sizes))
    ]
    graph = load_graph(path, shapes=shapes[0])
    groups = find_groups(graph, heads=trial.heads)
    before = graph.model.SerializeToString(deterministic=True)
    assert prune(groups, all_true(groups)).SerializeToString(deterministic=True) == before
    exact = [group for group in groups.prunable if not group.inexact]
    for masks in many_masks(exact, trial):
        check_masks(groups, masks)
        if trial.runs:
            check_numbers(groups, masks, shapes, trial)
    if len(exact) < len(groups.prunable):
        for masks in many_masks(groups.prunable, trial):
            check_masks(groups, masks)
            if trial.runs:
                check_runs(groups, masks, shapes, trial)
    assert graph.model.SerializeToString(deterministic=True) == before, "the original was changed"
    return groups


def input_shapes(proto: ModelProto, trial: Trial, run: int) -> Shapes:
    """Concrete shapes of the inputs for one run."""
    constants = {t.name for t in proto.graph.initializer}
    found = {}
    for value in proto.graph.input:
        if value.name in constants or not value.type.tensor_type.HasField("shape"):
            continue
        extents = []
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            free = trial.batches[run] if axis == 0 else trial.free
            extents.append(
                dim.dim_value if dim.HasField("dim_value") else trial.sizes[run].get(dim.dim_param, free)
            )
        found[value.name] = tuple(extents)
    return found


def many_masks(groups: list[Group] | tuple[Group, ...], trial: Trial) -> Iterator[Masks]:
    """Random masks of several keep rates, a single survivor everywhere, and all channels but one."""
    for seed in trial.seeds:
        rng = np.random.default_rng(seed)
        rate = rng.choice([0.2, 0.5, 0.8])
        yield {g.name: kept(rng.random(g.channels) < rate, rng) for g in groups}
        lone = {g.name: int(rng.integers(g.channels)) for g in groups}
        yield {g.name: np.arange(g.channels) == lone[g.name] for g in groups}
        yield {g.name: kept(np.arange(g.channels) != lone[g.name], rng) for g in groups}


def kept(bits: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """The bits, with one set where none is."""
    if not bits.any():
        bits[rng.integers(len(bits))] = True
    return bits


# --- what a run shows -------------------------------------------------------------------------------


def check_numbers(groups: Groups, masks: Masks, shapes: list[Shapes], trial: Trial) -> None:
    """pruned == masked original, for every size of the free dimensions."""
    pruned, masked = prune(groups, masks), masked_model(groups, masks)
    folder = groups.graph.path.parent
    run_plain, run_full = runner(pruned, folder, PLAIN), runner(pruned, folder, FULL)
    run_masked = runner(masked, folder, PLAIN)
    for of_run in shapes:
        feeds = random_feeds(groups.graph, of_run, trial)
        expected, plain, full = run_masked(feeds), run_plain(feeds), run_full(feeds)
        for name, value in expected.items():
            what = f"{name} under {counts(masks)}"
            assert_close(plain[name], value, what, trial.tolerance)
            if not close(full[name], value, trial.tolerance):
                lost = 4 * lost_by_optimisation(groups, feeds)[name]
                assert_close(full[name], value, f"optimised {what}", trial.tolerance + lost)


def lost_by_optimisation(groups: Groups, feeds: Arrays) -> dict[str, float]:
    """Relative error that ONNX Runtime's own optimiser makes on the original (it quantises some products)."""
    folder = groups.graph.path.parent
    plain = runner(groups.graph.model, folder, PLAIN)(feeds)
    full = runner(groups.graph.model, folder, FULL)(feeds)
    return {name: distance(full[name], value) for name, value in plain.items()}


def check_runs(groups: Groups, masks: Masks, shapes: list[Shapes], trial: Trial) -> None:
    """Where a statistic runs over what is left: the pruned model runs, with outputs of the same shapes."""
    folder = groups.graph.path.parent
    original, pruned = runner(groups.graph.model, folder, PLAIN), runner(prune(groups, masks), folder, PLAIN)
    for of_run in shapes:
        feeds = random_feeds(groups.graph, of_run, trial)
        expected = original(feeds)
        assert {k: v.shape for k, v in pruned(feeds).items()} == {k: v.shape for k, v in expected.items()}


def counts(masks: Masks) -> dict[str, str]:
    return {name: f"{int(bits.sum())}/{len(bits)}" for name, bits in masks.items()}


def random_feeds(graph: Graph, shapes: Shapes, trial: Trial) -> Arrays:
    rng = np.random.default_rng(11)
    feeds: Arrays = {}
    for value in graph.inputs:
        assert value.dtype is not None
        shape = shapes[value.name]
        if value.dtype.kind in "iub":
            feeds[value.name] = rng.integers(0, 2 if value.dtype.kind == "b" else trial.limit, shape).astype(
                value.dtype
            )
        else:
            feeds[value.name] = rng.standard_normal(shape).astype(value.dtype)
    return feeds


# --- what can be pruned -------------------------------------------------------------------------------


def free(groups: Groups) -> list[str]:
    """Each prunable group as "channels: tensor.axis ..."; "~" marks an inexact one."""
    return [
        f"{'~' if g.inexact else ''}{g.channels}: {' '.join(f'{m.tensor}.{m.axis}' for m in g.members)}"
        for g in groups.prunable
    ]


def reasons(groups: Groups) -> dict[str, str]:
    """Why each frozen weight axis must stay."""
    return {f"{m.tensor}.{m.axis}": g.frozen for g in groups if g.frozen is not None for m in g.members}

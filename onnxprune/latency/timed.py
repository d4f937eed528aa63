"""The cost model that a target asks for: one that only counts, or one that knows the latency too."""

import numpy as np

from onnxprune.cost import CostModel
from onnxprune.groups import Groups
from onnxprune.latency.confirming import choose_confirmed
from onnxprune.latency.measuring import Step, ignore, measure_table
from onnxprune.latency.model import TimedCostModel
from onnxprune.latency.stopwatch import RuntimeWatch, WatchOptions
from onnxprune.latency.store import Store, default_folder
from onnxprune.masks import Masks
from onnxprune.target import Constraints, Target, project


def timed_model(
    groups: Groups, constraints: Constraints, options: WatchOptions | None = None, *, progress: Step = ignore
) -> TimedCostModel:
    """A cost model that knows what masks take in ONNX Runtime here.

        cost_model = timed_model(groups, Constraints())
        masks = project(scores, cost_model, target=parse_target(["latency=70%"]), constraints=Constraints())

    Args:
        groups: Of the original.
        constraints: Which kept counts matter.
        options: Provider, threads, where times are kept.
        progress: Called with the points measured so far, and all.

    Raises:
        RuntimeProblem: E601, a required provider does not run; E605, the disk is full.
        ModelError: E309, the model does not run.
    """
    options = options or WatchOptions()
    watch = RuntimeWatch(groups, options)
    store = Store(options.folder or default_folder(), watch.setting())
    return TimedCostModel(groups, measure_table(groups, constraints, watch, store, progress=progress))


def anchored(
    cost_model: CostModel, target: Target, constraints: Constraints, options: WatchOptions | None = None
) -> CostModel:
    """The same, bent until masks of even shares that it says to meet the target were measured to.

    For a search, which measures nothing before its end: so its bound on the latency is about right from the
    beginning.

    Raises:
        TargetError: E701, no masks meet the target.
    """
    if not isinstance(cost_model, TimedCostModel) or not target.times:
        return cost_model
    even = {g.name: -(np.arange(g.channels) + 0.5) / g.channels for g in cost_model.groups.prunable}

    def choose(model: TimedCostModel) -> Masks:
        return project(even, model, target=target, constraints=constraints)

    watch = RuntimeWatch(cost_model.groups, options or WatchOptions())
    return choose_confirmed(choose, cost_model, target, watch).cost_model


def cost_model_for(
    groups: Groups,
    target: Target,
    constraints: Constraints,
    options: WatchOptions | None = None,
    *,
    progress: Step = ignore,
) -> CostModel:
    """What counts the bounds of a target; nothing is measured where none is on the latency.

    Raises:
        RuntimeProblem, ModelError: As `timed_model`.
    """
    if not target.times:
        return CostModel(groups)
    return timed_model(groups, constraints, options, progress=progress)

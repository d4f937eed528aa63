"""Closed-form repair after pruning: calibration inputs, no labels, no training.

    model = reconstruct(groups, masks, (batch.inputs for batch in samples.batches(64)))

options.py      how to repair, and what was done at each node
tails.py        what follows a contraction, up to where another branch is added
nodes.py        which nodes to repair, and what is known of each
bench.py        both models on their way through the inputs
moments.py      means and variances; BatchNormalization with new ones
means.py        the light form: means of the original
refit.py        new weights by least squares
repair.py       node after node
"""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from onnxprune.calibration.feeds import Feed, portions
from onnxprune.calibration.walks import shelf_of
from onnxprune.errors import UsageError
from onnxprune.groups import Groups
from onnxprune.pruning import prune
from onnxprune.reconstruction.bench import Bench
from onnxprune.reconstruction.nodes import tasks_of, widest_row
from onnxprune.reconstruction.options import METHODS, Method, ReconstructOptions, Repair, Told
from onnxprune.reconstruction.repair import repair_all
from onnxprune.verification.lens import see

__all__ = ["METHODS", "Method", "ReconstructOptions", "Repair", "reconstruct"]

DEFAULT = ReconstructOptions()


def reconstruct(
    groups: Groups,
    masks: Mapping[str, NDArray[np.bool_]],
    feeds: Iterable[Feed],
    *,
    options: ReconstructOptions = DEFAULT,
    told: Told = lambda _repair: None,
) -> ModelProto:
    """The pruned model with weights that make up for what was removed.

    Each contraction that lost input channels, or reads what has changed, gets the weights with which it comes
    nearest to the original's output, given what it now reads (He et al., Channel Pruning, ICCV 2017, section
    3.1, with the inputs of the pruned model as in its "whole model" variant). Where its output is added to
    another branch, the error of that branch is made up for too (the same, section 3.3).

    Args:
        groups, masks: Of the original.
        feeds: Calibration inputs, batches of any size; read once and kept, in memory up to 1 GiB.
        options: The method and its damping.
        told: Called after each node with what was done there.

    Returns:
        What `prune` returns, with other values in some weights, biases and statistics; nothing else differs.

    Raises:
        UsageError: E201, an unknown method; E206, masks that do not fit the groups.
        DataError: E502, NaN in the inputs or inside the model; E503, unfit inputs; E504, none.
        ModelError: E309, the model does not run.
    """
    if options.method not in METHODS:
        raise UsageError("E201", f"unknown method {options.method!r}", hint=f"there are {', '.join(METHODS)}")
    model = prune(groups, masks)
    pruned = see(model, groups.graph)
    tasks = tasks_of(groups, masks, pruned, options)
    if not tasks:
        return model
    rows = max(1, options.portion_bytes // widest_row(pruned, tasks))
    inputs = shelf_of(portions(groups.graph, feeds, rows))
    repair_all(Bench.of(groups, masks, pruned, inputs, options), tasks, told)
    return model

"""The cost of the pruned model, counted anew from its own extents."""

from dataclasses import dataclass

import numpy as np

from onnxprune.groups.analysis import analyse
from onnxprune.onnx_file import Graph, Initializer
from onnxprune.operators.context import Options
from onnxprune.verification.types import Check, CostLike, judged, skipped

NAME = "cost as promised"
INDEX_BYTES = 4  # integers as wide as this are shapes and indices, not weights


@dataclass(frozen=True)
class Counted:
    """A recount; bytes are those of the weights."""

    macs: int
    params: int
    bytes: int


def recount(graph: Graph) -> Counted:
    """MACs, params and bytes as they are in the file, with nothing derived from masks."""
    findings, _ = analyse(graph, Options())
    macs = 0
    for term in findings.macs:
        product = term.fixed
        for name, axis in term.axes:
            product *= graph.shapes[name][axis]
        macs += product
    weights = [constant for constant in graph.initializers.values() if is_weight(constant)]
    return Counted(macs, sum(w.size for w in weights), sum(w.nbytes for w in weights))


def is_weight(constant: Initializer) -> bool:
    dtype: np.dtype[np.generic] = constant.dtype
    if dtype.kind in "bOUS" or not constant.size:
        return False
    return dtype.kind not in "iu" or dtype.itemsize < INDEX_BYTES


def check_cost(graph: Graph, promised: CostLike | None) -> Check:
    """The pruned model costs what `count(groups, masks)` said that it would.

    Args:
        graph: The pruned model, with shapes under the original's input shapes.
        promised: The cost; None skips the check.
    """
    if promised is None:
        return skipped(NAME, "no expected cost was given")
    counted = recount(graph)
    faults = [
        f"{unit}: promised {getattr(promised, unit):,}, counted {getattr(counted, unit):,}"
        for unit in ("macs", "params", "bytes")
        if getattr(promised, unit) != getattr(counted, unit)
    ]
    return judged(NAME, faults, f"{counted.macs:,} MACs, {counted.params:,} params, {counted.bytes:,} bytes")

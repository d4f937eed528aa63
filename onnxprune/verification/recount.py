"""The cost of the pruned model, counted anew from its own extents."""

from dataclasses import dataclass

from onnxprune.groups.analysis import analyse
from onnxprune.onnx_file import Graph
from onnxprune.operators.findings import Options
from onnxprune.verification.types import Check, CostLike, judged, skipped

NAME = "cost as promised"


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
        for extent in term.axes:
            product *= graph.shapes[extent[0]][extent[1]] if isinstance(extent, tuple) else len(extent)
        macs += product
    weights = [constant for constant in graph.initializers.values() if constant.is_weight]
    return Counted(macs, sum(w.size for w in weights), sum(w.nbytes for w in weights))


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

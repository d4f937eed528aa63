"""Numbers that count channels must come out right for every mask; where they would not, freeze.

An integer that stands literally in the file is patched when channels go. Two kinds need a look first:
one literal that must count two different things, and numbers that the graph computes itself.
"""

from collections import defaultdict

import numpy as np

from onnxprune.groups.solve import Solution
from onnxprune.onnx_file import Edge, Graph
from onnxprune.operators.context import Binding, Findings
from onnxprune.onnx_file.host import Extent, HostValues, Literal
from onnxprune.operators.labels import AxisLabels

Key = tuple[int, ...]


def freeze_conflicts(graph: Graph, findings: Findings, host: HostValues, solution: Solution) -> None:
    """Freeze what a number in the graph could not follow, in place."""
    by_literal: dict[Literal, list[Binding]] = defaultdict(list)
    for binding in findings.bindings:
        if isinstance(binding.place, str):
            continue
        node = graph.nodes[binding.node]
        name = node.inputs[binding.place]
        origin = host.origin(Edge(binding.node, binding.place), name, binding.index)
        if isinstance(origin, Literal):
            by_literal[origin].append(binding)
        elif isinstance(origin, Extent):
            behind = labels_at(findings, origin)
            if counted(behind, solution) != counted(binding.labels, solution):
                reason = f"its extent is computed at {node} from another axis"
                freeze_both(solution, [behind, binding.labels], reason)
        else:
            behind_all = [labels_at(findings, Extent(*e)) for e in host.extents_behind(name)]
            freeze_both(solution, [binding.labels, *behind_all], f"its extent is computed at {node}")
    for literal, bindings in by_literal.items():
        if len({counted(b.labels, solution) for b in bindings}) > 1:
            reason = f"one number ({literal.tensor}[{literal.index}]) counts it and something else"
            freeze_both(solution, [b.labels for b in bindings], reason)


def labels_at(findings: Findings, extent: Extent) -> AxisLabels:
    axes = findings.store.values.get(extent.value, ())
    return axes[extent.axis] if extent.axis < len(axes) else None


def freeze_both(solution: Solution, parts: list[AxisLabels], reason: str) -> None:
    for labels in parts:
        if labels is not None and len(labels):
            solution.freeze(labels, reason)


def counted(labels: AxisLabels, solution: Solution) -> Key:
    """The channels that may go from these labels, each as often as it occurs: what a count depends on."""
    if labels is None:
        return ()
    ids = solution.of_label[labels]
    return tuple(np.sort(ids[solution.reason[ids] < 0]).tolist())

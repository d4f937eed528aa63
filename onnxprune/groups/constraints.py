"""Numbers that count channels must come out right for every mask; where they would not, freeze.

An integer that stands literally in the file is patched when channels go. Two kinds need a look first:
one literal that must count two different things, and numbers that the graph computes from extents that
are free, so that no constant can take their place.
"""

from collections import defaultdict

import numpy as np

from onnxprune.groups.solve import Solution
from onnxprune.onnx_file import Edge, Graph
from onnxprune.onnx_file.host import Extent, HostValues, Literal, Origin, extents_of
from onnxprune.operators.context import Findings
from onnxprune.operators.labels import AxisLabels

Key = tuple[int, ...]
Wanted = dict[Edge, dict[int, AxisLabels]]  # what each element that an edge reads must count


def freeze_conflicts(graph: Graph, findings: Findings, host: HostValues, solution: Solution) -> None:
    """Freeze what a number in the graph could not follow, in place."""
    by_literal: dict[Literal, list[AxisLabels]] = defaultdict(list)
    for edge, elements in wanted_counts(findings, host, graph).items():
        node = graph.nodes[edge.node]
        origins = host.origins(edge, node.inputs[edge.slot])
        for index, labels in elements.items():
            origin = origins[index] if index < len(origins) else None
            if isinstance(origin, Literal):
                by_literal[origin].append(labels)
            elif not follows(origin, labels, findings, solution):
                behind = [labels_at(findings, extent) for extent in extents_of(origin)]
                freeze_all(solution, [labels, *behind], f"its extent is computed at {node}")
    for literal, parts in by_literal.items():
        if len({counted(labels, solution) for labels in parts}) > 1:
            reason = f"one number ({literal.tensor}[{literal.index}]) counts it and something else"
            freeze_all(solution, parts, reason)


def wanted_counts(findings: Findings, host: HostValues, graph: Graph) -> Wanted:
    """Every bound number, and every other element of a computed array that an operator reads."""
    wanted: Wanted = defaultdict(dict)
    for edge in findings.reads:
        for index in range(host.original(graph.nodes[edge.node].inputs[edge.slot]).size):
            wanted[edge][index] = None
    for binding in findings.bindings:
        if isinstance(binding.place, int):
            wanted[Edge(binding.node, binding.place)][binding.index] = binding.labels
    return wanted


def follows(origin: Origin, labels: AxisLabels, findings: Findings, solution: Solution) -> bool:
    """Whether a computed number comes out right by itself, for every mask."""
    if isinstance(origin, Extent):
        return counted(labels_at(findings, origin), solution) == counted(labels, solution)
    moving = any(counted(labels_at(findings, extent), solution) for extent in extents_of(origin))
    return not moving and not counted(labels, solution)


def labels_at(findings: Findings, extent: Extent) -> AxisLabels:
    axes = findings.store.values.get(extent.value, ())
    return axes[extent.axis] if extent.axis < len(axes) else None


def freeze_all(solution: Solution, parts: list[AxisLabels], reason: str) -> None:
    for labels in parts:
        if labels is not None and len(labels):
            solution.freeze(labels, reason)


def counted(labels: AxisLabels, solution: Solution) -> Key:
    """The channels that may go from these labels, each as often as it occurs: what a count depends on."""
    if labels is None:
        return ()
    ids = solution.of_label[labels]
    return tuple(np.sort(ids[solution.reason[ids] < 0]).tolist())

"""Numbers that count channels must come out right for every mask; where they would not, freeze.

An integer that stands literally in the file is patched when channels go. Two kinds need a look first:
one literal that must count two different things, which are coupled where they can be, and numbers that the
graph computes from extents that are free, so that no constant can take their place.
"""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from onnxprune.groups.literals import find_numbers
from onnxprune.groups.solve import Solution
from onnxprune.onnx_file import Edge, Graph, Node
from onnxprune.onnx_file.host import Extent, HostValues, Literal, Origin, extents_of
from onnxprune.operators.findings import Findings
from onnxprune.operators.labels import AxisLabels

Key = tuple[int, ...]
Wanted = dict[Edge, dict[int, AxisLabels]]  # what each element that an edge reads must count


def couple_shared(graph: Graph, findings: Findings, host: HostValues, solution: Solution) -> bool:
    """Couple, index by index, what one number counts; whether anything was, and is to be solved anew.

    The shape of keys and values is one Concat where an exporter merges what is equal: both keep as much.
    """
    coupled = False
    for parts in counted_by_literals(graph, findings, host).values():
        known = [part for part in parts if part is not None]
        if len(known) < len(parts) or len({len(part) for part in known}) > 1:
            continue
        if any((solution.reason[solution.of_label[part]] >= 0).any() for part in known):
            continue
        first, *others = known
        for other in others:
            if counted(first, solution) != counted(other, solution):
                findings.store.couple(first, other)
                coupled = True
    return coupled


def counted_by_literals(
    graph: Graph, findings: Findings, host: HostValues
) -> dict[Literal, list[AxisLabels]]:
    """What each number that stands in the file must count, wherever it comes to be read."""
    by_literal: dict[Literal, list[AxisLabels]] = defaultdict(list)
    for _, origin, labels in read_counts(graph, findings, host):
        if isinstance(origin, Literal):
            by_literal[origin].append(labels)
    return by_literal


def read_counts(
    graph: Graph, findings: Findings, host: HostValues
) -> Iterator[tuple[Node, Origin, AxisLabels]]:
    """Every number that is read: by which node, where it comes from, and what it must count."""
    for edge, elements in wanted_counts(findings, host, graph).items():
        node = graph.nodes[edge.node]
        origins = host.origins(edge, node.inputs[edge.slot])
        for index, labels in elements.items():
            yield node, origins[index] if index < len(origins) else None, labels


def freeze_conflicts(graph: Graph, findings: Findings, host: HostValues, solution: Solution) -> None:
    """Freeze what a number in the graph could not follow, in place."""
    moves = any(node.op_type == "Where" for node in host.program)  # a count may decide what is chosen
    for node, origin, labels in read_counts(graph, findings, host):
        if isinstance(origin, Extent):
            behind = labels_at(findings, origin)
            if counted(behind, solution) != counted(labels, solution):
                freeze_all(solution, [labels, behind], f"its extent is computed at {node}")
        elif not isinstance(origin, Literal):
            behind_all = [labels_at(findings, extent) for extent in extents_of(origin)]
            moves |= any(counted(part, solution) for part in [labels, *behind_all])
    for literal, parts in counted_by_literals(graph, findings, host).items():
        if len({counted(labels, solution) for labels in parts}) > 1:
            reason = f"one number ({literal.tensor}[{literal.index}]) counts it and something else"
            freeze_all(solution, parts, reason)
    while moves:
        moves = freeze_wrong(graph, findings, host, solution)


def freeze_wrong(graph: Graph, findings: Findings, host: HostValues, solution: Solution) -> bool:
    """Freeze what stands behind computed numbers that come out wrong for random masks, in place."""
    wanted = wanted_counts(findings, host, graph)
    wrong: set[tuple[Edge, int]] = set()
    for seed in range(DRAWS):
        rng = np.random.default_rng(seed)
        bits = (solution.reason >= 0) | (rng.random(solution.count) < rng.uniform(0.1, 0.9))
        wrong |= find_numbers(graph, findings, host, bits[solution.of_label]).wrong
    everything = [labels for axes in findings.store.values.values() for labels in axes]
    blamed = []
    for edge, index in sorted(wrong, key=lambda item: (item[0].node, item[0].slot, item[1])):
        node = graph.nodes[edge.node]
        origins = host.origins(edge, node.inputs[edge.slot])
        behind = extents_of(origins[index]) if origins else frozenset()
        parts = [wanted[edge].get(index), *(labels_at(findings, extent) for extent in behind)]
        # none of these could go: the fault is further back
        culprits = parts if any(counted(part, solution) for part in parts) else everything
        blamed.append((culprits, f"its extent is computed at {node}"))
    # not before all are blamed: two numbers may go wrong over one channel, and the first must not hide it
    for culprits, reason in blamed:
        freeze_all(solution, culprits, reason)
    return bool(wrong)


DRAWS = 16  # masks that a computed number is tried on


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

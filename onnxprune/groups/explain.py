"""Where each weighted node stands: in which groups, or why in none."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from onnxprune.groups.restrict import produced_by, touched_by
from onnxprune.groups.solve import Solution, solve
from onnxprune.groups.types import Groups
from onnxprune.onnx_file import Node

NONE = np.zeros(0, np.int64)
FIXED = "none of its axes can change"


@dataclass(frozen=True)
class Place:
    """A node that multiplies or holds weights.

    Attributes:
        node: The node.
        produces: Names of the groups whose channels come into being here.
        reads: Names of the other groups that run through it.
        reason: Why nothing of it can be pruned; "" where something can.
    """

    node: Node
    produces: tuple[str, ...]
    reads: tuple[str, ...]
    reason: str = ""


def explain(groups: Groups) -> tuple[Place, ...]:
    """Every weighted node in the order of the graph, in a group or with a reason.

    >>> [(str(p.node), p.produces, p.reason) for p in explain(groups)][-1]
    ('/fc/Gemm (Gemm)', ('g13',), "its channels are the graph output 'logits'")
    """
    solution = solve(groups.findings.store)
    return tuple(place_of(groups, node, solution) for node in weighted_nodes(groups))


def weighted_nodes(groups: Groups) -> Iterator[Node]:
    """Nodes with MACs, and those that read a weight of two axes or more."""
    graph = groups.graph
    counted = {term.node for term in groups.findings.macs}
    for node in graph.nodes:
        weights = (graph.initializers[name] for name in node.inputs if name in graph.initializers)
        if node.name in counted or any(w.is_weight and sum(n > 1 for n in w.shape) > 1 for w in weights):
            yield node


def place_of(groups: Groups, node: Node, solution: Solution) -> Place:
    made = sorted(produced_by(groups, node))
    read = sorted(touched_by(groups, node) - set(made))
    reasons = [groups[number].frozen for number in (*made, *read)]
    reason = reasons[0] if reasons else reason_outside(groups, node, solution)
    stays = "" if None in reasons else reason or ""
    return Place(node, names(groups, made), names(groups, read), stays)


def names(groups: Groups, numbers: list[int]) -> tuple[str, ...]:
    return tuple(groups[number].name for number in numbers)


def reason_outside(groups: Groups, node: Node, solution: Solution) -> str:
    """Why no group runs through a node."""
    if node.name in groups.findings.stopped:
        return groups.findings.stopped[node.name]
    store = groups.findings.store
    for name in (*node.inputs, *node.outputs):
        for labels in store.values.get(name, ()):
            numbers = solution.reason[solution.of_label[labels]] if labels is not None else NONE
            if (numbers >= 0).any():
                return solution.reasons[int(numbers[numbers >= 0].min())]
    causes = filter(None, (groups.findings.fixed.get(name) for name in node.inputs))
    return next((f"it reads {cause}, which cannot change" for cause in causes), FIXED)

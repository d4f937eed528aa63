"""Finding the groups of coupled channels of a graph."""

from onnxprune.groups.analysis import analyse
from onnxprune.groups.constraints import couple_shared, freeze_conflicts
from onnxprune.groups.solve import Solution, build_groups, solve
from onnxprune.groups.types import Group, Groups, Member
from onnxprune.onnx_file import Graph
from onnxprune.operators.findings import Findings, Options

__all__ = ["Group", "Groups", "Member", "find_groups"]


def find_groups(graph: Graph, *, heads: bool = False) -> Groups:
    """The channels of a graph that live and die together.

    Args:
        graph: From `load_graph`.
        heads: Where an axis holds heads (or groups) times indices, couple whole heads rather than equal
            indices of all heads.

    Returns:
        All groups in the order of the graph, frozen ones with their reason. Time and memory are linear in
        the number of sites.
    """
    options = Options(heads=heads)
    findings, host = analyse(graph, options)
    solution = solve(findings.store)
    for _ in range(MAX_PASSES):
        better = other_choices(findings, solution, options)
        if better is None:
            break
        options = better
        findings, host = analyse(graph, options)
        solution = solve(findings.store)
    while couple_shared(graph, findings, host, solution):
        solution = solve(findings.store)
    freeze_conflicts(graph, findings, host, solution)
    groups, components = build_groups(findings.store, solution, graph)
    return Groups(graph, tuple(groups), components, findings, host)


MAX_PASSES = 4


def other_choices(findings: Findings, solution: Solution, options: Options) -> Options | None:
    """Try the next carrier wherever the one that was taken came out frozen."""
    choices = dict(options.choices)
    changed = False
    for choice in findings.choices:
        if choice.options > 1 and solution.frozen(choice.carrier):
            following = choices.get((choice.node, choice.key), choice.taken) + 1
            if following < choice.options:
                choices[choice.node, choice.key] = following
                changed = True
    return Options(options.heads, choices) if changed else None

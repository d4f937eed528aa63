"""Leaving parts of a model alone, by name."""

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

import numpy as np

from onnxprune.errors import UsageError
from onnxprune.groups.types import Group, Groups
from onnxprune.onnx_file import Graph, Node
from onnxprune.operators.labels import AxisLabels

SCOPES = "pkg.torch.onnx.name_scopes"  # where torch's exporter keeps the module path of a node
Numbers = set[int]  # of groups


def restrict(groups: Groups, *, skip: Sequence[str] = (), only: Sequence[str] = ()) -> Groups:
    r"""The same groups, those frozen that a user wants left alone.

    Patterns are regular expressions, searched for in node names, initializer names and the module paths that
    torch's exporter writes into node metadata:

        restrict(groups, skip=["head"])            # nothing of a tensor at /head/... changes
        restrict(groups, only=[r"^layer3\."])      # only channels that layer3 produces

    Args:
        groups: From `find_groups`.
        skip: What matches keeps all its shapes: groups that run through any input or output of a matching
            node, or through a matching initializer, are frozen.
        only: Groups stay prunable where a matching node (or its weight) produces their channels; all other
            groups are frozen.

    Raises:
        UsageError: E204, a pattern that is no regular expression or that matches nothing.
    """
    items = list(groups)
    for pattern in skip:
        touched = matched_groups(groups, Pattern.of(pattern, "--skip"), node_groups=touched_by)
        items = frozen(items, touched, f"left alone by --skip {pattern!r}")
    if only:
        patterns = [Pattern.of(pattern, "--only") for pattern in only]
        wanted = set().union(*(matched_groups(groups, p, node_groups=produced_by) for p in patterns))
        items = frozen(items, set(range(len(items))) - wanted, "left alone by --only")
    return replace(groups, items=tuple(items))


def frozen(items: Iterable[Group], chosen: Numbers, reason: str) -> list[Group]:
    """Groups with these numbers frozen; an earlier reason stays."""
    return [
        replace(group, frozen=group.frozen or reason) if number in chosen else group
        for number, group in enumerate(items)
    ]


@dataclass(frozen=True)
class Pattern:
    """A regular expression and the option that it came from."""

    option: str
    text: str
    expression: re.Pattern[str]

    @staticmethod
    def of(text: str, option: str) -> "Pattern":
        try:
            return Pattern(option, text, re.compile(text))
        except re.error as error:
            message = f"{option} {text!r} is not a regular expression"
            raise UsageError("E204", message, cause=str(error)) from error

    def matches(self, names: Iterable[str]) -> bool:
        return any(self.expression.search(name) for name in names)


def matched_groups(
    groups: Groups, pattern: Pattern, *, node_groups: Callable[[Groups, Node], Numbers]
) -> Numbers:
    """Numbers of the groups that a pattern means."""
    graph = groups.graph
    nodes = [node for node in graph.nodes if pattern.matches(node_names(node))]
    tensors = [name for name in graph.initializers if pattern.matches([name])]
    if not nodes and not tensors:
        raise nothing_matches(pattern, graph)
    found: Numbers = set().union(*(node_groups(groups, node) for node in nodes))
    for name in tensors:
        if node_groups is touched_by:
            found |= carried(groups, groups.axis_labels(name))
        else:
            found |= {
                n for n, g in enumerate(groups) if any(m.tensor == name and m.role != "in" for m in g.members)
            }
    return found


def node_names(node: Node) -> Iterator[str]:
    """The node's name and the module paths above it."""
    yield node.name
    for entry in node.proto.metadata_props:
        if entry.key == SCOPES:
            yield from filter(None, scope_paths(entry.value))


def scope_paths(text: str) -> list[str]:
    """["", "layer1", "layer1.0", "relu"], written as a Python list."""
    try:
        paths = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return [text]
    return [str(path) for path in paths] if isinstance(paths, list) else [text]


def touched_by(groups: Groups, node: Node) -> Numbers:
    """Groups whose channels run through any input or output of a node."""
    names = [*node.inputs, *node.outputs]
    return set().union(*(carried(groups, groups.axis_labels(name)) for name in names))


def produced_by(groups: Groups, node: Node) -> Numbers:
    """Groups whose channels come into being at a node."""
    facts = groups.produced_at.get(node.name, ())
    made: Numbers = set().union(*(carried(groups, groups.axis_labels(name)) for name in node.outputs))
    read = [name for name in node.inputs if name not in groups.graph.initializers]
    passed: Numbers = set().union(*(carried(groups, groups.axis_labels(name)) for name in read))
    return carried(groups, facts) | (made - passed)


def carried(groups: Groups, axes: Iterable[AxisLabels]) -> Numbers:
    """Numbers of the groups among these labels."""
    found = [groups.components.group[labels] for labels in axes if labels is not None]
    numbers = np.unique(np.concatenate(found)) if found else np.zeros(0, np.int64)
    return set(numbers[numbers >= 0].tolist())


def nothing_matches(pattern: Pattern, graph: Graph) -> UsageError:
    names = [name for node in graph.nodes for name in node_names(node)] + list(graph.initializers)
    near = nearest(re.sub(r"[\^$*+?()\[\]{}|\\]", "", pattern.text), list(dict.fromkeys(names)))
    return UsageError(
        "E204",
        f"{pattern.option} {pattern.text!r} matches no node and no initializer",
        hint=f"closest names: {', '.join(near)}" if near else "`onnxprune inspect --nodes` lists the names",
    )


def nearest(text: str, names: list[str], count: int = 3) -> list[str]:
    """Names of which the whole or a part, such as one module of a path, is most like a text.

    >>> nearest("haed", ["/body/conv1", "/head/conv1", "/head/fc", "overhead"])
    ['/head/conv1', '/head/fc']
    """
    matcher = SequenceMatcher(b=text.strip("/._"))

    def likeness(name: str) -> float:
        best = 0.0
        for part in {name, *re.split(r"[/._]+", name)}:
            matcher.set_seq1(part)
            best = max(best, matcher.ratio())
        return best

    ranked = sorted(((likeness(name), -place) for place, name in enumerate(names)), reverse=True)
    return [names[-place] for like, place in ranked[:count] if like > 0.4]

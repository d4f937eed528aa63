"""Which numbers of the file must change for a mask, and whether all numbers then come out right.

A number that the graph computes follows its extents where it can; where it comes out wrong, the literal
that it is made of is changed, at the edge where that is read:

    Reshape(x, [-1, 512])                512 is a literal: patched
    Reshape(x, Concat(batch, Mul(64, H)))  64 scales the computed number: patched so that it fits
    Reshape(x, Shape(y))                 follows by itself
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxprune.onnx_file import Edge, Graph
from onnxprune.onnx_file.host import Computed, HostValues, Literal, Origin
from onnxprune.operators.findings import Findings

Bits = NDArray[np.bool_]
MAX_ROUNDS = 8


@dataclass(frozen=True)
class Numbers:
    """New values of literals; and the elements of what edges read that come out wrong all the same."""

    literals: dict[Literal, Any]
    wrong: set[tuple[Edge, int]]


def find_numbers(graph: Graph, findings: Findings, host: HostValues, keep: Bits) -> Numbers:
    """What must change so that every edge reads what it should: counts, else what it read before.

    `keep` has a bit for every label.
    """
    wanted = wanted_values(graph, findings, host, keep)
    shape = kept_shape(graph, findings, keep)
    literals: dict[Literal, Any] = {}
    for _ in range(MAX_ROUNDS):
        read = host.evaluate(shape, literals)
        changes: dict[Literal, Any] = {}
        wrong: set[tuple[Edge, int]] = set()
        for edge, values in wanted.items():
            name = graph.nodes[edge.node].inputs[edge.slot]
            found = read(edge, name)
            if found is None or found.size != values.size:
                wrong.update((edge, index) for index in range(values.size))
                continue
            origins = host.origins(edge, name)
            for index in np.flatnonzero(found.reshape(-1) != values).tolist():
                wrong.add((edge, index))
                origin = origins[index] if origins else None
                change = change_of(host, origin, found.reshape(-1)[index], values[index])
                changes |= integers_behind(host, name, literals) or change
        if not changes:
            break
        literals |= changes
    return Numbers(literals, wrong)


def wanted_values(graph: Graph, findings: Findings, host: HostValues, keep: Bits) -> dict[Edge, NDArray[Any]]:
    """What every edge should read whose numbers are bound or computed."""
    wanted = {
        edge: host.original(graph.nodes[edge.node].inputs[edge.slot]).reshape(-1) for edge in findings.reads
    }
    counts: dict[Edge, dict[int, int]] = defaultdict(dict)
    for binding in findings.bindings:
        if isinstance(binding.place, int) and binding.labels is not None and not keep[binding.labels].all():
            count = binding.sign * int(keep[binding.labels].sum()) + binding.extra
            counts[Edge(binding.node, binding.place)][binding.index] = count
    for edge, elements in counts.items():
        values = host.original(graph.nodes[edge.node].inputs[edge.slot]).reshape(-1).copy()
        values[list(elements)] = list(elements.values())
        wanted[edge] = values
    return wanted


def kept_shape(graph: Graph, findings: Findings, keep: Bits) -> Callable[[str], tuple[int, ...]]:
    """Shapes of values under a mask."""

    def shape(name: str) -> tuple[int, ...]:
        axes = findings.store.values.get(name, ())
        extents = graph.shapes[name]
        if len(axes) != len(extents):
            return extents
        return tuple(n if ls is None else int(keep[ls].sum()) for n, ls in zip(extents, axes, strict=True))

    return shape


def integers_behind(host: HostValues, name: str, changed: Mapping[Literal, Any]) -> dict[Literal, Any]:
    """For a computed float: the integers it is made of, as they were; {} once they have been restored.

    A restored integer is a number of the graph; a restored float would be a new weight.
    """
    makers = {node.outputs[0]: node for node in host.program}
    found: dict[Literal, Any] = {}
    queue = [name] if name in makers and host.original(name).dtype.kind == "f" else []
    while queue:
        node = makers[queue.pop()]
        for slot, source in enumerate(node.inputs):
            if source not in makers:
                continue
            array = host.original(source)
            if array.dtype.kind == "f":
                queue.append(source)
            else:
                origins = host.origins(Edge(node.index, slot), source)
                found |= {
                    o: v for o, v in zip(origins, array.reshape(-1), strict=True) if isinstance(o, Literal)
                }
    return found if not found.keys() <= changed.keys() else {}


def change_of(host: HostValues, origin: Origin, found: Any, value: Any) -> dict[Literal, Any]:
    """The literal to change so that an element is `value` rather than `found`; {} where there is none."""
    if isinstance(origin, Literal):
        return {origin: value}
    if not isinstance(origin, Computed) or origin.scale is None or found == 0:
        return {}
    old = host.original(origin.scale.tensor).reshape(-1)[origin.scale.index]
    fits = old.dtype.kind in "iu" and int(old) * int(value) % int(found) == 0
    return {origin.scale: int(old) * int(value) // int(found)} if fits else {}

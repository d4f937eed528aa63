"""The integers of a graph that count channels: attributes, shape constants, split sizes, indices."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxprune.groups import Groups
from onnxprune.onnx_file import Edge
from onnxprune.onnx_file.host import Literal
from onnxprune.onnx_file.patch import Patch
from onnxprune.operators.context import Binding, Reindex, Supply

Bits = NDArray[np.bool_]


def patch_numbers(patch: Patch, groups: Groups, keep: Bits) -> None:
    """Adjust every number that the operators bound to channels, in place."""
    wanted: dict[tuple[Edge, int], int] = {}
    for binding in groups.findings.bindings:
        if binding.labels is None or keep[binding.labels].all():
            continue
        value = binding.sign * int(keep[binding.labels].sum()) + binding.extra
        if isinstance(binding.place, str):
            patch_attribute(patch, binding, value)
        else:
            wanted[Edge(binding.node, binding.place), binding.index] = value
    patch_literals(patch, groups, find_literals(groups, wanted, keep))
    for supply in groups.findings.supplies:
        write_counts(patch, supply, keep)
    for pin in groups.findings.pins:
        if not keep[pin.labels].all():
            patch.set_attribute(pin.node, pin.name, pin.value)
    for reindex in groups.findings.reindexes:
        count_anew(patch, groups, reindex, keep)


def find_literals(groups: Groups, wanted: Mapping[tuple[Edge, int], int], keep: Bits) -> dict[Literal, Any]:
    """Which literals must change so that every edge reads what it should: counts, else what it read before.

    A number that the graph computes follows its extents where it can; where it comes out wrong, the value
    that it would have is written instead, at the edge where it is still constant.
    """
    graph, host = groups.graph, groups.host
    edges = {edge for edge, _ in wanted} | set(groups.findings.reads)
    literals: dict[Literal, Any] = {}

    def shape(name: str) -> tuple[int, ...]:
        axes = zip(graph.shapes[name], groups.axis_labels(name), strict=False)
        kept = tuple(n if labels is None else int(keep[labels].sum()) for n, labels in axes)
        return kept if len(kept) == len(graph.shapes[name]) else graph.shapes[name]

    for _ in range(MAX_ROUNDS):
        read, changes = host.evaluate(shape, literals), {}
        for edge in edges:
            name = graph.nodes[edge.node].inputs[edge.slot]
            old, new = host.original(name).reshape(-1), read(edge, name).reshape(-1)
            origins = host.origins(edge, name)
            for index in range(len(old)):
                value = wanted.get((edge, index), old[index])
                origin = origins[index] if index < len(origins) else None
                if new[index] != value and isinstance(origin, Literal):
                    changes[origin] = value
        if not changes:
            break
        literals |= changes
    return literals


MAX_ROUNDS = 8


def patch_attribute(patch: Patch, binding: Binding, value: int) -> None:
    assert isinstance(binding.place, str)
    if binding.index < 0:
        patch.set_attribute(binding.node, binding.place, value)
        return
    attribute = next(a for a in patch.node(binding.node).attribute if a.name == binding.place)
    attribute.ints[binding.index] = value


def patch_literals(patch: Patch, groups: Groups, literals: dict[Literal, Any]) -> None:
    """Change single elements of constants, for the edges that bring them in."""
    by_name: dict[str, dict[Edge, NDArray[Any]]] = defaultdict(dict)
    for literal, value in literals.items():
        arrays = by_name[literal.tensor]
        if literal.edge not in arrays:
            arrays[literal.edge] = groups.host.original(literal.tensor).copy()
        arrays[literal.edge].reshape(-1)[literal.index] = value
    for name, arrays in by_name.items():
        patch.replace_reads(name, arrays)


def write_counts(patch: Patch, supply: Supply, keep: Bits) -> None:
    """Write sizes that were left implicit, once they are no longer equal by themselves."""
    counts = [int(keep[part].sum()) for part in supply.parts]
    if all(keep[part].all() for part in supply.parts):
        return
    if isinstance(supply.place, str):
        patch.set_attribute(supply.node, supply.place, counts)
    else:
        node = patch.node(supply.node)
        name = patch.fresh_name(f"{node.name or node.output[0]}_sizes")
        patch.add(name, np.array(counts, np.int64))
        while len(node.input) <= supply.place:
            node.input.append("")
        node.input[supply.place] = name
    if supply.drop_attribute:
        patch.drop_attribute(supply.node, supply.drop_attribute)


def count_anew(patch: Patch, groups: Groups, reindex: Reindex, keep: Bits) -> None:
    """Indices into an axis that lost channels: those that are left, by their new positions."""
    bits = keep[reindex.labels]
    if bits.all():
        return
    edge = Edge(reindex.node, reindex.slot)
    name = groups.graph.nodes[reindex.node].inputs[reindex.slot]
    old = groups.graph.initializers[name].array()
    places = old.astype(np.int64) % len(bits)
    ranks = np.cumsum(bits) - 1
    stays = bits[places]
    if not stays.all():
        others = tuple(axis for axis in range(stays.ndim) if axis != reindex.axis)
        places = places.compress(stays.all(others), reindex.axis)
    new = ranks[places]
    patch.replace_reads(name, {edge: new.astype(old.dtype).reshape(new.shape)})

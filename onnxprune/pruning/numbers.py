"""The integers of a graph that count channels: attributes, shape constants, split sizes, indices."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxprune.groups import Groups
from onnxprune.groups.literals import find_numbers
from onnxprune.onnx_file import Edge
from onnxprune.onnx_file.host import Literal
from onnxprune.onnx_file.patch import Patch
from onnxprune.operators.findings import Binding, Reindex, Supply

Bits = NDArray[np.bool_]


def patch_numbers(patch: Patch, groups: Groups, keep: Bits) -> None:
    """Adjust every number that the operators bound to channels, in place."""
    numbers = find_numbers(groups.graph, groups.findings, groups.host, keep)
    assert not numbers.wrong, f"numbers that would come out wrong: {numbers.wrong}"
    put_numbers(patch, groups, keep, numbers.literals)


def put_numbers(patch: Patch, groups: Groups, keep: Bits, literals: Mapping[Literal, Any]) -> None:
    """Adjust attributes, these literals, sizes and indices of the nodes that the findings name, in place."""
    for binding in groups.findings.bindings:
        if isinstance(binding.place, str) and binding.labels is not None and not keep[binding.labels].all():
            patch_attribute(patch, binding, binding.sign * int(keep[binding.labels].sum()) + binding.extra)
    patch_literals(patch, groups, literals)
    for supply in groups.findings.supplies:
        write_counts(patch, supply, keep)
    for pin in groups.findings.pins:
        if not keep[pin.labels].all():
            patch.set_attribute(pin.node, pin.name, pin.value)
    for reindex in groups.findings.reindexes:
        count_anew(patch, groups, reindex, keep)


def patch_attribute(patch: Patch, binding: Binding, value: int) -> None:
    assert isinstance(binding.place, str)
    if binding.index < 0:
        patch.set_attribute(binding.node, binding.place, value)
        return
    attribute = next(a for a in patch.node(binding.node).attribute if a.name == binding.place)
    attribute.ints[binding.index] = value


def patch_literals(patch: Patch, groups: Groups, literals: Mapping[Literal, Any]) -> None:
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

"""The contract with those who use the file: what they see of it is what they saw before.

Inputs, outputs, versions, metadata, names and order of the nodes, operators, attributes: everything except
weights, the numbers that count channels, and the declared extents of inner values.
"""

from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import Message
from onnx import ModelProto, ValueInfoProto

from onnxprune.onnx_file import Graph
from onnxprune.onnx_file.external import external_locations
from onnxprune.onnx_file.ordering import captures
from onnxprune.verification.allowed import Allowed
from onnxprune.verification.contract_nodes import node_faults
from onnxprune.verification.types import Check, judged

NAME = "contract: I/O names, dtypes, dynamic dims, opset, IR, metadata, nodes unchanged"
OWN_METADATA = "onnxprune."
DESCRIPTION = ("name", "data_type", "doc_string", "metadata_props")


def check_contract(
    original: Graph, pruned: Graph, may: Allowed, *, retrained: bool, file: Path | None
) -> Check:
    """Compare all that must not change.

    Args:
        original: What was pruned.
        pruned: The result.
        may: Which numbers may change.
        retrained: Whether weights were repaired or trained after pruning (then a bias may be new).
        file: Where the result was written, if it was: its external data is compared too.
    """
    before, after = original.model, pruned.model
    faults = [
        *model_faults(before, after),
        *value_faults(before, after),
        *node_faults(before, after, may, retrained=retrained),
        *initializer_faults(before, after),
        *use_faults(original, pruned),
    ]
    if file is not None:
        faults += layout_faults(before, after)
    detail = f"{len(after.graph.node):,} nodes, {len(after.graph.initializer):,} initializers"
    return judged(NAME, faults, detail)


def model_faults(before: ModelProto, after: ModelProto) -> Iterator[str]:
    """Every field of the model and of its graph that is not looked at on its own."""
    for was, now, apart in ((before, after, {"graph"}), (before.graph, after.graph, LOOKED_AT)):
        for field in type(was).DESCRIPTOR.fields:
            if field.name == "metadata_props":
                foreign = [p for p in pairs(now.metadata_props) if not p[0].startswith(OWN_METADATA)]
                if foreign != [p for p in pairs(was.metadata_props) if not p[0].startswith(OWN_METADATA)]:
                    yield f"metadata_props of the {kind(was)} changed"
            elif field.name not in apart and getattr(was, field.name) != getattr(now, field.name):
                yield f"{field.name} of the {kind(was)} changed"


LOOKED_AT = {"node", "initializer", "input", "output", "value_info"}


def kind(message: Message) -> str:
    return "model" if isinstance(message, ModelProto) else "graph"


def pairs(properties: object) -> list[tuple[str, str]]:
    return [(p.key, p.value) for p in properties]  # type: ignore[attr-defined]


def value_faults(before: ModelProto, after: ModelProto) -> Iterator[str]:
    """Inputs and outputs are equal; inner values, and weights that are inputs too, may be smaller."""
    weights = {tensor.name for tensor in before.graph.initializer}
    for what in ("input", "output", "value_info"):
        was, now = list(getattr(before.graph, what)), list(getattr(after.graph, what))
        if [value.name for value in was] != [value.name for value in now]:
            yield f"the names of the graph's {what}s changed: {differing(was, now)}"
            continue
        for old, new in zip(was, now, strict=True):
            inner = what == "value_info" or old.name in weights
            if old != new and not (inner and smaller(old, new)):
                yield f"{what} {old.name!r}: type, extents or description changed"


def differing(was: list[ValueInfoProto], now: list[ValueInfoProto]) -> str:
    lost = [v.name for v in was if v.name not in {v.name for v in now}]
    new = [v.name for v in now if v.name not in {v.name for v in was}]
    return f"without {lost[:3]}, with {new[:3]}" if lost or new else "another order"


def smaller(old: ValueInfoProto, new: ValueInfoProto) -> bool:
    """Equal but for fixed extents, which may only have become smaller."""
    rest_old, rest_new = ValueInfoProto(), ValueInfoProto()
    rest_old.CopyFrom(old)
    rest_new.CopyFrom(new)
    was, now = rest_old.type.tensor_type.shape.dim, rest_new.type.tensor_type.shape.dim
    if len(was) != len(now):
        return False
    for a, b in zip(was, now, strict=True):
        if a.HasField("dim_value") and b.HasField("dim_value") and 0 < b.dim_value <= a.dim_value:
            b.dim_value = a.dim_value
    return rest_old == rest_new


def initializer_faults(before: ModelProto, after: ModelProto) -> Iterator[str]:
    """The old ones come first, in their order, with their types and descriptions."""
    was, now = before.graph.initializer, after.graph.initializer
    names = [tensor.name for tensor in was]
    if names != [tensor.name for tensor in now][: len(names)]:
        lost = [name for name in names if name not in {tensor.name for tensor in now}]
        yield f"initializers are missing: {lost[:3]}" if lost else "the order of the initializers changed"
        return
    for old, new in zip(was, now, strict=False):
        for field in DESCRIPTION:
            if getattr(old, field, None) != getattr(new, field, None):
                yield f"{field} of initializer {old.name!r} changed"


def use_faults(original: Graph, pruned: Graph) -> Iterator[str]:
    """No constant became useless, and every new one is read."""
    before, after = used(original), used(pruned)
    constants = {tensor.name for tensor in original.model.graph.initializer}
    for tensor in pruned.model.graph.initializer:
        if tensor.name not in after and (tensor.name in before or tensor.name not in constants):
            yield f"initializer {tensor.name!r} is read by nothing" + (
                ", it was in the original" if tensor.name in constants else ""
            )


def used(graph: Graph) -> set[str]:
    names = {output.name for output in graph.model.graph.output}
    for node in graph.model.graph.node:
        names.update(node.input)
        names.update(captures(node))
    return names


def layout_faults(before: ModelProto, after: ModelProto) -> Iterator[str]:
    """The same tensors lie in weights files, and share them as before."""
    was, now = external_locations(before), external_locations(after)
    for name in was.keys() - now.keys():
        yield f"the values of {name!r} lay in a weights file and are inside the model now"
    for name in now.keys() - was.keys():
        yield f"the values of {name!r} lay inside the model and are in a weights file now"
    if was.keys() == now.keys() and shared(was) != shared(now):
        yield "tensors share their weights files in another way than before"


def shared(locations: dict[str, str]) -> set[frozenset[str]]:
    files: dict[str, set[str]] = {}
    for name, location in locations.items():
        files.setdefault(location, set()).add(name)
    return {frozenset(names) for names in files.values()}

"""The nodes of the pruned model against those of the original, one by one in the order of the file."""

from collections.abc import Iterator

from google.protobuf.message import Message
from onnx import AttributeProto, ModelProto, NodeProto

from onnxprune.verification.allowed import Allowed, node_key

VALUES = {"value", "value_int", "value_ints", "value_float", "value_floats"}
SAME = ("name", "op_type", "domain", "overload", "doc_string", "output", "metadata_props")


def node_faults(before: ModelProto, after: ModelProto, may: Allowed, *, retrained: bool) -> Iterator[str]:
    """No node was added, removed, renamed or moved, and none reads or means anything else."""
    was, now = before.graph.node, after.graph.node
    fresh = {t.name for t in after.graph.initializer} - {t.name for t in before.graph.initializer}
    if len(was) != len(now):
        yield f"{len(now)} nodes instead of {len(was)}; {operators(before, after)}"
        return
    for old, new in zip(was, now, strict=True):
        if equal(old, new):
            continue
        where = f"node {old.name or node_key(tuple(old.output))} ({old.op_type})"
        for field in SAME:
            if getattr(old, field, None) != getattr(new, field, None):
                yield f"{where}: its {field} changed"
        yield from input_faults(old, new, may, fresh if retrained else set(), where)
        yield from attribute_faults(old, new, may, where)


def equal(old: Message, new: Message) -> bool:
    """Bit for bit: a NaN equals itself."""
    a, b = (message.SerializeToString(deterministic=True) for message in (old, new))
    return bool(a == b)


def operators(before: ModelProto, after: ModelProto) -> str:
    kinds = [{(n.domain, n.op_type) for n in model.graph.node} for model in (before, after)]
    new = sorted(f"{domain}::{name}".removeprefix("::") for domain, name in kinds[1] - kinds[0])
    return f"operators {', '.join(new)} are new" if new else "no operator is new"


def input_faults(old: NodeProto, new: NodeProto, may: Allowed, biases: set[str], where: str) -> Iterator[str]:
    """Other inputs only where numbers that count channels enter, and a bias after further training."""
    key = node_key(tuple(old.output))
    for slot in range(max(len(old.input), len(new.input))):
        was = old.input[slot] if slot < len(old.input) else ""
        now = new.input[slot] if slot < len(new.input) else ""
        if was != now and (key, slot) not in may.edges and not (not was and now in biases):
            yield f"{where}: input {slot} was {was!r} and is {now!r}"


def attribute_faults(old: NodeProto, new: NodeProto, may: Allowed, where: str) -> Iterator[str]:
    """Other values only where an attribute counts channels; the values of Constant nodes are weights."""
    was, now = ({a.name: a for a in node.attribute} for node in (old, new))
    constant = old.op_type == "Constant" and old.domain in ("", "ai.onnx")
    for name in was.keys() | now.keys():
        if constant and name in VALUES and name in was and name in now:
            if described(was[name]) != described(now[name]):
                yield f"{where}: type or description of its value changed"
        elif (node_key(tuple(old.output)), name) in may.attributes:
            if name in was and name in now and was[name].type != now[name].type:
                yield f"{where}: the type of attribute {name!r} changed"
        elif name not in was or name not in now or not equal(was[name], now[name]):
            got, expected = (shown(side.get(name)) for side in (now, was))
            yield f"{where}: attribute {name!r} was {expected} and is {got}"


def described(attribute: AttributeProto) -> tuple[object, ...]:
    tensor = attribute.t
    return attribute.type, tensor.data_type, tensor.name, tensor.doc_string


def shown(attribute: AttributeProto | None) -> str:
    if attribute is None:
        return "absent"
    if attribute.type in (AttributeProto.INT, AttributeProto.FLOAT):
        return str(attribute.i if attribute.type == AttributeProto.INT else attribute.f)
    return str(list(attribute.ints)) if attribute.type == AttributeProto.INTS else "another one"

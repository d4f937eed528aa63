"""From a graph to a plan: which function each node calls, and how it gets what it reads.

Everything is decided here, once: versions, which values are host values, which constants are frozen into the
plan as Python numbers. What an operator's function does not take (an input, an attribute) is refused here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, helper, numpy_helper

from onnxprune.converters.carrying import Carried
from onnxprune.converters.folding import MOST as MOST_FOLDED
from onnxprune.converters.folding import folded, shape_constant
from onnxprune.converters.functions.reference import by_reference, can_run
from onnxprune.converters.host import HOST, HostType
from onnxprune.converters.master import widened
from onnxprune.converters.signature import EITHER, NUMBERS, Function, signature_of
from onnxprune.converters.steps import Plan, Source, Step
from onnxprune.converters.table import function_for, lacking
from onnxprune.converters.types import tensor_of
from onnxprune.errors import UnsupportedError
from onnxprune.onnx_file import Initializer

HOST_TYPES = {TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL, TensorProto.FLOAT}
MOST_ON_HOST = 64  # elements of a constant that shape arithmetic may use
MOST_FLOATS = 8  # longer ones may be weights
SHAPE_OPERATORS = ("Shape", "Size")


@dataclass
class Scope:
    """What planning knows of values; a subgraph's scope begins as a copy of the one around it.

    Attributes:
        versions: Opset by domain.
        constants: Initializers and the tensors of Constant nodes, by name.
        hosts: Values that are Python numbers at run time.
        foreign: Values that numpy holds because torch cannot.
        carried: Quantised values that are floats here.
        master: Half precision is computed as float32.
        lengths: Extents of values of one axis, where shape inference knows them.
        numbers: Values that are read as Python numbers alone.
        folded: Constants that planning computed from others.
        uses: How the tensors of constants are used, (op_type, input position), filled while planning.
    """

    versions: Mapping[str, int]
    constants: dict[str, Initializer]
    foreign: frozenset[str]
    carried: Carried = field(default_factory=Carried)
    master: bool = False
    lengths: Mapping[str, int] = field(default_factory=dict)
    numbers: frozenset[str] = frozenset()
    folded: set[str] = field(default_factory=set)
    hosts: dict[str, HostType] = field(default_factory=dict)
    uses: dict[str, list[tuple[str, int]]] = field(default_factory=dict)

    def inner(self) -> "Scope":
        return replace(self, hosts=dict(self.hosts))


def plan_graph(graph: GraphProto, scope: Scope) -> Plan:
    """The plan of a graph or subgraph.

    Raises:
        UnsupportedError: E406, a node's operator, input or attribute has no function.
    """
    inputs = tuple(i.name for i in graph.input if i.name not in scope.constants)
    steps = [
        step
        for node in graph.node
        if not (node.op_type == "Constant" and node.output[0] in scope.constants)
        for step in plan_node(node, scope)
    ]
    outputs = tuple(tensor_source(o.name, scope, ("", 0)) for o in graph.output)
    own = {*inputs, *scope.constants, *(name for step in steps for name in step.outputs)}
    captures = frozenset(needs(steps, outputs) - own)
    return Plan(inputs, tuple(with_drops(steps, outputs, scope)), outputs, captures)


def plan_node(node: NodeProto, scope: Scope) -> list[Step]:
    """The step of a node; none where its value is known already."""
    carries = scope.carried.carries(node)
    if not carries and fold(node, scope):
        return []
    keywords = {a.name: attribute(a, node, scope) for a in node.attribute}
    domain = "" if node.domain == "ai.onnx" else node.domain
    if domain == "" and node.op_type in HOST and not carries:
        kind = host_type(node, keywords, scope)
        if kind is not None:
            return host_step(node, keywords, kind, scope)
    foreign = not carries and scope.foreign.intersection((*node.input, *node.output))
    if foreign and not holds_graph(node):
        return [reference_step(node, scope)]
    function = function_for(domain, node.op_type, scope.versions.get(domain, 1), where=describe(node))
    if function is by_reference:
        return [reference_step(node, scope)]
    signature = signature_of(function)
    require_taken(node, function, scope)
    sources = tuple(
        source_for(name, signature.kind(position), scope, (node.op_type, position))
        for position, name in enumerate(node.input)
    )
    if domain == "" and node.op_type in SHAPE_OPERATORS:
        rank = int(node.op_type == "Shape")
        scope.hosts[node.output[0]] = HostType(rank, TensorProto.INT64)
    keywords |= {name: ask(node, scope) for name, ask in ASKED.items() if name in signature.asks}
    return [step_of(node, function, sources, keywords, signature.asks)]


def number_type(node: NodeProto, scope: Scope) -> int:
    """The element type of the first input where it is a number; 0 of a tensor."""
    known = known_host(node.input[0], scope)
    return known.elem_type if known is not None else 0


def carried_type(node: NodeProto, scope: Scope) -> int:
    return scope.carried.types.get(node.output[0], 0)


def master_type(node: NodeProto, scope: Scope) -> int:
    name = node.input[0]
    return scope.carried.types[name] if name in scope.carried.masters else 0


ASKED = {"_elem_type": number_type, "_carried": carried_type, "_master": master_type}


def holds_graph(node: NodeProto) -> bool:
    return any(a.type == AttributeProto.GRAPH for a in node.attribute)


def fold(node: NodeProto, scope: Scope) -> bool:
    """Whether a node's outputs are constants, which are then added to the scope, in place."""
    if node.domain not in ("", "ai.onnx") or scope.foreign.intersection(node.input):
        return False
    extents = known_extents(node.input[0], scope) if node.op_type in SHAPE_OPERATORS else None
    if extents is not None:
        made = {node.output[0]: shape_constant(node, extents)}
    elif all(name in scope.constants and small(name, scope) for name in node.input):
        arrays = [scope.constants[name].array() for name in node.input]
        made = folded(node, arrays, {"": scope.versions.get("", 1)})
    else:
        made = {}
    scope.constants.update(made)
    scope.folded.update(made)
    return bool(made)


def known_extents(name: str, scope: Scope) -> tuple[int, ...] | None:
    """Of a constant, or of a list of numbers, whose length depends on no input's extents."""
    if name in scope.constants:
        return scope.constants[name].shape
    if name in scope.hosts and scope.hosts[name].rank == 0:
        return ()
    return (scope.lengths[name],) if name in scope.hosts and name in scope.lengths else None


def small(name: str, scope: Scope) -> bool:
    return scope.constants[name].size <= MOST_FOLDED


def step_of(
    node: NodeProto,
    function: Function | None,
    sources: tuple[Source, ...],
    keywords: Mapping[str, Any],
    asks: frozenset[str] = frozenset(),
) -> Step:
    outputs = tuple(node.output)
    return Step(
        function, sources, keywords, asks, outputs, node.name or next(iter(outputs), ""), node.op_type
    )


def describe(node: NodeProto) -> str:
    return node.name or next((o for o in node.output if o), "without a name")


# --- host values -----------------------------------------------------------------------------------------


def host_type(node: NodeProto, keywords: Mapping[str, Any], scope: Scope) -> HostType | None:
    """Rank and type of what a node gives, where Python numbers can compute it."""
    types = [known_host(name, scope) for name in node.input if name]
    present = [t for t in types if t is not None]
    if not present or len(present) < len(types):
        return None
    if is_float_constant(present) and node.output[0] not in scope.numbers:
        return None
    rank = HOST[node.op_type].rank(*present, **keywords)
    if rank is None:
        return None
    value = None
    if all(t.value is not None for t in present):
        value = HOST[node.op_type].function(*(host_source(n, scope).constant for n in node.input), **keywords)
    return HostType(rank, host_elem_type(node, keywords, present), value)


def known_host(name: str, scope: Scope) -> HostType | None:
    if name in scope.hosts:
        return scope.hosts[name]
    constant = scope.constants.get(name)
    if constant is None or constant.proto.data_type not in HOST_TYPES or len(constant.shape) > 1:
        return None
    most = MOST_FLOATS if constant.proto.data_type == TensorProto.FLOAT else MOST_ON_HOST
    if constant.size > most or not constant.size:
        return None
    return HostType(len(constant.shape), constant.proto.data_type, constant.array().tolist())


def is_float_constant(types: Sequence[HostType]) -> bool:
    """Whether these are constants alone, among them a list of floats: a weight that gradients must reach."""
    lists = any(t.rank == 1 and t.elem_type == TensorProto.FLOAT for t in types)
    return lists and all(t.value is not None for t in types)


def host_elem_type(node: NodeProto, keywords: Mapping[str, Any], types: Sequence[HostType]) -> int:
    if node.op_type == "Cast":
        return int(keywords["to"])
    if node.op_type in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not", "And", "Or"):
        return int(TensorProto.BOOL)
    if node.op_type == "ConstantOfShape":
        return int(TensorProto.INT64)
    return types[1 if node.op_type == "Where" else 0].elem_type


def host_step(node: NodeProto, keywords: Mapping[str, Any], kind: HostType, scope: Scope) -> list[Step]:
    scope.hosts[node.output[0]] = kind
    sources = tuple(host_source(name, scope) for name in node.input)
    return [step_of(node, None, sources, keywords)]


def host_source(name: str, scope: Scope) -> Source:
    known = known_host(name, scope) if name else None
    if known is not None and known.value is not None:
        return Source(constant=known.value)
    return Source(name)


# --- arguments -------------------------------------------------------------------------------------------


def source_for(name: str, kind: str | None, scope: Scope, use: tuple[str, int]) -> Source:
    """How an input of a function gets its value."""
    if not name:
        return Source()
    if kind in NUMBERS:
        return number_source(name, kind, scope)
    known = known_host(name, scope) if kind == EITHER else None
    if known is not None and known.rank == 0:
        return host_source(name, scope)
    return tensor_source(name, scope, use)


def number_source(name: str, kind: str, scope: Scope) -> Source:
    constant = scope.constants.get(name)
    if constant is not None:
        values = constant.array().reshape(-1).tolist()
        if kind in ("ints", "floats"):
            return Source(constant=values)
        return Source(constant=values[0] if values else None)
    return Source(name, change=kind)


def tensor_source(name: str, scope: Scope, use: tuple[str, int]) -> Source:
    if name in scope.hosts:
        return Source(name, change="tensor", elem_type=scope.hosts[name].elem_type)
    if name in scope.constants:
        scope.uses.setdefault(name, []).append(use)
    return Source(name)


def require_taken(node: NodeProto, function: Function, scope: Scope) -> None:
    """Raises: UnsupportedError: E406, the node has an input or attribute that its function does not take."""
    signature = signature_of(function)
    for position, name in enumerate(node.input):
        if name and signature.kind(position) is None:
            raise refused(node, f"input {position} ({name})", scope)
    for a in node.attribute:
        if a.name not in signature.names:
            raise refused(node, f"attribute {a.name}", scope)


def refused(node: NodeProto, what: str, scope: Scope) -> UnsupportedError:
    version = scope.versions.get(node.domain, scope.versions.get("", 1))
    return UnsupportedError(
        "E406",
        f"node {describe(node)}: the round trip has no {what} of {node.op_type} (opset {version})",
        hint="prune and reconstruct still work on this model; distill does not",
    )


def attribute(proto: AttributeProto, node: NodeProto, scope: Scope) -> Any:
    """An attribute as what functions take: numbers, text, tensors, or the plan of a subgraph."""
    if proto.ref_attr_name:
        raise refused(node, f"reference {proto.ref_attr_name}", scope)
    if proto.type == AttributeProto.GRAPH:
        return plan_graph(proto.g, inner_scope(node, proto.g, scope))
    value = attribute_value(proto)
    return widened(proto.name, value) if scope.master else value


def attribute_value(proto: AttributeProto) -> Any:
    if proto.type == AttributeProto.TENSOR:
        return tensor_of(numpy_helper.to_array(proto.t))
    if proto.type in (AttributeProto.SPARSE_TENSOR, AttributeProto.TYPE_PROTO):
        return helper.get_attribute_value(proto).SerializeToString()
    value = helper.get_attribute_value(proto)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if proto.type == AttributeProto.STRINGS:
        return [text.decode(errors="replace") for text in value]
    return value


def inner_scope(node: NodeProto, graph: GraphProto, scope: Scope) -> Scope:
    """Of a subgraph; a Loop gives its body the number of the trip, and that it goes on."""
    inner = scope.inner()
    if node.op_type == "Loop":
        number, going = graph.input[:2]
        inner.hosts[number.name] = HostType(0, TensorProto.INT64)
        inner.hosts[going.name] = HostType(0, TensorProto.BOOL, value=True)
    return inner


def reference_step(node: NodeProto, scope: Scope) -> Step:
    """A node that touches text or another type that torch lacks: onnx's own evaluator runs it."""
    sources = tuple(
        tensor_source(name, scope, (node.op_type, i)) if name else Source()
        for i, name in enumerate(node.input)
    )
    domain = "" if node.domain == "ai.onnx" else node.domain
    version = scope.versions.get(domain, 1)
    proto, opsets = node.SerializeToString(), {node.domain: version, "": scope.versions.get("", 1)}
    if not can_run(proto, opsets):
        raise lacking(domain, node.op_type, version, where=describe(node))
    keywords = {"_node": proto, "_opsets": opsets}
    return step_of(node, by_reference, sources, keywords, frozenset({"_device"}))


# --- lifetimes -------------------------------------------------------------------------------------------


def needs(steps: Iterable[Step], outputs: Sequence[Source]) -> set[str]:
    """Names that steps and outputs read, those inside subgraphs included."""
    found = {source.name for source in outputs if source.name}
    for step in steps:
        found |= reads(step)
    return found


def reads(step: Step) -> set[str]:
    bodies = (value for value in step.keywords.values() if isinstance(value, Plan))
    inner = {name for body in bodies for name in body.captures}
    return {source.name for source in step.sources if source.name} | inner


def with_drops(steps: Sequence[Step], outputs: Sequence[Source], scope: Scope) -> list[Step]:
    """The steps, each with the values that nobody reads after it."""
    kept = {source.name for source in outputs} | set(scope.constants)
    seen: set[str] = set()
    result = []
    made = {name for step in steps for name in step.outputs if name}
    for step in reversed(steps):
        touched = (reads(step) & made) | {name for name in step.outputs if name}
        drops = tuple(sorted(touched - seen - kept))
        seen |= touched
        result.append(replace(step, drops=drops))
    return result[::-1]

"""Our own channel check: at every node whose extents are known, do they fit each other?

The ONNX checker, strict shape inference and even a session of ONNX Runtime accept graphs that were sliced
wrongly, and with its default optimisations some of them run and return numbers. The rules here restate the
ONNX specification; they share nothing with the coupling functions that decided what to slice.
"""

from collections import Counter
from collections.abc import Iterator

from onnx import ValueInfoProto

from onnxprune.onnx_file import Graph, Node
from onnxprune.onnx_file.host import HostValues
from onnxprune.verification.contraction_rules import CONTRACTIONS
from onnxprune.verification.elementwise_rules import ELEMENTWISE, elementwise
from onnxprune.verification.extents import Rule, Shape, view_node
from onnxprune.verification.layout_rules import LAYOUT
from onnxprune.verification.normalization_rules import NORMALIZATIONS
from onnxprune.verification.quantised_rules import QUANTISED_RULES
from onnxprune.verification.recurrent_rules import RECURRENT
from onnxprune.verification.types import Check, judged
from onnxprune.verification.value_extents import Axes, settled

RULES: dict[tuple[str, str], Rule] = {
    **CONTRACTIONS,
    **NORMALIZATIONS,
    **ELEMENTWISE,
    **LAYOUT,
    **RECURRENT,
    **QUANTISED_RULES,
}
NAME = "channels fit at every node"


def check_channels(original: Graph, pruned: Graph, *, loose: Axes = frozenset(), final: bool = True) -> Check:
    """Extents at every node of the pruned model, and against those of the original.

    Args:
        original: The graph that was pruned.
        pruned: The result, with shapes under the same input shapes (`lens`).
        loose: Axes whose extents depend on values that changed weights went into: they are not compared.
        final: All extents that can be known are: an output without any is a fault.
    """
    faults = list(node_faults(pruned))
    faults += unknown_faults(original, pruned) if final else []
    comparable = settled(original, pruned, loose)
    faults += value_faults(original, comparable)
    faults += broadcast_faults(original, comparable)
    checked = sum(is_checked(pruned, node) for node in pruned.nodes)
    detail = f"{checked:,} of {len(pruned.nodes):,} nodes"
    missing = Counter(
        f"{n.domain}::{n.op_type}" if n.domain else n.op_type for n in pruned.nodes if rule_of(n) is None
    )
    if missing:
        detail += "; no rule for " + ", ".join(sorted(missing))
    return judged(NAME, faults, detail, nodes=len(pruned.nodes), checked=checked)


def first_fault(graph: Graph) -> str | None:
    """The first node of a model whose extents do not fit each other; None where all do."""
    return next(node_faults(graph), None)


def rule_of(node: Node) -> Rule | None:
    return RULES.get((node.domain, node.op_type))


def is_checked(graph: Graph, node: Node) -> bool:
    """There is a rule, and what it looks at is known."""
    return rule_of(node) is not None and all(name in graph.shapes for name in node.inputs if name)


def node_faults(graph: Graph) -> Iterator[str]:
    """What the rules find, node by node in topological order."""
    host = HostValues(graph)
    for node in graph.nodes:
        host.visit(node)
        rule = rule_of(node)
        if rule is None:
            continue
        try:
            yield from (f"node {node}: {fault}" for fault in rule(view_node(graph, host, node)))
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            # a rule reads the axes that the specification demands: one that is missing is a fault too
            yield f"node {node}: its extents cannot be those of a {node.op_type} ({error})"


def unknown_faults(original: Graph, pruned: Graph) -> Iterator[str]:
    for output in original.outputs:
        if output.name in original.shapes and output.name not in pruned.shapes:
            before = original.shapes[output.name]
            yield f"graph output {output.name!r}: its extents are {before} in the original and unknown now"


def value_faults(original: Graph, pruned: Graph) -> Iterator[str]:
    """Values keep their axes and never grow; graph outputs keep their extents; nothing becomes empty."""
    outputs = {output.name for output in original.outputs}
    for name, before in original.shapes.items():
        after = pruned.shapes.get(name)
        if after is None:
            continue
        if name in outputs and after != before:
            yield f"graph output {name!r}: got {after}, expected {before}"
        elif len(after) != len(before):
            yield f"value {name!r} has {len(after)} axes, in the original {len(before)}"
        elif any(a > b for a, b in zip(after, before, strict=True)):
            yield f"value {name!r} grew from {before} to {after}"
        elif 0 in after and 0 not in before:
            yield f"value {name!r} became empty: {after}"
    yield from declared_faults(original, pruned)


def broadcast_faults(original: Graph, pruned: Graph) -> Iterator[str]:
    """Operands that met with equal extents still do: an axis cut down to 1 would broadcast without a word."""
    before = {node.outputs[0]: node for node in original.nodes}
    for node in pruned.nodes:
        old = before.get(node.outputs[0])
        if old is None or rule_of(node) is not elementwise or len(old.inputs) != len(node.inputs):
            continue
        was, now = aligned(original, old), aligned(pruned, node)
        for axis, (extents, others) in enumerate(zip(was, now, strict=False), start=1):
            if len(set(extents)) == 1 and len(set(others)) > 1:
                yield f"node {node}: extents {others} meet along axis -{axis}, in the original {extents}"


def aligned(graph: Graph, node: Node) -> list[tuple[int, ...]]:
    """The extents of all operands along each axis that all of them have; the last axis comes first."""
    shapes = [graph.shapes.get(name) for name in node.inputs]
    known = [shape[::-1] for shape in shapes if shape is not None]
    return list(zip(*known, strict=False)) if len(known) == len(shapes) else []


def declared_faults(original: Graph, pruned: Graph) -> Iterator[str]:
    """Extents that the file declares follow from its nodes, where they did so in the original."""
    before = {value.name: value for value in original.model.graph.value_info}
    for value in pruned.model.graph.value_info:
        right = value.name in before and contradiction(before[value.name], original) is None
        wrong = contradiction(value, pruned)
        if right and wrong is not None:
            real = pruned.shapes[value.name]
            yield f"value_info of {value.name!r} declares {wrong}, its extents are {real}"


def contradiction(value: ValueInfoProto, graph: Graph) -> list[int | None] | None:
    """The declared extents where they cannot be the real ones; None where they can."""
    shape: Shape | None = graph.shapes.get(value.name)
    dims = value.type.tensor_type.shape.dim
    if shape is None or not value.type.tensor_type.HasField("shape"):
        return None
    declared = [d.dim_value if d.HasField("dim_value") else None for d in dims]
    if len(declared) != len(shape) or any(d not in (None, n) for d, n in zip(declared, shape, strict=True)):
        return declared
    return None

"""Every operator's statements about a graph, gathered in one pass over its nodes."""

from onnxprune.onnx_file import Graph
from onnxprune.onnx_file.blame import blaming
from onnxprune.onnx_file.host import Extent, HostValues
from onnxprune.onnx_file.ordering import captures
from onnxprune.operators.context import CannotFollow, NodeContext
from onnxprune.operators.findings import Findings, Options
from onnxprune.operators.frozen import FROZEN_BY_DESIGN
from onnxprune.operators.labels import AxisLabels
from onnxprune.operators.table import COUPLING


def analyse(graph: Graph, options: Options) -> tuple[Findings, HostValues]:
    """One pass in topological order; what is not known or cannot be followed is frozen."""
    findings = Findings()
    findings.fixed.update({value.name: f"the graph input {value.name!r}" for value in graph.inputs})
    fixed_inputs = all(isinstance(d, int) for value in graph.inputs for d in value.dims or (None,))

    def is_static(extent: Extent) -> bool:
        # only weights give labels, and the extents of weights are the same for all inputs
        axes = findings.store.values.get(extent.value, ())
        if fixed_inputs or extent.value in graph.initializers:
            return True
        return extent.axis < len(axes) and axes[extent.axis] is not None

    host = HostValues(graph, is_static)
    for node in graph.nodes:
        ctx = NodeContext(graph, node, findings, host, options)
        for name in captures(node.proto):
            for labels in (*ctx.labels_of(name), *labels_behind(findings, host, name)):
                ctx.freeze(labels, f"the subgraph of {node} reads {name!r}")
        if host.visit(node):
            continue
        state(ctx)
        ctx.freeze_leftovers()
        pass_on_fixed(ctx)
    freeze_outputs(graph, findings, host)
    return findings, host


def state(ctx: NodeContext) -> None:
    """Let the operator's coupling function speak, or freeze the node."""
    key = ctx.node.domain, ctx.node.op_type
    function = COUPLING.get(key)
    if function is None:
        name = f"{ctx.node.domain}::{ctx.node.op_type}" if ctx.node.domain else ctx.node.op_type
        ctx.freeze_all(FROZEN_BY_DESIGN.get(key, f"operator {name} is not known"))
        return
    try:
        with blaming(ctx.graph, ctx.node):
            function(ctx)
    except CannotFollow as reason:
        ctx.freeze_all(str(reason))


def pass_on_fixed(ctx: NodeContext) -> None:
    """Remember where outputs without any labels come from, so that reasons can name the cause."""
    stopped = ctx.node.name in ctx.findings.stopped
    cause = f"the output of {ctx.node}" if stopped else ctx.fixed_by()
    for output in filter(None, ctx.node.outputs if cause else ()):
        if all(labels is None for labels in ctx.store.values.get(output, ())):
            ctx.findings.fixed[output] = cause


def freeze_outputs(graph: Graph, findings: Findings, host: HostValues) -> None:
    for output in graph.outputs:
        for labels in findings.store.values.get(output.name, ()):
            findings.store.freeze(labels, f"its channels are the graph output {output.name!r}")
        for labels in labels_behind(findings, host, output.name):
            findings.store.freeze(labels, f"the graph output {output.name!r} is computed from its extent")


def labels_behind(findings: Findings, host: HostValues, name: str) -> list[AxisLabels]:
    """Labels of the axes whose extents a computed number depends on."""
    extents = host.found[name].behind if name in host.found else frozenset()
    axes = [(findings.store.values.get(extent.value, ()), extent.axis) for extent in extents]
    return [labels[axis] for labels, axis in axes if axis < len(labels)]

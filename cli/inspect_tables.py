"""The tables of `onnxprune inspect`, and what every command tells of how a model was read."""

import numpy as np

from onnxprune.activations import peak_activation_bytes
from onnxprune.cli.console import Output
from onnxprune.cli.format import dims, percent, si
from onnxprune.cost import Cost, CostModel
from onnxprune.groups import Group, Groups
from onnxprune.groups.explain import Place, weighted_nodes
from onnxprune.groups.restrict import node_names
from onnxprune.onnx_file import Graph, Node
from onnxprune.onnx_file.ordering import subgraphs
from onnxprune.onnx_file.sizes import size
from onnxprune.target import Constraints

LONGEST_CELL = 60  # of names, which some exporters make of whole module paths


def tell_graph(output: Output, graph: Graph) -> None:
    """What the user should know of how the model was read: assumed extents, and warnings."""
    free = [
        value for value in graph.inputs if any(not isinstance(d, int) for d in (value.dims or ("?",))[1:])
    ]
    assumed = [
        f"{v.name}:{','.join(map(str, graph.assumed[v.name]))}" for v in free if v.name in graph.assumed
    ]
    if assumed:
        output.warn(f"W405: free extents assumed, --shape changes them: {' '.join(assumed)}")
    inside = [node for node in graph.nodes if any(part.initializer for part in subgraphs(node.proto))]
    if inside:
        names = ", ".join(str(node) for node in inside[:3]) + (", ..." if len(inside) > 3 else "")
        output.warn(f"W404: weights inside subgraphs stay as they are: {names}")
    for warning in graph.warnings:
        output.warn(warning)


def tell_uncounted(output: Output, groups: Groups) -> None:
    """Weighted nodes that the analysis does not know: their MACs are in no figure."""
    stopped = groups.findings.stopped
    counted = {term.node for term in groups.findings.macs}
    missing = [node for node in weighted_nodes(groups) if node.name in stopped and node.name not in counted]
    if missing:
        names = ", ".join(str(node) for node in missing[:3]) + (", ..." if len(missing) > 3 else "")
        output.warn(f"W408: MACs of {len(missing)} weighted nodes are not known and not counted: {names}")


def print_head(output: Output, groups: Groups, cost: Cost) -> None:
    graph = groups.graph
    opsets = " · ".join(f"{o.domain or 'opset'} {o.version}" for o in graph.model.opset_import)
    outside = sum(i.nbytes for i in graph.initializers.values() if i.is_external)
    file_size = size(graph.path.stat().st_size + outside)
    output.line(f"{graph.path.name}  IR {graph.model.ir_version} · {opsets} · {file_size}")
    for kind, values in (("in", graph.inputs), ("out", graph.outputs)):
        for value in values:
            assumed = graph.assumed.get(value.name)
            free = f"  taken as {dims(assumed)}" if assumed is not None and assumed != value.dims else ""
            output.line(f" {kind:<3}  {value.name}  {value.dtype or 'no tensor'} {dims(value.dims)}{free}")
    peak = size(peak_activation_bytes(groups, {}))
    output.line(f" params {si(cost.params)} · MACs {si(cost.macs)} · peak activation ~{peak}")


def group_macs(groups: Groups, cost: CostModel) -> dict[str, int]:
    """MACs that run through each group; those of a node count for all its groups."""
    if not len(groups):
        return {}
    kept = np.tile(cost.kept_counts({}), (len(groups), 1))
    np.fill_diagonal(kept, 0)
    whole, without = cost.count({}).macs, cost.count_kept(kept).macs.tolist()
    return {group.name: whole - macs for group, macs in zip(groups, without, strict=True)}


def print_groups(output: Output, groups: Groups, cost: CostModel, constraints: Constraints) -> None:
    """The groups that can be pruned; "odd" is a count that no kernel likes before anything is pruned."""
    whole, macs, finest = cost.count({}).macs, group_macs(groups, cost), constraints.finest()
    rows = [
        [
            group.name,
            str(group.channels),
            percent(macs[group.name], whole),
            str(constraints.step(group)) + ("" if finest.fits(group, group.channels) else " odd"),
            place(groups, group),
            member_counts(group),
        ]
        for group in groups.prunable
    ]
    if rows:
        output.table(["group", "channels", "MACs through", "step", "first produced at", "members"], rows)
    else:
        output.line("\nNothing can be pruned.")


def member_counts(group: Group) -> str:
    """How many weight axes produce, consume and accompany a group's channels."""
    made = sum(m.role == "out" for m in group.members)
    read = sum(m.role == "in" for m in group.members)
    mark = " · inexact" if group.inexact else ""
    return f"{made} out, {read} in, {len(group.members) - made - read} other{mark}"


def print_frozen(output: Output, groups: Groups) -> None:
    frozen = [group for group in groups if group.frozen is not None]
    rows = [[g.name, str(g.channels), place(groups, g), g.frozen or ""] for g in frozen]
    if rows:
        output.table(["frozen", "channels", "at", "reason"], rows)


def print_outside(output: Output, places: tuple[Place, ...]) -> None:
    """Weighted nodes that no group runs through."""
    outside = [place for place in places if not place.produces and not place.reads]
    if outside:
        rows = [[short(p.node.name), p.node.op_type, p.reason] for p in outside]
        output.table(["in no group", "operator", "reason"], rows)


def print_nodes(output: Output, cost: CostModel, places: tuple[Place, ...]) -> None:
    macs = cost.macs_by_node({})
    whole = sum(macs.values())
    rows = []
    for each in places:
        own = macs.get(each.node.name, 0)
        groups = f"{' '.join(each.reads) or '-'} > {' '.join(each.produces) or '-'}"
        stays = f"stays: {each.reason}" if each.reason else "can be pruned"
        rows.append([with_module(each.node), each.node.op_type, si(own), percent(own, whole), groups, stays])
    output.table(["node", "operator", "MACs", "share", "groups in > out", ""], rows)


def place(groups: Groups, group: Group) -> str:
    """The node that first produces a group's channels, or the weight that they belong to."""
    node = groups.graph.by_name.get(group.anchor)
    return short(group.anchor) if node is None else with_module(node)


def with_module(node: Node) -> str:
    """A node's name, and the innermost module that torch's exporter noted for it, where it did."""
    modules = list(node_names(node))[1:-1]
    return short(" ".join(dict.fromkeys([node.name, *modules[-1:]])))


def print_members(output: Output, groups: Groups) -> None:
    rows = [
        [group.name, member.role, short(member.tensor), str(member.axis), str(member.positions.shape[1])]
        for group in groups
        for member in group.members
    ]
    output.table(["group", "role", "weight", "axis", "indices per channel"], rows)


def short(name: str) -> str:
    """A name, its middle left out where it is too long for a table."""
    half = LONGEST_CELL // 2 - 1
    return name if len(name) <= LONGEST_CELL else f"{name[:half]}...{name[-half:]}"

"""`onnxprune inspect`: what a model holds and what can go."""

from pathlib import Path
from typing import Any

import click
import numpy as np

from onnxprune.activations import peak_activation_bytes
from onnxprune.cli.console import Output, output_options, parse_shapes
from onnxprune.cli.format import dims, percent, si, size
from onnxprune.cost import CostModel
from onnxprune.groups import Group, Groups, find_groups
from onnxprune.groups.restrict import restrict
from onnxprune.onnx_file import Graph, load_graph
from onnxprune.target import Constraints, parse_min_keep, reachable, resolve_align


@click.command("inspect")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--shape", "shapes", multiple=True, metavar="NAME:1,3,224,224", help="Extents of a free input.")
@click.option("--skip", multiple=True, metavar="REGEX", help="Leave what matches alone.")
@click.option("--only", multiple=True, metavar="REGEX", help="Prune only what matches.")
@click.option("--align", default="auto", show_default=True, help="auto, or a number of channels.")
@click.option(
    "--min-keep", default="10%", show_default=True, help="Least share (or number) of channels kept."
)
@click.option("--heads", is_flag=True, help="Whole attention heads instead of equal indices of all heads.")
@click.option("--nodes", is_flag=True, help="Cost of each node.")
@click.option("--groups", "members", is_flag=True, help="Every member of each group.")
@output_options("inspect")
def command(
    output: Output,
    model: Path,
    shapes: tuple[str, ...],
    skip: tuple[str, ...],
    only: tuple[str, ...],
    align: str,
    min_keep: str,
    heads: bool,
    nodes: bool,
    members: bool,
) -> None:
    """Inputs and outputs, cost, groups of coupled channels, what is frozen and why, least reachable cost.

    Frozen is never an error: an operator that is not known costs prunability, not correctness.
    """
    graph = load_graph(model, shapes=parse_shapes(shapes))
    groups = restrict(find_groups(graph, heads=heads), skip=skip, only=only)
    cost = CostModel(groups)
    constraints = Constraints(align=resolve_align(align), min_keep=parse_min_keep(min_keep))
    print_head(output, graph, groups, cost)
    print_groups(output, groups, cost, constraints)
    print_frozen(output, groups)
    least = reachable(cost, constraints)
    whole = cost.count({})
    output.line(
        f"Reachable at {constraints}: MACs down to {percent(least.macs, whole.macs)}, "
        f"params down to {percent(least.params, whole.params)}"
    )
    if nodes:
        print_nodes(output, cost)
    if members:
        print_members(output, groups)
    output.finish(document(graph, groups, cost, least))


def print_head(output: Output, graph: Graph, groups: Groups, cost: CostModel) -> None:
    opsets = " ".join(f"{o.domain or 'opset'} {o.version}" for o in graph.model.opset_import)
    weights = cost.count({})
    file_size = graph.path.stat().st_size + sum(
        i.nbytes for i in graph.initializers.values() if i.is_external
    )
    output.line(f"{graph.path.name}  IR {graph.model.ir_version} · {opsets} · {size(file_size)}")
    for kind, values in (("in", graph.inputs), ("out", graph.outputs)):
        for value in values:
            output.line(f" {kind:<4} {value.name}  {value.dtype} {dims(value.dims)}")
    free = {
        v.name: graph.assumed[v.name]
        for v in graph.inputs
        if v.name in graph.assumed and v.dims != graph.assumed[v.name]
    }
    if free:
        assumed = ", ".join(f"{name}:{','.join(map(str, shape))}" for name, shape in free.items())
        output.note(f"W405 free extents assumed: {assumed} (--shape changes them)")
    for warning in graph.warnings:
        output.warn(warning)
    peak = peak_activation_bytes(groups, {})
    output.line(f" params {si(weights.params)} · MACs {si(weights.macs)} · peak activation ~{size(peak)}")


def group_macs(groups: Groups, cost: CostModel) -> dict[str, int]:
    """MACs that would go with one channel of each group, times its channels."""
    whole = cost.count({}).macs
    kept = cost.kept_counts({})
    counts = []
    for index in range(len(groups)):
        fewer = kept.copy()
        fewer[index] -= 1
        counts.append(fewer)
    if not counts:
        return {}
    macs = cost.count_kept(np.array(counts)).macs
    return {g.name: int((whole - m) * g.channels) for g, m in zip(groups, macs.tolist(), strict=True)}


def print_groups(output: Output, groups: Groups, cost: CostModel, constraints: Constraints) -> None:
    whole, share = cost.count({}).macs, group_macs(groups, cost)
    rows = [
        [
            group.name,
            str(group.channels),
            percent(share[group.name], whole),
            "ok" if constraints.fits(group, group.channels) else "odd",
            group.anchor,
            short_members(group),
        ]
        for group in groups.prunable
    ]
    output.line()
    output.table(["group", "channels", "MACs", "align", "anchor", "members"], rows)


def short_members(group: Group) -> str:
    """How many producers and consumers a group has."""
    made = sum(m.role == "out" for m in group.members)
    read = sum(m.role == "in" for m in group.members)
    mark = " · inexact" if group.inexact else ""
    return f"{made} out, {read} in, {len(group.members) - made - read} other{mark}"


def print_frozen(output: Output, groups: Groups) -> None:
    rows = [[g.name, str(g.channels), g.anchor, g.frozen or ""] for g in groups if g.frozen is not None]
    if rows:
        output.table(["frozen", "channels", "anchor", "reason"], rows)


def print_nodes(output: Output, cost: CostModel) -> None:
    table = cost.macs_by_node({})
    whole = sum(table.values())
    rows = [
        [name, si(macs), percent(macs, whole)] for name, macs in sorted(table.items(), key=lambda r: -r[1])
    ]
    output.table(["node", "MACs", "share"], rows)


def print_members(output: Output, groups: Groups) -> None:
    rows = [
        [group.name, member.role, member.tensor, str(member.axis), str(member.positions.shape[1])]
        for group in groups
        for member in group.members
    ]
    output.table(["group", "role", "tensor", "axis", "indices per channel"], rows)


def document(graph: Graph, groups: Groups, cost: CostModel, least: Any) -> dict[str, Any]:
    return {
        "model": str(graph.path),
        "inputs": [vars(v) | {"dtype": str(v.dtype)} for v in graph.inputs],
        "outputs": [vars(v) | {"dtype": str(v.dtype)} for v in graph.outputs],
        "assumed": graph.assumed,
        "warnings": graph.warnings,
        "cost": vars(cost.count({})),
        "peak_activation_bytes": peak_activation_bytes(groups, {}),
        "reachable": vars(least),
        "groups": [
            {
                "name": g.name,
                "channels": g.channels,
                "anchor": g.anchor,
                "frozen": g.frozen,
                "inexact": g.inexact,
                "members": [
                    {"tensor": m.tensor, "axis": m.axis, "role": m.role, "indices": m.positions.shape[1]}
                    for m in g.members
                ],
            }
            for g in groups
        ],
        "nodes": cost.macs_by_node({}),
    }

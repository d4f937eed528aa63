"""`onnxprune inspect`: what a model holds and what can go."""

from pathlib import Path
from typing import Any

import click

from onnxprune.activations import peak_activation_bytes
from onnxprune.cli.console import Output
from onnxprune.cli.format import percent
from onnxprune.cli.help import Command
from onnxprune.cli.inspect_tables import (
    print_frozen,
    print_groups,
    print_head,
    print_members,
    print_nodes,
    print_outside,
    tell_graph,
    tell_uncounted,
)
from onnxprune.cli.options import FILE, Choice, choice_options, output_options
from onnxprune.cost import Cost, CostModel
from onnxprune.groups import Group, Groups, find_groups
from onnxprune.groups.explain import Place, explain
from onnxprune.groups.restrict import restrict
from onnxprune.onnx_file import load_graph
from onnxprune.target import reachable
from onnxprune.verification import first_fault


@click.command("inspect", cls=Command)
@click.argument("model", type=FILE)
@output_options("inspect")
@click.option("--nodes", is_flag=True, help="Each weighted node: its MACs, its groups, why it stays.")
@click.option("--groups", "members", is_flag=True, help="Every member of each group.")
@choice_options
def command(output: Output, model: Path, choice: Choice, nodes: bool, members: bool) -> None:
    """What MODEL costs, which channels can go, which cannot and why, and the least cost that is reachable.

    \b
        onnxprune inspect model.onnx
        onnxprune inspect model.onnx --nodes --shape input:1,3,640,640

    Frozen is never an error: an operator that is not known costs prunability, not correctness.
    """
    graph = load_graph(model, shapes=choice.shapes)
    groups = restrict(find_groups(graph, heads=choice.heads), skip=choice.skip, only=choice.only)
    cost, places = CostModel(groups), explain(groups)
    least, whole = reachable(cost, choice.constraints), cost.count({})
    print_head(output, groups, whole)
    tell_graph(output, graph)
    tell_uncounted(output, groups)
    fault = first_fault(graph)
    if fault is not None:
        output.warn(f"E309: this model does not run: {fault}")
    print_groups(output, groups, cost, choice.constraints)
    print_frozen(output, groups)
    print_outside(output, places)
    if nodes:
        print_nodes(output, cost, places)
    if members:
        print_members(output, groups)
    output.line(
        f"Reachable at {choice.constraints}: MACs down to {percent(least.macs, whole.macs)}, "
        f"params down to {percent(least.params, whole.params)}"
    )
    output.finish(document(groups, cost, places, least))


def document(groups: Groups, cost: CostModel, places: tuple[Place, ...], least: Cost) -> dict[str, Any]:
    graph, macs = groups.graph, cost.macs_by_node({})
    return {
        "model": graph.path,
        "ir_version": graph.model.ir_version,
        "opsets": {entry.domain or "ai.onnx": entry.version for entry in graph.model.opset_import},
        "inputs": [vars(value) for value in graph.inputs],
        "outputs": [vars(value) for value in graph.outputs],
        "assumed": graph.assumed,
        "cost": vars(cost.count({})),
        "peak_activation_bytes": peak_activation_bytes(groups, {}),
        "reachable": vars(least),
        "groups": [group_document(group) for group in groups],
        "nodes": [
            {
                "name": place.node.name,
                "op_type": place.node.op_type,
                "macs": macs.get(place.node.name, 0),
                "produces": place.produces,
                "reads": place.reads,
                "reason": place.reason or None,
            }
            for place in places
        ],
    }


def group_document(group: Group) -> dict[str, Any]:
    return {
        "name": group.name,
        "channels": group.channels,
        "anchor": group.anchor,
        "frozen": group.frozen,
        "inexact": group.inexact,
        "members": [
            {"tensor": m.tensor, "axis": m.axis, "role": m.role, "indices": m.positions.shape[1]}
            for m in group.members
        ],
    }

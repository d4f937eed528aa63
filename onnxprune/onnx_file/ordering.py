"""What nodes read, inside their subgraphs too, and the order that follows from it.

ONNX wants each node after those it reads from. ONNX Runtime sorts for itself, so files that are out of order
run, and some tools write them.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush
from pathlib import Path

from onnx import AttributeProto, GraphProto, NodeProto

from onnxprune.errors import ModelError


def subgraphs(node: NodeProto) -> list[GraphProto]:
    found = []
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            found.append(attribute.g)
        elif attribute.type == AttributeProto.GRAPHS:
            found.extend(attribute.graphs)
    return found


def captures(node: NodeProto) -> list[str]:
    """Names of outer values that the subgraphs of a node read, however deeply nested."""
    return list(dict.fromkeys(name for graph in subgraphs(node) for name in reads_outside(graph)))


def reads_outside(graph: GraphProto) -> Iterator[str]:
    """Names that a subgraph reads and does not define: a branch may call its values as others are called."""
    own = {value.name for value in (*graph.input, *graph.initializer)}
    own.update(tensor.values.name for tensor in graph.sparse_initializer)
    own.update(name for node in graph.node for name in node.output)
    read = (name for node in graph.node for name in (*node.input, *captures(node)) if name)
    yield from (name for name in (*read, *(output.name for output in graph.output)) if name not in own)


def topological(protos: Iterable[NodeProto], known: set[str], path: Path) -> list[NodeProto]:
    """The nodes so that each comes after those it reads from; file order where that is free.

    Args:
        protos: Of one graph.
        known: What they may read that no node makes: inputs and initializers.
        path: For messages.

    Raises:
        ModelError: E309, where nodes wait for each other or for a value that nobody makes.
    """
    nodes = list(protos)
    maker = {name: i for i, node in enumerate(nodes) for name in node.output if name}
    waiting: list[set[int]] = []
    followers: dict[int, list[int]] = defaultdict(list)
    for i, node in enumerate(nodes):
        own = [n for n in node.input if n]
        missing = next((n for n in own if n not in maker and n not in known), None)
        if missing is not None:
            raise ModelError(
                "E309",
                f"{path.name}: node {node.name or node.op_type!r} reads {missing!r}, which nothing produces",
                hint="the file is damaged or was cut out of a larger model",
            )
        needs = {maker[n] for n in [*own, *captures(node)] if n in maker}
        waiting.append(needs)
        for need in needs:
            followers[need].append(i)
    ready = [i for i, needs in enumerate(waiting) if not needs]
    heapify(ready)
    order = []
    while ready:
        i = heappop(ready)
        order.append(nodes[i])
        for follower in followers[i]:
            waiting[follower].discard(i)
            if not waiting[follower]:
                heappush(ready, follower)
    if len(order) < len(nodes):
        stuck = next(node for node, needs in zip(nodes, waiting, strict=True) if needs)
        raise ModelError(
            "E309", f"{path.name}: node {stuck.name or stuck.op_type!r} waits for itself (a cycle)"
        )
    return order


def sort_nodes(main: GraphProto, path: Path) -> bool:
    """Put the nodes of a graph and of its subgraphs into topological order, in place; whether any moved.

    Args:
        main: The main graph of a model.
        path: For messages.

    Raises:
        ModelError: E309, where nodes wait for each other, or in the main graph for a value that nobody makes.
    """
    moved = False
    waiting = [(main, constants_of(main))]
    while waiting:
        graph, known = waiting.pop()
        order = [key(node) for node in topological(graph.node, known, path)]
        if order != [key(node) for node in graph.node]:
            places = {name: place for place, name in enumerate(order)}
            graph.node.sort(key=lambda node, places=places: places[key(node)])
            moved = True
        inner = [part for node in graph.node for part in subgraphs(node)]
        waiting += [(part, constants_of(part) | {*reads_outside(part)}) for part in inner]
    return moved


def key(node: NodeProto) -> str:
    """What no other node of a graph has: its first output with a name."""
    return next((output for output in node.output if output), "")


def constants_of(graph: GraphProto) -> set[str]:
    """What is there before any node runs: inputs and initializers."""
    sparse = {tensor.values.name for tensor in graph.sparse_initializer}
    return {value.name for value in (*graph.input, *graph.initializer)} | sparse

"""One name, one value: names that a subgraph shares with another graph become its own.

Exporters name the values of both branches of an If alike. A plan knows constants by name alone, so those of
the second branch get other names; of weights that is what parameters and masks call them.
"""

from collections.abc import Iterator, Mapping

from onnx import GraphProto, ModelProto

from onnxprune.onnx_file.ordering import subgraphs


def distinct(model: ModelProto) -> ModelProto:
    """The model itself, or a copy in which no two graphs define the same name.

    The main graph keeps its names, and the first subgraph that has a name keeps that.
    """
    if not any(renames(model.graph)):
        return model
    copy = ModelProto()
    copy.CopyFrom(model)
    for graph, names in zip(inner_graphs(copy.graph), renames(model.graph), strict=True):
        rename(graph, names)
    return copy


def renames(main: GraphProto) -> list[dict[str, str]]:
    """For each subgraph the new names of what it defines."""
    taken = set(defined(main))
    result = []
    for graph in inner_graphs(main):
        names = {name: fresh(name, taken) for name in dict.fromkeys(defined(graph)) if name in taken}
        taken.update(names.values(), defined(graph))
        result.append(names)
    return result


def fresh(name: str, taken: set[str]) -> str:
    number = 2
    while f"{name}@{number}" in taken:
        number += 1
    return f"{name}@{number}"


def inner_graphs(main: GraphProto) -> Iterator[GraphProto]:
    """Subgraphs, each before those inside it."""
    waiting = [main]
    while waiting:
        found = [graph for node in waiting.pop(0).node for graph in subgraphs(node)]
        yield from found
        waiting.extend(found)


def defined(graph: GraphProto) -> Iterator[str]:
    yield from (value.name for value in (*graph.input, *graph.initializer))
    yield from (tensor.values.name for tensor in graph.sparse_initializer)
    yield from (name for node in graph.node for name in node.output if name)


def rename(graph: GraphProto, names: Mapping[str, str]) -> None:
    """Change a subgraph's names, and what graphs inside it read of them, in place."""
    if not names:
        return
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = names.get(value.name, value.name)
    for tensor in graph.sparse_initializer:
        tensor.values.name = names.get(tensor.values.name, tensor.values.name)
    for node in graph.node:
        node.output[:] = [names.get(name, name) for name in node.output]
    waiting = [(graph, names)]
    while waiting:
        part, read = waiting.pop()
        for node in part.node:
            node.input[:] = [read.get(name, name) for name in node.input]
            waiting.extend((inner, seen_from(inner, read)) for inner in subgraphs(node))


def seen_from(inner: GraphProto, names: Mapping[str, str]) -> dict[str, str]:
    """The new names that a graph inside reads: not those that it defines itself."""
    own = set(defined(inner))
    seen = {old: new for old, new in names.items() if old not in own}
    for value in inner.output:
        value.name = seen.get(value.name, value.name)
    return seen

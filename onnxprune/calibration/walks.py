"""A model run piece by piece on all calibration inputs: every node once, each piece after the one before.

    walk = Walk(graph, shelf_of(feeds))
    walk.move(7)                               # nodes 0 to 6 have run
    for values in walk.values(["conv2_in"]):   # one dict a portion
        ...

Only the values that later nodes read are kept between two pieces, in memory up to a bound, then in a
temporary folder. So the weights of node 7 may be changed before it runs, and the whole costs one pass.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from onnxprune.calibration.cuts import computed_from_data
from onnxprune.calibration.feeds import Feed
from onnxprune.errors import DataError, ModelError, RuntimeProblem, UnsupportedError
from onnxprune.onnx_file import Graph, Node
from onnxprune.onnx_file.ordering import captures
from onnxprune.verification.sessions import CannotRun, Session, runnable

Array = NDArray[Any]
Values = Mapping[str, Array]
MEMORY = 1 << 30  # bytes of values that are kept in memory


class Shelf:
    """Dicts of arrays, one a portion: in memory up to a bound, then in files that go with the shelf."""

    def __init__(self, memory: int = MEMORY) -> None:
        self.memory = memory
        self.items: list[dict[str, Array | Path]] = []
        self._room = memory
        self._folder: TemporaryDirectory[str] | None = None
        self._files = 0

    def put(self, values: Values) -> None:
        """Append a portion, in place.

        Raises:
            RuntimeProblem: E605, the temporary folder is full.
        """
        item: dict[str, Array | Path] = {}
        for name, array in values.items():
            if array.nbytes <= self._room:
                self._room -= array.nbytes
                item[name] = array
            else:
                item[name] = self._file(array)
        self.items.append(item)

    def _file(self, array: Array) -> Path:
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="onnxprune_")
        path = Path(self._folder.name) / f"{self._files}.npy"
        self._files += 1
        try:
            np.save(path, array, allow_pickle=False)
        except OSError as error:
            hint = "use fewer --samples, or set TMPDIR to a folder with more room"
            raise RuntimeProblem(
                "E605", "no room for values inside the model", cause=str(error), hint=hint
            ) from error
        return path

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[dict[str, Array]]:
        for item in self.items:
            yield {
                name: np.load(held, allow_pickle=False) if isinstance(held, Path) else held
                for name, held in item.items()
            }


def shelf_of(feeds: Iterable[Feed]) -> Shelf:
    """All calibration inputs.

    Raises:
        DataError: E504, there are none; E502, one holds NaN or infinity.
    """
    shelf = Shelf()
    for feed in feeds:
        for name, array in feed.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise DataError("E502", f"calibration input {name!r} holds NaN or infinity")
        shelf.put(feed)
    if not len(shelf):
        raise DataError(
            "E504",
            "there are no calibration inputs",
            hint="give samples with --data, at least as many as a batch that the model fixes",
        )
    return shelf


@dataclass(frozen=True)
class Piece:
    """Part of a model: from values that are there to values that are wanted."""

    session: Session | None  # None: nothing has to run
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]  # that the session gives
    wanted: tuple[str, ...]

    def run(self, values: Values) -> dict[str, Array]:
        """Raises: DataError: E503, the model does not take these inputs."""
        found = {name: values[name] for name in self.wanted if name in values}
        if self.session is not None:
            feed = {name: values[name] for name in self.inputs}
            try:
                made = self.session.session.run(list(self.outputs), feed)
            except Exception as error:  # ONNX Runtime's errors have no common base
                cause = str(error).splitlines()[0][:300]
                raise DataError(
                    "E503", "the model does not take the calibration inputs", cause=cause
                ) from error
            found.update(zip(self.outputs, made, strict=True))
        wrong = next((name for name in self.wanted if not isinstance(found[name], np.ndarray)), None)
        if wrong is not None:
            raise UnsupportedError("E403", f"{wrong!r} inside the model is no tensor")
        return found


class Walk:
    """A model on its way through the calibration inputs."""

    def __init__(self, graph: Graph, inputs: Shelf) -> None:
        self.graph = graph
        self.position = 0
        self.held = inputs
        self._made_by = {name: node for node in graph.nodes for name in node.outputs if name}
        self._data = computed_from_data(graph)

    def move(self, position: int) -> None:
        """Run all nodes before `position`, in place; with the weights that they have now."""
        if position <= self.position:
            return
        live = self.live(position)
        after = Shelf(self.held.memory)
        for values in self.values(live):
            after.put(values)
        self.held, self.position = after, position

    def values(self, names: Sequence[str]) -> Iterator[dict[str, Array]]:
        """These values for each portion, whether the walk has come to them or not."""
        piece = self.piece(names, self.example())
        for values in self.held:
            yield piece.run(values)

    def example(self) -> dict[str, Array]:
        return next(iter(self.held))

    def live(self, position: int) -> list[str]:
        """What nodes from `position` on read of what comes before; constants are not among them."""
        before = {i.name for i in self.graph.inputs}
        before.update(o for node in self.graph.nodes[:position] for o in node.outputs)
        after = (name for node in self.graph.nodes[position:] for name in reads(node))
        outputs = [value.name for value in self.graph.outputs]
        return [name for name in dict.fromkeys((*after, *outputs)) if name in before and name in self._data]

    def nodes_for(self, names: Iterable[str], there: Iterable[str]) -> list[Node]:
        """The nodes that lead from values that are there to others, in order."""
        known, needed, queue = {*there, *self.graph.initializers}, {}, list(names)
        while queue:
            name = queue.pop()
            node = None if name in known else self._made_by.get(name)
            if node is not None and node.index not in needed:
                needed[node.index] = node
                queue += reads(node)
        return [needed[index] for index in sorted(needed)]

    def piece(self, names: Sequence[str], example: Values) -> Piece:
        """The part of the model that gives these values.

        Raises:
            ModelError: E309, it does not run.
        """
        nodes = self.nodes_for(names, example)
        outputs = tuple(name for name in dict.fromkeys(names) if name not in example)
        wanted = tuple(dict.fromkeys(names))
        if not nodes:
            return Piece(None, (), (), wanted)
        read = {name for node in nodes for name in reads(node)}
        inputs = tuple(name for name in example if name in read)
        model = self.part(nodes, read, outputs)
        for name in inputs:
            model.graph.input.append(declared(name, example[name]))
        try:
            session = Session(runnable(model, self.graph.path.parent), optimised=True)
        except CannotRun as error:
            raise ModelError("E309", f"{self.graph.path.name} does not run", cause=str(error)) from error
        return Piece(session, inputs, outputs, wanted)

    def part(self, nodes: Sequence[Node], read: set[str], outputs: Iterable[str]) -> ModelProto:
        """These nodes with their constants as a model without inputs."""
        source = self.graph.model
        model = ModelProto(ir_version=source.ir_version)
        model.opset_import.extend(source.opset_import)
        model.functions.extend(source.functions)
        model.graph.name = "part"
        for name in read & self.graph.initializers.keys():
            constant = self.graph.initializers[name]
            if constant.node is None:
                model.graph.initializer.append(constant.proto)
            else:
                model.graph.node.append(constant.node)
        model.graph.sparse_initializer.extend(
            s for s in source.graph.sparse_initializer if s.values.name in read
        )
        model.graph.node.extend(node.proto for node in nodes)
        model.graph.output.extend(ValueInfoProto(name=name) for name in outputs)
        return model


def reads(node: Node) -> list[str]:
    """Names of all values that a node reads, its subgraphs included."""
    return [name for name in (*node.inputs, *captures(node.proto)) if name]


def declared(name: str, array: Array) -> ValueInfoProto:
    """The declaration of an input whose extents are free; its rank is not."""
    kind = TensorProto.STRING if array.dtype.kind in "OUS" else helper.np_dtype_to_tensor_dtype(array.dtype)
    return helper.make_tensor_value_info(name, kind, [None] * array.ndim)

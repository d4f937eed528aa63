"""Following the batch through a whole graph: where a reshape leaves a choice, each is tried in turn."""

from collections.abc import Iterator
from dataclasses import dataclass

from onnxprune.converters.batch.table import TABLE
from onnxprune.converters.batch.tracking import At, Tracked, varies
from onnxprune.converters.batch.types import BatchAxis, Edit, LostBatch, Step
from onnxprune.onnx_file.graph import Graph, Node
from onnxprune.onnx_file.ordering import captures

MAX_DEAD_ENDS = 2000


@dataclass(frozen=True)
class Found:
    """Where the batch lies in every value, and what must change, by node index."""

    places: dict[str, BatchAxis]
    edits: dict[int, tuple[Edit, ...]]


@dataclass
class Search:
    """One search; `steps` holds what was decided for the nodes so far."""

    graph: Graph
    tracked: Tracked
    whole: bool
    steps: list[Step]
    choices: list[tuple[int, Iterator[Step]]]

    def run(self) -> Found:
        """Go on until every node is passed, and back to the last choice at a dead end.

        Raises:
            LostBatch: No choice leads through; of the dead ends, the one furthest along.
        """
        furthest: tuple[int, LostBatch] | None = None
        for _ in range(MAX_DEAD_ENDS):
            try:
                self._forward()
            except LostBatch as end:
                if furthest is None or len(self.steps) > furthest[0]:
                    furthest = len(self.steps), end
                if not self._back():
                    break
            else:
                edits = {index: step.edits for index, step in enumerate(self.steps) if step.edits}
                return Found(self.tracked.places, edits)
        assert furthest is not None
        raise furthest[1]

    def _forward(self) -> None:
        while len(self.steps) < len(self.graph.nodes):
            node = self.graph.nodes[len(self.steps)]
            ways = iter(self._ways(node))
            first = next(ways)
            self.choices.append((node.index, ways))
            self._take(node, first)
        for output in self.graph.outputs:
            place = self.tracked.places.get(output.name)
            if place is None or place.axis or place.outer != 1:
                where = "nowhere" if place is None else f"inside axis {place.axis}"
                raise LostBatch(f"output {output.name!r} has the batch {where}, not on axis 0")

    def _ways(self, node: Node) -> list[Step]:
        if self.tracked.compute(node):
            return [Step(())]
        read = [*filter(None, node.inputs), *captures(node.proto)]
        if not any(n in self.tracked.places or varies(self.tracked.numbers.get(n, ())) for n in read):
            return [Step(())]
        rule = TABLE.get((node.domain, node.op_type))
        if rule is None or captures(node.proto):
            raise LostBatch(f"node {node}: the batch cannot be followed through {node.op_type}")
        return rule(At(self.tracked, node, self.whole))

    def _take(self, node: Node, step: Step) -> None:
        self.steps.append(step)
        for name, place in zip(node.outputs, step.places, strict=False):
            if name and place is not None:
                self.tracked.places[name] = place

    def _back(self) -> bool:
        """Take the next way at the last choice that the dead end depends on; False where there is none."""
        blamed = self._upstream()
        while self.choices:
            index, ways = self.choices.pop()
            self.tracked.forget(self.graph.nodes[index : len(self.steps)])
            del self.steps[index:]
            step = next(ways, None) if index in blamed else None
            if step is not None:
                self.choices.append((index, ways))
                self._take(self.graph.nodes[index], step)
                return True
        return False

    def _upstream(self) -> set[int]:
        """The nodes that the dead end depends on."""
        if len(self.steps) == len(self.graph.nodes):
            return set(range(len(self.graph.nodes)))
        needed = {*self.graph.nodes[len(self.steps)].inputs}
        found = set()
        for node in reversed(self.graph.nodes[: len(self.steps)]):
            if needed.intersection(node.outputs):
                found.add(node.index)
                needed.update(node.inputs)
        return found


def follow_batch(graph: Graph, inputs: tuple[str, ...]) -> Found:
    """Where the batch goes that these inputs have on axis 0.

    Raises:
        LostBatch: It cannot be followed to axis 0 of every output.
    """
    tracked = Tracked(graph, dict.fromkeys(inputs, BatchAxis(0)))
    whole = all(isinstance(n, int) for value in graph.inputs for n in (value.dims or ())[1:])
    return Search(graph, tracked, whole, [], []).run()

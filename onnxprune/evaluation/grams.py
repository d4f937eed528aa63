"""What readers read in the original, summed up once: from it masks are repaired without a forward pass."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxprune.calibration.feeds import Feed, portions
from onnxprune.calibration.grams import Gram, not_finite
from onnxprune.calibration.walks import Shelf, Walk, shelf_of
from onnxprune.evaluation.readers import Reader, find_readers
from onnxprune.groups import Groups
from onnxprune.onnx_file import Graph

Array = NDArray[Any]
Floats = NDArray[np.float64]
ROWS_A_COLUMN = 32  # at least, where there are so many
CHECKED = 64  # positions at which a product is compared with what ONNX Runtime gives
AGREES = 1e-2  # of the largest output: float16 and quantised weights round
VALUES = 256 << 20  # bytes of values inside the model in one run
MOST_ROWS = 64  # of one run


@dataclass(frozen=True)
class GramOptions:
    """What is summed up of the calibration inputs.

    Attributes:
        rows: Of each sum, about; so many positions of each sample are drawn, and 32 a column at least.
        widest: Columns of a reader; of a wider one the means alone are kept, and its bias alone is repaired.
        memory: Bytes of the sums that are gathered in one pass over the inputs.
        seed: Of the draw of positions.
    """

    rows: int = 1 << 16
    widest: int = 8192
    memory: int = 1 << 30
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Sums:
    """Of what one reader reads.

    Attributes:
        mean: (g, K) of each column.
        square: (g, K, K) mean product of two columns: of their distances from the means where the reader's
            output can be shifted, else of themselves; symmetric. None where it is too wide.
    """

    mean: Floats
    square: Floats | None


Grams = Mapping[int, Sums]  # by index of the node
DEFAULT = GramOptions()


def gather(groups: Groups, feeds: Iterable[Feed], *, options: GramOptions = DEFAULT) -> dict[int, Sums]:
    """Means and Gram matrices of all columns that readers of prunable channels multiply by.

    Args:
        groups: Of the original.
        feeds: Calibration inputs, batches of any size.
        options: How many rows, how wide.

    Returns:
        By node. A node that computes something else than its attributes say is left out.

    Raises:
        DataError: E502, NaN in the inputs or inside the model; E503, unfit inputs; E504, none.
        ModelError: E309, the model does not run.
    """
    return gather_from(groups, inputs_of(groups, feeds), options)


def inputs_of(groups: Groups, feeds: Iterable[Feed]) -> Shelf:
    """All calibration inputs in portions of one run."""
    rows = rows_of_a_run(groups.graph, list(find_readers(groups)))
    return shelf_of(portions(groups.graph, feeds, rows))


def gather_from(groups: Groups, inputs: Shelf, options: GramOptions) -> dict[int, Sums]:
    """`gather` on portions of inputs."""
    found: dict[int, Sums] = {}
    for some in passes(list(find_readers(groups)), options):
        found.update(gather_some(groups.graph, some, inputs, options))
    return found


def passes(readers: Sequence[Reader], options: GramOptions) -> Iterator[list[Reader]]:
    """Readers in runs whose sums fit in memory together; at least one in each."""
    some: list[Reader] = []
    room = options.memory
    for reader in readers:
        groups, columns, _ = reader.matrix.shape
        size = 8 * groups * columns * (columns if columns <= options.widest else 1)
        if some and size > room:
            yield some
            some, room = [], options.memory
        some.append(reader)
        room -= size
    if some:
        yield some


def rows_of_a_run(graph: Graph, readers: Sequence[Reader]) -> int:
    """How many rows keep what is looked at in one run small."""
    names = {name for reader in readers for name in (reader.data, reader.output)}
    batch = max((shape[0] for shape in graph.assumed.values() if shape), default=1)
    row = 4 * sum(prod(graph.shapes.get(name, ())) for name in names) // max(1, batch)
    return max(1, min(MOST_ROWS, VALUES // max(1, row)))


def gather_some(
    graph: Graph, readers: Sequence[Reader], inputs: Shelf, options: GramOptions
) -> Iterator[tuple[int, Sums]]:
    samples = sum(max((len(a) if a.ndim else 1 for a in feed.values()), default=1) for feed in inputs)
    counters = [Counter.of(reader, samples, options) for reader in readers]
    names = [name for reader in readers for name in (reader.data, reader.output)]
    for values in Walk(graph, inputs).values(names):
        for counter in counters:
            counter.add(values)
    for counter in counters:
        if counter.fits:
            yield counter.reader.node, counter.sums(graph)


@dataclass
class Counter:
    """One reader while sums are gathered.

    Attributes:
        reader: See there.
        gram: Sums over its columns; of no columns where it is too wide.
        totals: (g, K) sums of the columns, where it is too wide.
        count: Rows so far.
        most: Positions of each sample.
        rng: Draws them.
        fits: Whether the product gives what ONNX Runtime gives.
    """

    reader: Reader
    gram: Gram
    totals: Floats
    count: int
    most: int
    rng: np.random.Generator
    fits: bool = True

    @staticmethod
    def of(reader: Reader, samples: int, options: GramOptions) -> "Counter":
        groups, columns, _ = reader.matrix.shape
        narrow = columns <= options.widest
        wanted = max(options.rows, ROWS_A_COLUMN * columns)
        return Counter(
            reader=reader,
            gram=Gram.empty(groups, columns if narrow else 0, 0),
            totals=np.zeros((groups, 0 if narrow else columns)),
            count=0,
            most=-(-wanted // samples),
            rng=np.random.default_rng(options.seed),
        )

    def add(self, values: Mapping[str, Array]) -> None:
        """Add one portion, in place."""
        data, output = values[self.reader.data], values[self.reader.output]
        if self.count == 0:
            self.fits = computes(self.reader, data, output)
        if not self.fits:
            return
        at = self.reader.form.positions(output, self.most, self.rng)
        x = self.reader.form.columns(data, output, at)
        self.count += x.shape[1]
        if self.totals.size:
            self.totals += x.sum(1, dtype=np.float64)
        else:
            self.gram.add(x, np.zeros((*x.shape[:2], 0), x.dtype))

    def sums(self, graph: Graph) -> Sums:
        """Raises: DataError: E502, they are not finite."""
        count = max(1, self.count)
        if self.totals.size:
            found = Sums(self.totals / count, None)
        else:
            whole = self.gram.whole()
            used = whole if self.reader.place is None else self.gram.centred()
            square = used.xx / count
            found = Sums(whole.x / count, (square + square.transpose(0, 2, 1)) / 2)
        parts = (found.mean,) if found.square is None else (found.mean, found.square)
        if not all(np.isfinite(part).all() for part in parts):
            raise not_finite(graph.nodes[self.reader.node].name)
        return found


def computes(reader: Reader, data: Array, output: Array) -> bool:
    """Whether a node as a product gives what ONNX Runtime gives; True where values are not finite."""
    at = reader.form.positions(output, CHECKED, np.random.default_rng(0))
    found = reader.form.targets(output, at)
    if not np.isfinite(found).all():
        return True
    expected = reader.form.columns(data, output, at) @ reader.matrix + reader.bias[:, None]
    allowed = AGREES * float(np.abs(found).max(initial=1e-6))
    return bool(np.abs(found - expected).max(initial=0) <= allowed)

"""Optimal brain surgeon on whole channels: what is lost although the others make up for it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxprune.calibration.cuts import prunable_cuts, value_of
from onnxprune.calibration.feeds import portions
from onnxprune.calibration.forms import Form, NoForm, form_of
from onnxprune.calibration.grams import Gram, damp, not_finite
from onnxprune.calibration.probe import collect
from onnxprune.calibration.stored import readable
from onnxprune.calibration.walks import Shelf, Walk, shelf_of
from onnxprune.criteria.activations import elementwise, required_inputs
from onnxprune.criteria.elimination import Block, eliminate, inverse_of
from onnxprune.criteria.options import Options, Scores
from onnxprune.criteria.readers import ChannelTable
from onnxprune.groups import Groups
from onnxprune.operators.findings import Cut

Floats = NDArray[np.float64]
RIDGE = 1e-3  # of the mean diagonal
MEMORY = 1 << 30  # bytes of Gram matrices that are gathered in one pass
WIDEST = 8192  # columns; a wider reader is not asked
ROWS, ROWS_A_COLUMN = 1 << 16, 32  # of each Gram matrix, about; positions of each sample are drawn
PORTION = 32  # rows of one run


@dataclass
class Reader:
    """A contraction that reads channels, and what it makes of them.

    Attributes:
        cut: Where it reads.
        form: As a product.
        weight: (g, K, M).
        owner, channel: (g, K) group and index in it of each column; -1: none.
        inverse: (g, K, K) of the damped Gram matrix.
        scale: Variance of its output.
    """

    cut: Cut
    form: Form
    weight: Floats
    owner: NDArray[np.int64]
    channel: NDArray[np.int64]
    inverse: Floats
    scale: float = 1.0

    @property
    def bytes(self) -> int:
        return 8 * len(self.weight) * int(self.weight.shape[1]) ** 2


def obs(groups: Groups, options: Options) -> Scores:
    """Increase of the readers' relative output error when a channel goes, in the order of greedy elimination.

    Removing the columns k of a reader with weight W and damped inverse Gram matrix H^-1 costs, after the best
    update of all other columns, tr(W_k^T (H^-1_kk)^-1 W_k) (Hassibi & Stork, NeurIPS 1992, equation 5, for
    sets of columns; Kurtic et al., ZipLM, NeurIPS 2023, equation 1). The channel with the least cost over all
    its readers goes, W and H^-1 are updated, and so on to the last. Its score is the cost at its turn, as a
    share of the reader's output variance: comparable over groups, and rising along the order.

    Where no reader is a matrix product with a weight, the score is the channel's share of the squares that
    are read: what is lost where nothing can make up for it.
    """
    feeds = required_inputs(options, "obs")
    readers = list(find_readers(groups))
    inputs = shelf_of(portions(groups.graph, feeds, PORTION))
    gather(groups, readers, inputs)
    by_group: dict[int, list[Reader]] = defaultdict(list)
    for reader in readers:
        for index in np.unique(reader.owner).tolist():
            by_group[index].append(reader)
    scores = {
        group.name: eliminate([columns_of(r, index) for r in by_group[index]], group.channels)
        for index, group in enumerate(groups)
        if group.frozen is None and index in by_group
    }
    return shares(groups, inputs) | scores if len(scores) < len(groups.prunable) else scores


def shares(groups: Groups, inputs: Shelf) -> Scores:
    """Share of the squares that contractions read, by channel, over all that read it."""
    cuts = prunable_cuts(groups)
    totals = collect(groups, cuts, inputs, elementwise(np.square))
    table = ChannelTable(groups)
    for cut in cuts:
        sums = totals[value_of(groups.graph, cut), cut.axis].sums
        table.add(cut, sums / max(float(sums.sum()), TINY))
    return table.sums()


def find_readers(groups: Groups) -> Iterable[Reader]:
    """Contractions with a weight through which prunable channels run, once each."""
    graph, seen = groups.graph, set[int]()
    for cut in prunable_cuts(groups):
        node = graph.nodes[cut.edge.node]
        held = {slot: readable(graph, name) for slot, name in enumerate(node.inputs)}
        shapes = {s: graph.shapes[n] for s, n in enumerate(node.inputs) if n in graph.shapes}
        try:
            form = form_of(node, shapes, {s for s, h in held.items() if h is not None})
        except NoForm:
            continue
        weight = held[form.weight]
        assert weight is not None
        matrix = form.matrix(weight.read()).astype(np.float64)
        if cut.edge.slot != form.data or node.index in seen or matrix.shape[1] > WIDEST:
            continue
        if not makes_the_same(groups, node.outputs[0], cut):
            seen.add(node.index)
            owner, channel = owners(groups, cut, form, matrix)
            yield Reader(cut, form, matrix, owner, channel, np.zeros(0))


def makes_the_same(groups: Groups, output: str, cut: Cut) -> bool:
    """Whether its outputs go with its inputs (depthwise): what is lost there, others read."""
    made = [ls for ls in groups.axis_labels(output) if ls is not None]
    of = groups.components.group
    return any(np.intersect1d(of[ls], of[cut.labels]).max(initial=-1) >= 0 for ls in made)


def owners(
    groups: Groups, cut: Cut, form: Form, matrix: Floats
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(g, K) group and channel of each column; -1 where nothing can go."""
    free = np.array([group.frozen is None for group in groups] + [False])
    group, channel = groups.components.group[cut.labels], groups.components.channel[cut.labels]
    group = np.where(free[group], group, -1)
    shape = matrix.shape[:2]
    owner, index = np.full(shape, -1, np.int64), np.full(shape, -1, np.int64)
    places = form.places(len(cut.labels))
    owner.reshape(-1)[places] = group[:, None]
    index.reshape(-1)[places] = channel[:, None]
    return owner, index


def gather(groups: Groups, readers: Sequence[Reader], inputs: Shelf) -> None:
    """Inverse Gram matrices and output variances of all readers, in place; in passes that fit in memory."""
    todo = list(readers)
    while todo:
        size, count = 0, 0
        while count < len(todo) and (count == 0 or size + todo[count].bytes <= MEMORY):
            size += todo[count].bytes
            count += 1
        gather_some(groups, todo[:count], inputs)
        del todo[:count]


def gather_some(groups: Groups, readers: Sequence[Reader], inputs: Shelf) -> None:
    graph = groups.graph
    names = [(value_of(graph, r.cut), graph.nodes[r.cut.edge.node].outputs[0]) for r in readers]
    rng = np.random.default_rng(0)
    samples = sum(max((len(a) if a.ndim else 1 for a in feed.values()), default=1) for feed in inputs)
    grams = [Gram.empty(len(r.weight), r.weight.shape[1], 0) for r in readers]
    for values in Walk(graph, inputs).values([name for pair in names for name in pair]):
        for reader, gram, (data, output) in zip(readers, grams, names, strict=True):
            wanted = max(ROWS, ROWS_A_COLUMN * reader.weight.shape[1])
            at = reader.form.positions(values[output], -(-wanted // samples), rng)
            # in double precision: the order of elimination follows from small differences
            x = reader.form.columns(values[data], values[output], at).astype(np.float64)
            gram.add(x, np.zeros((*x.shape[:2], 0), x.dtype))
    for reader, gram in zip(readers, grams, strict=True):
        if not gram.finite:
            raise not_finite(graph.nodes[reader.cut.edge.node].name)
        matrix = gram.centred().xx / max(1, gram.count)
        reader.scale = max(float((reader.weight * (matrix @ reader.weight)).sum()), TINY)
        damp(matrix, RIDGE)
        for g in range(len(matrix)):
            matrix[g] = inverse_of(matrix[g])
        reader.inverse = matrix


TINY = float(np.finfo(np.float64).tiny)


def columns_of(reader: Reader, group: int) -> list[Block]:
    """The columns of a group in each product of a reader that has some."""
    blocks = []
    for g in range(len(reader.weight)):
        at = np.flatnonzero(reader.owner[g] == group)
        if not len(at):
            continue
        order = at[np.argsort(reader.channel[g][at], kind="stable")]
        count = len(np.unique(reader.channel[g][at]))
        if len(order) % count == 0:
            blocks.append(Block(reader.weight[g], reader.inverse[g], order.reshape(count, -1), reader.scale))
    return blocks

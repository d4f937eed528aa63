"""Contractions that read prunable channels, and where their repaired weights go."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxprune.calibration.cuts import prunable_cuts, value_of
from onnxprune.calibration.forms import Form, NoForm
from onnxprune.calibration.stored import Stored
from onnxprune.criteria.obs import makes_the_same
from onnxprune.groups import Groups
from onnxprune.operators.findings import Cut
from onnxprune.reconstruction.nodes import Consumer, consumer_of
from onnxprune.reconstruction.tails import Place

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Reader:
    """A contraction of the original as the product y = x W + b, for g groups of columns side by side.

    Attributes:
        node: Its index.
        data, output: Names of what it reads and makes.
        form: As a product.
        matrix: (g, K, M) its weight.
        bias: (g, M) what it adds.
        weight: Where its weight is stored; None where that is shared or cannot be written.
        place: Where a shift of its output can be stored; None where nowhere.
        inputs: (g, K) label of the channel of each column.
        outputs: (g, M) label of each output channel; None where none can go.
    """

    node: int
    data: str
    output: str
    form: Form
    matrix: Floats
    bias: Floats
    weight: Stored | None
    place: Place | None
    inputs: Labels
    outputs: Labels | None


def find_readers(groups: Groups) -> Iterator[Reader]:
    """Contractions with a weight through which prunable channels run, once each; no depthwise ones."""
    graph, seen = groups.graph, set[int]()
    for cut in prunable_cuts(groups):
        node = graph.nodes[cut.edge.node]
        if node.index in seen or makes_the_same(groups, node.outputs[0], cut):
            continue
        try:
            consumer = consumer_of(graph, node)
        except NoForm:
            continue
        inputs = columns_of(cut, consumer)
        if inputs is not None:
            seen.add(node.index)
            yield reader_of(groups, cut, consumer, inputs)


def columns_of(cut: Cut, consumer: Consumer) -> Labels | None:
    """(g, K) label of each column; None where the cut is not what the product sums over."""
    places = consumer.form.places(len(cut.labels))
    shape = consumer.matrix.shape[:2]
    if cut.edge.slot != consumer.form.data or places.size != shape[0] * shape[1]:
        return None
    labels = np.empty(shape, np.int64)
    labels.reshape(-1)[places] = np.asarray(cut.labels)[:, None]
    return labels


def reader_of(groups: Groups, cut: Cut, consumer: Consumer, inputs: Labels) -> Reader:
    graph = groups.graph
    node = graph.nodes[cut.edge.node]
    shape = len(consumer.matrix), consumer.matrix.shape[2]
    axes = groups.axis_labels(node.outputs[0])
    outputs = axes[consumer.form.axis] if axes else None
    return Reader(
        node=node.index,
        data=value_of(graph, cut),
        output=node.outputs[0],
        form=consumer.form,
        matrix=consumer.matrix,
        bias=consumer.bias.reshape(shape),
        weight=consumer.weight,
        place=consumer.place,
        inputs=inputs,
        outputs=None if outputs is None else np.asarray(outputs).reshape(shape),
    )

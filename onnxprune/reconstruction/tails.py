"""What follows a contraction channel by channel, up to where another branch is added.

    y = Conv ── BatchNormalization ── Add(other)         z = scale * y + shift, sum = z + other

The target of y at such an addition is what the original's sum lacks of the pruned model's other branch:
(sum - other - shift) / scale.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxprune.calibration.stored import Stored, stored
from onnxprune.onnx_file import Graph, Node

Array = NDArray[Any]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Place:
    """Somewhere to put a shift of y: `factor` times it is added to what is stored."""

    stored: Stored
    factor: Floats  # (M,)


@dataclass(frozen=True)
class Tail:
    """Per-channel steps behind a value y of M channels.

    Attributes:
        value: The last value of the chain.
        axis: Of the channels, in y and in it.
        rank: Of both.
        scale, shift: (M,) the value is scale * y + shift.
        places: Where a shift of y can be stored, the nearest first.
        total, other: Names of the sum that follows and of what is added there; "" where nothing is.
        norm: The BatchNormalization that comes right behind y.
    """

    value: str
    axis: int
    rank: int
    scale: Floats
    shift: Floats
    places: tuple[Place, ...] = ()
    total: str = ""
    other: str = ""
    norm: Node | None = None

    @property
    def corrects(self) -> bool:
        """Whether the target can be taken from a sum."""
        return bool(self.total) and bool((self.scale != 0).all())


def tail_of(graph: Graph, value: str, channels: int, axis: int) -> Tail:
    """What follows a value, as far as it is one affine function a channel."""
    rank = len(graph.shapes[value])
    axis %= rank
    tail = Tail(value, axis, rank, np.ones(channels), np.zeros(channels))
    while True:
        following = only_reader(graph, tail.value)
        step = STEPS.get(following.op_type) if following is not None and not following.domain else None
        found = step(graph, following, tail) if step is not None and following is not None else None
        if found is None:
            return tail
        tail = found
        if tail.total:
            return tail


def only_reader(graph: Graph, name: str) -> Node | None:
    edges = graph.consumers.get(name, [])
    if len(edges) != 1 or edges[0].slot < 0 or name in {output.name for output in graph.outputs}:
        return None
    return graph.nodes[edges[0].node]


def identity(_graph: Graph, node: Node, tail: Tail) -> Tail | None:
    return replace(tail, value=node.outputs[0])


def add(graph: Graph, node: Node, tail: Tail) -> Tail | None:
    """A constant a channel is a bias; a computed value of the same extents is another branch."""
    other = beside(node, tail)
    if other is None:
        return None
    constant = per_channel(graph, other, tail)
    if constant is not None:
        held = stored(graph, other)
        place = Place(held, tail.scale) if held is not None and held.read().size == len(tail.scale) else None
        places = (*tail.places, place) if place is not None else tail.places
        return replace(tail, value=node.outputs[0], shift=tail.shift + constant, places=places)
    if graph.shapes.get(other) != graph.shapes[tail.value] or other in graph.initializers:
        return None
    return replace(tail, total=node.outputs[0], other=other)


def mul(graph: Graph, node: Node, tail: Tail) -> Tail | None:
    other = beside(node, tail)
    constant = None if other is None else per_channel(graph, other, tail)
    if constant is None:
        return None
    return replace(tail, value=node.outputs[0], scale=tail.scale * constant, shift=tail.shift * constant)


def batch_normalization(graph: Graph, node: Node, tail: Tail) -> Tail | None:
    """Scale * (y - mean) / sqrt(var + epsilon) + bias, by statistics of the training."""
    parameters = [stored_values(graph, name) for name in node.inputs[1:5]]
    if tail.axis != 1 or node.attr("training_mode", 0) or any(p is None for p in parameters):
        return None
    scale, bias, mean, var = (np.asarray(p, np.float64) for p in parameters)
    factor = scale / np.sqrt(var + float(node.attr("epsilon", 1e-5)))
    held = stored(graph, node.inputs[2])
    places = tail.places if held is None else (*tail.places, Place(held, tail.scale * factor))
    first = not tail.places and bool((tail.scale == 1).all() and (tail.shift == 0).all())
    return replace(
        tail,
        value=node.outputs[0],
        scale=tail.scale * factor,
        shift=(tail.shift - mean) * factor + bias,
        places=places,
        norm=node if first else tail.norm,
    )


STEPS: dict[str, Callable[[Graph, Node, Tail], Tail | None]] = {
    "Identity": identity,
    "Add": add,
    "Mul": mul,
    "BatchNormalization": batch_normalization,
}


def beside(node: Node, tail: Tail) -> str | None:
    """The other operand of two."""
    if len(node.inputs) != 2 or node.inputs[0] == node.inputs[1]:
        return None
    return node.inputs[1] if node.inputs[0] == tail.value else node.inputs[0]


def stored_values(graph: Graph, name: str) -> Array | None:
    """A constant's values, whoever reads it too."""
    constant = graph.initializers.get(name)
    return None if constant is None else constant.array()


def per_channel(graph: Graph, name: str, tail: Tail) -> Floats | None:
    """(M,) a constant that broadcasts along the channels alone; None where it is none."""
    held = stored(graph, name)
    array = stored_values(graph, name) if held is None else held.read()
    if array is None or array.ndim > tail.rank:
        return None
    shape = (1,) * (tail.rank - array.ndim) + array.shape
    wrong = any(n != 1 for axis, n in enumerate(shape) if axis != tail.axis)
    if wrong or shape[tail.axis] not in (1, len(tail.scale)):
        return None
    return np.broadcast_to(array.astype(np.float64).reshape(-1), (len(tail.scale),)).copy()

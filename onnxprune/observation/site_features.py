"""What the graph tells of each node that is a vertex: extents, kernels, sizes."""

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from onnxprune.observation.rows import ChannelRows
from onnxprune.observation.vertices import Vertices, constants_behind
from onnxprune.onnx_file import Node

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sites:
    """(V,) each.

    Attributes:
        inputs, outputs: Channels.
        height, width: The last two extents that are neither channels nor the batch; 1 where there are none.
        kernel, stride: log2 of the extent, the geometric mean over axes; 0 for 1, and where there is none.
        group: Of a grouped convolution; 1 elsewhere.
        params: Elements of weights.
        grouped: `group` is above 1.
        dense: Multiplies by a plain matrix.
    """

    inputs: Floats
    outputs: Floats
    height: Floats
    width: Floats
    kernel: Floats
    stride: Floats
    group: Floats
    params: Floats
    grouped: NDArray[np.bool_]
    dense: NDArray[np.bool_]


def find_sites(rows: ChannelRows, vertices: Vertices) -> Sites:
    """The same for all vertices."""
    behind = constants_behind(rows.groups.graph)
    contracting = {term.node for term in rows.groups.findings.macs}
    table = np.array([site(rows, node, behind) for node in vertices.nodes], np.float64).reshape(-1, 9)
    multiplies = np.array([node.name in contracting for node in vertices.nodes], bool)
    dense = multiplies & (table[:, 8] == 2)
    inputs, outputs, height, width, kernel, stride, group, params, _ = table.T
    return Sites(inputs, outputs, height, width, kernel, stride, group, params, group > 1, dense)


def site(rows: ChannelRows, node: Node, behind: dict[str, tuple[str, ...]]) -> tuple[float, ...]:
    """(inputs, outputs, height, width, kernel, stride, group, params, axes of the largest weight)."""
    graph = rows.groups.graph
    shapes = {name: graph.shapes.get(name, ()) for name in node.inputs if name and name not in behind}
    weights = [name for value in node.inputs for name in behind.get(value, ())]
    sizes = {name: graph.initializers[name].size for name in weights}
    largest = max(sizes, key=lambda name: sizes[name], default="")
    output = next((name for name in node.outputs if name), "")
    made, space = extents(rows, output)
    read = max((extents(rows, name)[0] for name in shapes), default=1)
    weight_shape = graph.initializers[largest].shape if largest else ()
    kernel = tuple(node.attr("kernel_shape", ())) or kernel_of(rows, largest)
    return (
        max(read, inner(rows, largest, made)),
        made,
        *space,
        log2_side(kernel),
        log2_side(tuple(node.attr("strides", ()))),
        max(1, int(node.attr("group", 1))),
        sum(sizes.values()),
        len(weight_shape),
    )


def extents(rows: ChannelRows, value: str) -> tuple[int, tuple[int, int]]:
    """Channels of a value, and the last two of its other extents, the batch left out."""
    shape, labels = rows.groups.graph.shapes.get(value, ()), rows.groups.axis_labels(value)
    if len(labels) != len(shape):
        labels = (None,) * len(shape)
    holding = [axis for axis, own in enumerate(labels) if rows.is_channel_axis(own)]
    channels = max((shape[axis] for axis in holding), default=1)
    space = [1, 1, *(shape[a] for a in range(1, len(shape)) if a not in holding)]
    return channels, (space[-2], space[-1]) if len(space) > 3 else (space[-1], 1)


def inner(rows: ChannelRows, weight: str, made: int) -> int:
    """Channels that a weight reads, where the data does not tell."""
    if not weight:
        return 1
    shape, labels = rows.groups.graph.initializers[weight].shape, rows.groups.axis_labels(weight)
    holding = [n for n, own in zip(shape, labels, strict=False) if rows.is_channel_axis(own)]
    if made in holding:
        holding.remove(made)
    return max(holding, default=1)


def kernel_of(rows: ChannelRows, weight: str) -> tuple[int, ...]:
    """Extents of a weight beyond those that hold channels."""
    if not weight:
        return ()
    shape, labels = rows.groups.graph.initializers[weight].shape, rows.groups.axis_labels(weight)
    if len(shape) < 3 or len(labels) != len(shape):
        return ()
    return tuple(n for n, own in zip(shape[2:], labels[2:], strict=True) if not rows.is_channel_axis(own))


def log2_side(extents: tuple[int, ...]) -> float:
    """log2 of the geometric mean."""
    return float(np.log2(max(1, prod(extents)))) / len(extents) if extents else 0.0

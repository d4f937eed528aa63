"""Extents that depend on values: how many boxes are left, say. Changed weights may change them by right.

    NonZero(Relu(x W))      (2, ?)   the 2 is compared, how many there are is not
    Reshape(x, Shape(y))    follows from extents alone: compared

What a run on one input shows of them tells nothing of how the model was cut. Where weights did not change,
or are not read on the way, such extents are compared as all others are; and the law, which runs both models
on the same inputs, compares all extents.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from onnxprune.groups import Groups
from onnxprune.onnx_file import Graph, Node
from onnxprune.onnx_file.ordering import captures, subgraphs
from onnxprune.onnx_file.shapes import computed_numbers, known_extents
from onnxprune.operators.frozen import FROZEN_BY_DESIGN
from onnxprune.operators.table import COUPLING
from onnxprune.verification.weights import kept_equal

Axes = frozenset[tuple[str, int]]  # (value, axis)

MICROSOFT = "com.microsoft"
SIZED_BY: Mapping[tuple[str, str], tuple[int, ...]] = {  # the inputs whose values give extents of outputs
    ("", "AffineGrid"): (1,),
    ("", "BlackmanWindow"): (0,),
    ("", "CenterCropPad"): (1,),
    ("", "Col2Im"): (1, 2),
    ("", "Compress"): (1,),
    ("", "ConstantOfShape"): (0,),
    ("", "DFT"): (1,),
    ("", "Expand"): (1,),
    ("", "HammingWindow"): (0,),
    ("", "HannWindow"): (0,),
    ("", "ImageDecoder"): (0,),
    ("", "MaxUnpool"): (2,),
    ("", "MelWeightMatrix"): (0, 1),
    ("", "NonMaxSuppression"): (0, 1, 2, 3, 4),
    ("", "NonZero"): (0,),
    ("", "OneHot"): (1,),
    ("", "Pad"): (1, 3),
    ("", "Range"): (0, 1, 2),
    ("", "Reshape"): (1,),
    ("", "Resize"): (1, 2, 3),
    ("", "STFT"): (1, 3),
    ("", "SequenceAt"): (1,),
    ("", "SequenceErase"): (1,),
    ("", "SequenceInsert"): (2,),
    ("", "Slice"): (1, 2, 3, 4),
    ("", "Split"): (1,),
    ("", "SplitToSequence"): (1,),
    ("", "StringSplit"): (0,),
    ("", "Tile"): (1, 2),
    ("", "TopK"): (1,),
    ("", "Unique"): (0,),
    ("", "Upsample"): (1,),
    (MICROSOFT, "Pad"): (1, 3),
    (MICROSOFT, "Range"): (0, 1, 2),
    (MICROSOFT, "Unique"): (0,),
}
SIZES = ("Shape", "Size")  # what they give depends on extents alone


def value_dependent(groups: Groups, pruned: Graph, numbers: Collection[str]) -> Axes:
    """The axes whose extents may differ from those of the original because weights do. Linear in the nodes.

    Such an axis lies behind an operator that makes extents of values that changed weights went into, does
    not follow from the input shapes without a run, and has no channels that may go.

    Args:
        groups: Of the original.
        pruned: The result, which may have been repaired or trained.
        numbers: Constants that count channels: what follows from them is known.
    """
    given = pruned.initializers.keys() | computed_numbers(pruned).keys()
    if not any(sizing(node) - given for node in pruned.nodes):
        return frozenset()
    behind = behind_values(pruned, changed_weights(groups.graph, pruned, numbers))
    if not behind:
        return frozenset()
    known, shapes = known_extents(groups.graph), groups.graph.shapes
    stays = groups.keep_labels({group.name: np.zeros(group.channels, bool) for group in groups.prunable})
    found = set()
    for name in behind & shapes.keys():
        unknown = (None,) * len(shapes[name])
        extents, labels = known.get(name, unknown), groups.axis_labels(name) or unknown
        found |= {
            (name, axis)
            for axis, (extent, of_axis) in enumerate(zip(extents, labels, strict=False))
            if extent is None and (of_axis is None or stays[of_axis].all())
        }
    return frozenset(found)


def sizing(node: Node) -> set[str]:
    """The values that may give a node's outputs their extents, beside the extents of its inputs."""
    key = node.domain, node.op_type
    if key in SIZED_BY:
        return {node.inputs[slot] for slot in SIZED_BY[key] if slot < len(node.inputs)}
    known = key in COUPLING or key in FROZEN_BY_DESIGN
    return set() if known and not subgraphs(node.proto) else read_by(node)


def read_by(node: Node) -> set[str]:
    return {*filter(None, node.inputs), *captures(node.proto)}


def behind_values(graph: Graph, changed: Collection[str]) -> set[str]:
    """Values whose extents, or numbers made of extents, may depend on the values of changed weights."""
    altered, behind = set(changed), set[str]()
    for node in graph.nodes:
        read, outputs = read_by(node), set(filter(None, node.outputs))
        if sizing(node) & altered or read & behind:
            behind |= outputs
        if read & altered and node.op_type not in SIZES:
            altered |= outputs
    return behind


def changed_weights(original: Graph, pruned: Graph, numbers: Collection[str]) -> set[str]:
    """Names of the constants that are cut or hold other values, those that count channels left out."""
    both = original.initializers.keys() & pruned.initializers.keys() - set(numbers)
    pairs = {name: (original.initializers[name], pruned.initializers[name]) for name in both}
    return {
        name
        for name, (old, new) in pairs.items()
        if old.shape != new.shape or not kept_equal(old, new, [None] * len(old.shape))
    }


def settled(original: Graph, pruned: Graph, loose: Axes) -> Graph:
    """The pruned graph with the extents of the original along these axes."""
    shapes = dict(pruned.shapes)
    for name in {name for name, _ in loose} & shapes.keys():
        before, after = original.shapes[name], shapes[name]
        if len(before) == len(after):
            pairs = enumerate(zip(before, after, strict=True))
            shapes[name] = tuple(b if (name, axis) in loose else a for axis, (b, a) in pairs)
    return replace(pruned, shapes=shapes)

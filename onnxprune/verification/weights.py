"""Weights: what was kept is bit-identical, and nothing else was removed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from onnxprune.groups import Groups
from onnxprune.onnx_file import Graph, Initializer
from onnxprune.operators.labels import AxisLabels
from onnxprune.verification.allowed import allowed
from onnxprune.verification.types import Bits, Check, judged, skipped

NAME = "kept weights are bit-identical"
BLOCK = 1 << 22  # elements compared at once


def check_weights(groups: Groups, pruned: Graph, masks: Mapping[str, Bits], *, retrained: bool) -> Check:
    """Every constant is the original's without the removed channels, bit for bit.

    Args:
        groups: Of the original.
        pruned: The result.
        masks: What it was made of.
        retrained: Compare the extents alone.
    """
    faults, cut = [], 0
    for name, constant, bits in expected_cuts(groups, masks):
        found = pruned.initializers.get(name)
        shape = tuple(n if b is None else int(b.sum()) for n, b in zip(constant.shape, bits, strict=True))
        cut += shape != constant.shape
        if found is None:
            faults.append(f"initializer {name!r} is missing")
        elif found.shape != shape:
            faults.append(f"initializer {name!r} has extents {found.shape}, expected {shape}")
        elif not retrained and not kept_equal(constant, found, bits):
            faults.append(f"initializer {name!r} has other values than the original's kept channels")
    total = len(groups.graph.initializers)
    what = "extents of " if retrained else ""
    return judged(NAME, faults, f"{what}{total:,} constants, {cut:,} of them cut", constants=total, cut=cut)


def check_untouched(groups: Groups, pruned: Graph, reason: str, *, retrained: bool) -> Check:
    """Without masks: constants of unchanged extents, and no group runs over those of other extents."""
    faults = []
    for name, constant, _ in expected_cuts(groups, {}):
        found = pruned.initializers.get(name)
        free = [labels is not None for labels in groups.axis_labels(name)]
        if found is None:
            faults.append(f"initializer {name!r} is missing")
        elif len(found.shape) != len(constant.shape) or any(
            a != b and not (may and 0 < a < b)
            for a, b, may in zip(found.shape, constant.shape, free or [False] * len(found.shape), strict=True)
        ):
            faults.append(f"initializer {name!r} has extents {found.shape}, in the original {constant.shape}")
        elif not retrained and not any(free) and not kept_equal(constant, found, [None] * len(found.shape)):
            faults.append(f"initializer {name!r} has other values, and no group runs over it")
    return judged(NAME, faults) if faults else skipped(NAME, reason)


def expected_cuts(
    groups: Groups, masks: Mapping[str, Bits]
) -> Iterator[tuple[str, Initializer, list[Bits | None]]]:
    """(name, constant, keep bits of each axis or None) of every constant that holds no numbers to change."""
    keep, numbers = groups.keep_labels(dict(masks)), allowed(groups, masks).constants
    for name, constant in groups.graph.initializers.items():
        labels: Sequence[AxisLabels] = groups.axis_labels(name)
        if name not in numbers:
            of_axes = labels if len(labels) == len(constant.shape) else [None] * len(constant.shape)
            bits = [None if ls is None else keep[ls] for ls in of_axes]
            yield name, constant, [None if b is None or b.all() else b for b in bits]


def kept_equal(old: Initializer, new: Initializer, bits: Sequence[Bits | None]) -> bool:
    """Whether the new constant holds the kept elements of the old one, whatever field they are stored in."""
    if old.proto.data_type != new.proto.data_type:
        return False
    if all(b is None for b in bits) and same_bytes(old, new):
        return True
    if old.proto.data_type == TensorProto.STRING:
        return bool(np.array_equal(old.array(), new.array()))
    before, after = old.array(), new.array()
    if after.ndim == 0:
        return before.tobytes() == after.tobytes()
    for start, rows in blocks(after, bits):
        part = before[rows]
        for axis, of_axis in enumerate(bits):
            if axis and of_axis is not None:
                part = part.take(np.flatnonzero(of_axis), axis=axis)
        if part.tobytes() != np.ascontiguousarray(after[start : start + len(part)]).tobytes():
            return False
    return True


def blocks(after: NDArray[Any], bits: Sequence[Bits | None]) -> Iterator[tuple[int, Any]]:
    """(first row of the new array, rows of the old one that belong there), a few million elements each."""
    kept = np.arange(len(after)) if bits[0] is None else np.flatnonzero(bits[0])
    step = max(1, BLOCK // max(1, after[:1].size))
    for start in range(0, len(kept), step):
        rows = kept[start : start + step]
        yield start, rows if bits[0] is not None else slice(start, start + step)


def same_bytes(old: Initializer, new: Initializer) -> bool:
    """Whether both protos say the same, for values inside the model or in one and the same file."""
    if old.is_external != new.is_external or old.shape != new.shape:
        return False
    if old.is_external:
        same_place = list(old.proto.external_data) == list(new.proto.external_data)
        return same_place and old.folder.resolve() == new.folder.resolve()
    return bool(old.proto.raw_data) and old.proto.raw_data == new.proto.raw_data

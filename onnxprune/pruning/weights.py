"""Smaller initializers, and the shapes that the file declares."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ValueInfoProto

from onnxprune.groups import Groups
from onnxprune.onnx_file import Initializer
from onnxprune.onnx_file.patch import Patch
from onnxprune.operators.labels import AxisLabels

Bits = NDArray[np.bool_]


def cut_weight(
    groups: Groups, keep: Bits, changed: Mapping[str, NDArray[Any]], constant: Initializer
) -> NDArray[Any] | None:
    """The values of a constant that are left; None where no removed channel runs through it.

    Args:
        groups: Of the original.
        keep: Keep bits by label.
        changed: Values by name that stand in for a constant's own.
        constant: Of the original.
    """
    bits = kept_axes(groups.axis_labels(constant.name), keep)
    values = changed.get(constant.name)
    if values is not None:
        assert values.shape == constant.shape, f"{constant.name}: shape would change"
        return sliced(values, bits)
    return sliced(constant.array(), bits) if any(b is not None for b in bits) else None


def kept_axes(labels: Sequence[AxisLabels], keep: Bits) -> list[Bits | None]:
    """Keep bits of each axis; None where nothing goes."""
    per_axis = [None if ls is None else keep[ls] for ls in labels]
    return [None if bits is None or bits.all() else bits for bits in per_axis]


def sliced(array: NDArray[Any], bits: Sequence[Bits | None]) -> NDArray[Any]:
    for axis, of_axis in enumerate(bits):
        if of_axis is not None:
            array = array.take(np.flatnonzero(of_axis), axis=axis)
    return array


def slice_shapes(patch: Patch, groups: Groups, keep: Bits) -> None:
    """Declared extents of inner values, and of weights that are graph inputs too (IR 3), in place."""
    for value in (*patch.model.graph.value_info, *patch.model.graph.input):
        update_dims(value, groups.axis_labels(value.name), keep)


def update_dims(value: ValueInfoProto, labels: Sequence[AxisLabels], keep: Bits) -> None:
    dims = value.type.tensor_type.shape.dim
    if len(dims) != len(labels):
        return
    for dim, of_axis in zip(dims, labels, strict=True):
        if of_axis is not None and dim.dim_value == len(of_axis):  # wrong declarations stay as they are
            dim.dim_value = int(keep[of_axis].sum())

"""Removing channels from a model: a patched copy; the original is untouched."""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from onnxprune.groups import Groups
from onnxprune.masks import check_masks
from onnxprune.onnx_file.patch import Patch
from onnxprune.pruning.numbers import patch_numbers
from onnxprune.pruning.weights import cut_weight, slice_shapes

__all__ = ["prune"]

NONE: Mapping[str, NDArray[Any]] = MappingProxyType({})


def prune(
    groups: Groups,
    masks: Mapping[str, NDArray[np.bool_]],
    *,
    weights: Mapping[str, NDArray[Any]] = NONE,
) -> ModelProto:
    """The model without the channels that the masks drop.

    Args:
        groups: From `find_groups`.
        masks: Keep bits by group name; groups that are not named keep everything.
        weights: New values of constants by name, in the shape and type of the original; they are sliced
            like the others.

    Returns:
        A copy of the original with smaller initializers, and with the attributes, shape constants and
        value_info that count channels adjusted. Nothing else differs; external data that is not sliced
        stays a reference into the original's folder.

    Raises:
        UsageError: E206, masks that do not fit the groups.
    """
    check_masks(masks, groups)
    keep = groups.keep_labels(dict(masks))
    patch = Patch.of(groups.graph, partial(cut_weight, groups, keep, weights))
    if not keep.all():
        patch_numbers(patch, groups, keep)
        slice_shapes(patch, groups, keep)
    return patch.model

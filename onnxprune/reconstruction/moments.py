"""Means and variances by channel, and a BatchNormalization that is given new ones."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxprune.calibration.stored import stored
from onnxprune.onnx_file import Node
from onnxprune.onnx_file.patch import Patch

Array = NDArray[Any]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Sums and sums of squares of each channel."""

    sums: Floats
    squares: Floats
    count: int

    @staticmethod
    def none() -> "Moments":
        """Of no values at all."""
        return Moments(np.zeros(()), np.zeros(()), 0)

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.sums + other.sums, self.squares + other.squares, self.count + other.count)

    @property
    def mean(self) -> Floats:
        return self.sums / max(1, self.count)

    @property
    def variance(self) -> Floats:
        return np.maximum(0.0, self.squares / max(1, self.count) - np.square(self.mean))

    @property
    def finite(self) -> bool:
        return bool(np.isfinite(self.squares).all())


def moments(value: Array, axis: int) -> Moments:
    """Of one batch, over all axes but one."""
    rows = np.moveaxis(value, axis, -1).reshape(-1, value.shape[axis]).astype(np.float64)
    return Moments(rows.sum(0), np.square(rows).sum(0), len(rows))


def match_normalisation(patch: Patch, node: Node, target: Moments, found: Moments) -> bool:
    """New statistics that give what is normalised the moments that it has in the original, in place.

        var' = var * Var(x') / Var(x)        mean' = E(x') + (mean - E(x)) * sqrt(var' / var)

    Where nothing has changed they are the old ones: the sample does not replace the training's data.

    Returns:
        False where they are shared or computed, and nothing was done.
    """
    mean, var = stored(patch.graph, node.inputs[3]), stored(patch.graph, node.inputs[4])
    if mean is None or var is None:
        return False
    epsilon = float(node.attr("epsilon", 1e-5))
    was = var.read().astype(np.float64)
    moving = (target.variance > 0) & (found.variance > 0)
    ratio = np.where(moving, found.variance / np.where(moving, target.variance, 1.0), 1.0)
    now = np.maximum(0.0, (was + epsilon) * ratio - epsilon)
    stretch = np.sqrt((now + epsilon) / (was + epsilon))
    shifted = found.mean + (mean.read().astype(np.float64) - target.mean) * stretch
    return var.write(patch, now) and mean.write(patch, shifted)

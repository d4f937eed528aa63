"""What a criterion may use beside the model."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxprune.calibration.feeds import Feed

__all__ = ["Feed", "Options", "Scores"]

Scores = dict[str, NDArray[np.float64]]  # (channels,) by group name; larger is kept longer


@dataclass(frozen=True)
class Options:
    """Calibration inputs and randomness.

    Attributes:
        feeds: Batches of any size, read once; None where there are none.
        seed: For criteria that draw.
    """

    feeds: Iterable[Feed] | None = None
    seed: int = 0

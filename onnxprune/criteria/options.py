"""What a criterion may use beside the model."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = dict[str, NDArray[np.float64]]  # (channels,) by group name; larger is kept longer
Feed = Mapping[str, NDArray[Any]]  # one array by input name, the batch axis first


@dataclass(frozen=True)
class Options:
    """Calibration inputs and randomness.

    Attributes:
        feeds: Batches of any size, read once; None where there are none.
        seed: For criteria that draw.
    """

    feeds: Iterable[Feed] | None = None
    seed: int = 0

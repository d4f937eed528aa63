"""Inputs of imaginary models."""

from dataclasses import dataclass
from typing import Any

import numpy as np

FLOAT = np.dtype(np.float32)


@dataclass(frozen=True)
class Input:
    """What `open_data` wants to know of a model's input."""

    name: str
    dims: tuple[int | str | None, ...] | None
    dtype: np.dtype[Any] | None = FLOAT


IMAGE = (Input("input", ("batch", 3, 32, 32)),)
VECTOR = (Input("x", (1, 4)),)

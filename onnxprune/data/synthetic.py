"""Random inputs: good for latency and verification, meaningless for accuracy."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from onnxprune.data.options import DataOptions
from onnxprune.data.samples import Array, Batch, ModelInput, Samples
from onnxprune.errors import DataError


def random_samples(inputs: Sequence[ModelInput], options: DataOptions) -> Samples:
    """`options.count` rows: floats from the normal distribution, integers and booleans 0 or 1.

    Row i depends on the seed and i alone, not on the batch size. (0 and 1 are valid as token
    identifiers, positions and masks alike.)

    Raises:
        DataError: E503, an extent that is unknown.
    """
    shapes = {value.name: _row_shape(value, options.shapes) for value in inputs}

    def row(index: int) -> Batch:
        rng = np.random.default_rng((options.seed, index))
        return Batch({v.name: _draw(rng, shapes[v.name], v.dtype or np.dtype(np.float32)) for v in inputs})

    def chunks(_size: int) -> Iterator[Batch]:
        return (row(index) for index in range(options.count))

    return Samples("random", chunks, count=options.count, synthetic=True)


def _row_shape(value: ModelInput, shapes: Any) -> tuple[int, ...]:
    """The shape of one row with its batch axis; () for a scalar input."""
    dims = shapes.get(value.name, value.dims)
    if dims is None or not all(isinstance(dim, int) and dim > 0 for dim in dims[1:]):
        raise DataError(
            "E503",
            f"random data for input {value.name}: its shape {value.dims or '?'} is not known in full",
            hint=f"--shape {value.name}:1,3,224,224",
        )
    return (1, *dims[1:]) if dims else ()


def _draw(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    if dtype.kind in "iub":
        return rng.integers(0, 2, shape).astype(dtype)
    return rng.standard_normal(shape, np.float32).astype(dtype)

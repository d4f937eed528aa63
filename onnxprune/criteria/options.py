"""What a criterion may use beside the model."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxprune.calibration.feeds import Feed
from onnxprune.data import Batch
from onnxprune.errors import DataError

__all__ = ["Calibration", "Feed", "Options", "Scores", "batches_of", "required"]

Scores = dict[str, NDArray[np.float64]]  # (channels,) by group name; larger is kept longer
Calibration = Feed | Batch  # inputs alone, or with labels


@dataclass(frozen=True)
class Options:
    """Calibration samples and randomness.

    Attributes:
        batches: Of any size, read once; None where there are none. Labels help criteria that ask for
            gradients; others do not look at them.
        seed: For criteria that draw.
    """

    batches: Iterable[Batch] | None = None
    seed: int = 0


def batches_of(feeds: Iterable[Calibration]) -> Iterator[Batch]:
    """The same, inputs alone as batches without labels."""
    return (feed if isinstance(feed, Batch) else Batch(feed) for feed in feeds)


def required(options: Options, name: str) -> Iterable[Batch]:
    """The calibration samples.

    Raises:
        DataError: E501, where there are none.
    """
    if options.batches is None:
        raise DataError("E501", f"{name} needs calibration inputs", hint="give samples with --data")
    return options.batches

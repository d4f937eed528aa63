"""The part of CIFAR-10 that lies in the package: 2,000 search and 2,000 test images.

The search images are those that `split_search` holds out from training; the test images are 200 of each
class from the test part. They are stored without loss as differences to their neighbours, which compress
to two thirds of the plain pixels.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onnxprune.data.array_files import ArrayFile
from onnxprune.data.cifar import Cifar10, choose_balanced, split_search
from onnxprune.errors import DataError

SAMPLE = Path(__file__).parents[1] / "models" / "cifar10_sample.npz"
TEST_IMAGES = 2000
ARRAYS = ("search_differences", "search_labels", "test_differences", "test_labels")


@dataclass(frozen=True)
class CifarSample:
    """Images are uint8 RGB (2000, 32, 32, 3), labels int64 (2000,); classes are balanced."""

    search_images: NDArray[np.uint8]
    search_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]


def take_sample(data: Cifar10, *, seed: int = 0) -> CifarSample:
    """The sample of the whole data set."""
    split = split_search(data)
    rows = choose_balanced(data.y_test, TEST_IMAGES, seed=seed)
    return CifarSample(split.search_images, split.search_labels, data.x_test[rows], data.y_test[rows])


def to_differences(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Red and blue less green, then each pixel less its upper and left neighbours, modulo 256.

    Args:
        images: uint8 RGB (N, H, W, 3).
    """
    mixed = images.copy()
    mixed[..., 0] -= images[..., 1]
    mixed[..., 2] -= images[..., 1]
    zero = np.uint8(0)
    return np.diff(np.diff(mixed, axis=1, prepend=zero), axis=2, prepend=zero)


def from_differences(differences: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The images that `to_differences` was given."""
    images = differences.cumsum(axis=1, dtype=np.uint8).cumsum(axis=2, dtype=np.uint8)
    images[..., 0] += images[..., 1]
    images[..., 2] += images[..., 1]
    return images


def write_sample(path: Path, sample: CifarSample) -> None:
    """Write the sample to `path`; the same sample gives the same bytes with the same zlib."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        np.savez_compressed(
            file,
            search_differences=to_differences(sample.search_images),
            search_labels=sample.search_labels.astype(np.uint8),
            test_differences=to_differences(sample.test_images),
            test_labels=sample.test_labels.astype(np.uint8),
        )
    part.replace(path)


def read_sample(path: Path = SAMPLE) -> CifarSample:
    """The images and labels of the sample.

    Example:
        >>> sample = read_sample()
        >>> as_input(sample.search_images).shape
        (2000, 3, 32, 32)

    Raises:
        DataError: E501, the file is missing, damaged or something else.
    """
    arrays = ArrayFile(path)
    missing = [name for name in ARRAYS if name not in arrays]
    if missing:
        raise DataError("E501", f"{path}: the CIFAR-10 sample was expected; it has no {', '.join(missing)}")
    return CifarSample(
        from_differences(arrays["search_differences"]),
        arrays["search_labels"].astype(np.int64),
        from_differences(arrays["test_differences"]),
        arrays["test_labels"].astype(np.int64),
    )

"""CIFAR-10 (Krizhevsky 2009): reading it, holding search images out, normalising."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onnxprune.data.array_files import ArrayFile
from onnxprune.data.cifar_archive import is_archive, read_archive
from onnxprune.errors import DataError

MEAN = np.array((0.4914, 0.4822, 0.4465), np.float32)  # of the training part, RGB / 255
STD = np.array((0.2470, 0.2435, 0.2616), np.float32)
CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
SEARCH_IMAGES = 2000


@dataclass(frozen=True)
class Cifar10:
    """Images are uint8 RGB (N, 32, 32, 3), labels int64 (N,)."""

    x_train: NDArray[np.uint8]
    y_train: NDArray[np.int64]
    x_test: NDArray[np.uint8]
    y_test: NDArray[np.int64]


@dataclass(frozen=True)
class SearchSplit:
    """The training part cut in two; no image lies in both."""

    fit_images: NDArray[np.uint8]
    fit_labels: NDArray[np.int64]
    search_images: NDArray[np.uint8]
    search_labels: NDArray[np.int64]


def choose_balanced(labels: NDArray[np.int64], count: int, *, seed: int) -> NDArray[np.int64]:
    """Rows of `count` images, equally many of each class, in class-mixed order."""
    rng = np.random.default_rng(seed)
    per_class = count // len(CLASSES)
    chosen = np.concatenate(
        [rng.permutation(np.flatnonzero(labels == label))[:per_class] for label in range(len(CLASSES))]
    )
    return rng.permutation(chosen)


def split_search(data: Cifar10, *, count: int = SEARCH_IMAGES, seed: int = 0) -> SearchSplit:
    """Hold `count` training images out for search, equally many of each class."""
    chosen = choose_balanced(data.y_train, count, seed=seed)
    held_out = np.zeros(len(data.y_train), bool)
    held_out[chosen] = True
    return SearchSplit(
        data.x_train[~held_out], data.y_train[~held_out], data.x_train[chosen], data.y_train[chosen]
    )


def as_input(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the networks of `onnxprune.models` take: normalised float32 (N, 3, 32, 32).

    Args:
        images: uint8 RGB (N, 32, 32, 3).
    """
    scaled = (images.astype(np.float32) / 255 - MEAN) / STD
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def read_cifar10(path: Path) -> Cifar10:
    """All of CIFAR-10: an .npz file with x_train, y_train, x_test, y_test, or the official python archive.

    Args:
        path: The .npz file, cifar-10-python.tar.gz, or the folder cifar-10-batches-py.

    Raises:
        DataError: E501, missing, damaged, or a pickle that asks for more than plain data.
    """
    if is_archive(path):
        return Cifar10(**read_archive(path))
    names = tuple(Cifar10.__dataclass_fields__)
    arrays = ArrayFile(path)
    missing = [name for name in names if name not in arrays]
    if missing:
        raise DataError(
            "E501",
            f"{path}: CIFAR-10 was expected, an .npz file with {', '.join(names)}",
            cause=f"it has no {', '.join(missing)}",
        )
    return Cifar10(**{name: np.array(arrays[name]) for name in names})

"""CIFAR-10 (Krizhevsky 2009) from one .npz file or from the official python archive."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MEAN = np.array((0.4914, 0.4822, 0.4465), np.float32)  # of the training part, RGB / 255
STD = np.array((0.2470, 0.2435, 0.2616), np.float32)
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


def split_search(data: Cifar10, *, count: int = SEARCH_IMAGES, seed: int = 0) -> SearchSplit:
    """Hold `count` training images out for search, equally many of each class, in class-mixed order."""
    rng = np.random.default_rng(seed)
    per_class = count // 10
    chosen = np.concatenate(
        [rng.permutation(np.flatnonzero(data.y_train == label))[:per_class] for label in range(10)]
    )
    chosen = rng.permutation(chosen)
    held_out = np.zeros(len(data.y_train), bool)
    held_out[chosen] = True
    return SearchSplit(
        data.x_train[~held_out], data.y_train[~held_out], data.x_train[chosen], data.y_train[chosen]
    )


def read_cifar10(path: Path) -> Cifar10:
    with np.load(path) as arrays:
        return Cifar10(**{name: arrays[name] for name in arrays.files})

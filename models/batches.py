"""From uint8 images to shuffled, augmented batches."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from onnxprune.data.cifar import as_input

PAD = 4  # pixels on each side, before the random crop


@dataclass(frozen=True)
class Part:
    """Normalised images (N, 3, 32, 32) float32 with their labels (N,) int64."""

    images: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> "Part":
        """The same part on `device`."""
        return Part(self.images.to(device), self.labels.to(device))


def as_part(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Part:
    """uint8 (N, 32, 32, 3) images, normalised, in the layout of the networks."""
    return Part(torch.from_numpy(as_input(images)), torch.from_numpy(labels))


def augment(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Random horizontal flip and random crop of the zero-padded image, drawn per image.

    Args:
        images: (N, C, H, W), on any device.
        rng: Draws the offsets and the flips, always on the CPU: the same on every device.

    Returns:
        New images of the same shape.
    """
    count, _, height, width = images.shape
    device = images.device
    padded = functional.pad(images, (PAD, PAD, PAD, PAD))
    top, left = torch.from_numpy(rng.integers(0, 2 * PAD + 1, (2, count))).to(device)
    flip = torch.from_numpy(rng.integers(0, 2, count)).bool().to(device)
    columns = torch.arange(width, device=device).expand(count, width)
    columns = torch.where(flip[:, None], columns.flip(1), columns) + left[:, None]  # (N, W)
    rows = torch.arange(height, device=device) + top[:, None]  # (N, H)
    pick = torch.arange(count, device=device)[:, None, None]
    pixels = padded.permute(0, 2, 3, 1)[pick, rows[:, :, None], columns[:, None, :]]  # (N, H, W, C)
    return pixels.permute(0, 3, 1, 2)


def batches(part: Part, size: int, *, seed: int, epoch: int) -> Iterator[Part]:
    """Shuffled, augmented batches, the incomplete last one left out.

    Order and augmentation depend on the seed and the epoch alone, so that a resumed training sees what
    an uninterrupted one sees.
    """
    rng = np.random.default_rng((seed, epoch))
    order = torch.from_numpy(rng.permutation(len(part.labels))).to(part.labels.device)
    for start in range(0, len(order) - size + 1, size):
        rows = order[start : start + size]
        yield Part(augment(part.images[rows], rng), part.labels[rows])

"""Random views of images, drawn for each row and epoch: the same in whatever process they are made."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onnxprune.distillation.options import DistillOptions
from onnxprune.errors import UsageError

Layout = Literal["nchw", "nhwc"]
COLORS = (1, 3, 4)
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class ImageAxes:
    """How an input holds images."""

    layout: Layout
    colors: int
    height: int
    width: int


def image_axes(shapes: Sequence[tuple[int, ...]]) -> ImageAxes | None:
    """The axes of the only input where it looks like images: rank 4 with 1, 3 or 4 colours.

    Args:
        shapes: Of one batch of each input.
    """
    if len(shapes) != 1 or len(shapes[0]) != 4:
        return None
    _, first, second, third = shapes[0]
    if first in COLORS:
        return ImageAxes("nchw", first, second, third)
    return ImageAxes("nhwc", third, first, second) if third in COLORS else None


@dataclass(frozen=True)
class Augmentation:
    """What is done to a batch of images; nothing where no name is given.

    Attributes:
        names: Of flip, crop, cutout and mixup.
        axes: Of the images; None only where `names` is empty.
        pad: Pixels of zeros on each side before the crop.
        hole: Side of the square of cutout.
        mixup_alpha: Of the Beta distribution of shares.
    """

    names: tuple[str, ...]
    axes: ImageAxes | None
    pad: int = 0
    hole: int = 0
    mixup_alpha: float = 0.2

    def draw(self, rows: int, rng: np.random.Generator) -> "Draws":
        """Random numbers of one epoch, for each row of the data.

        All are drawn whether used or not, so that one augmentation does not change another's.
        """
        if self.axes is None or not self.names:
            return Draws(None, None, None, None)
        size = (self.axes.height, self.axes.width)
        offsets = rng.integers(0, 2 * self.pad + 1, (rows, 2)) - self.pad
        flips = rng.integers(0, 2, rows).astype(np.bool_)
        holes = np.stack([rng.integers(0, extent, rows) for extent in size], 1)
        shares = rng.beta(self.mixup_alpha, self.mixup_alpha, rows)
        return Draws(
            offsets if "crop" in self.names else np.zeros_like(offsets),
            flips if "flip" in self.names else np.zeros_like(flips),
            holes if "cutout" in self.names else None,
            np.maximum(shares, 1 - shares) if "mixup" in self.names else None,
        )


@dataclass(frozen=True)
class Draws:
    """Random numbers of one epoch by row of the data; None for what is not done.

    Attributes:
        offsets: Of the crop, rows and columns (rows, 2).
        flips: Mirrored or not (rows,).
        holes: Centre of the square (rows, 2).
        shares: Of the row itself in its mixture (rows,).
    """

    offsets: Ints | None
    flips: NDArray[np.bool_] | None
    holes: Ints | None
    shares: NDArray[np.float64] | None


def make_augmentation(options: DistillOptions, shapes: Sequence[tuple[int, ...]]) -> Augmentation:
    """The augmentation that the options ask for, or the usual one for colour images.

    Raises:
        UsageError: E201, augmentation of inputs that are no images.
    """
    axes = image_axes(shapes)
    names = options.augment
    if names is None:
        names = ("flip", "crop") if axes is not None and axes.colors == 3 else ()
    if names and axes is None:
        shown = ", ".join(str(list(shape)) for shape in shapes)
        raise UsageError(
            "E201",
            f"--augment {','.join(names)} needs one input of images, the inputs are {shown}",
            hint="--augment none",
        )
    side = axes.height if axes else 0
    pad = options.crop_pad or max(1, side // 8)
    return Augmentation(names, axes, pad, options.cutout_size or side // 2, options.mixup_alpha)


def pick_images(images: Tensor, rows: Ints, draws: Draws, augmentation: Augmentation) -> Tensor:
    """The images at `rows`, cropped, mirrored and cut, in one gather.

    Args:
        images: All images, on any device.
        rows: Of the batch.
        draws: Of the epoch.
        augmentation: Gives the axes and sizes.
    """
    axes = augmentation.axes
    assert axes is not None
    assert draws.offsets is not None
    assert draws.flips is not None
    top, left = draws.offsets[rows].T
    across = np.where(draws.flips[rows, None], np.arange(axes.width)[::-1], np.arange(axes.width))
    y = np.arange(axes.height) + top[:, None]  # (N, H)
    x = across + left[:, None]  # (N, W)
    kept = inside(y, axes.height)[:, :, None] & inside(x, axes.width)[:, None, :]  # (N, H, W)
    if draws.holes is not None:
        kept &= ~squares(draws.holes[rows], axes, augmentation.hole)
    last = images.permute(0, 2, 3, 1) if axes.layout == "nchw" else images  # (N, H, W, C)
    place = (rows[:, None, None], y.clip(0, axes.height - 1)[:, :, None], x.clip(0, axes.width - 1)[:, None])
    pixels = last[tuple(on(index, images) for index in place)]
    pixels = pixels.masked_fill_(~on(kept, images)[..., None], 0)
    return pixels.permute(0, 3, 1, 2) if axes.layout == "nchw" else pixels


def inside(index: Ints, extent: int) -> NDArray[np.bool_]:
    return (index >= 0) & (index < extent)


def squares(centres: Ints, axes: ImageAxes, side: int) -> NDArray[np.bool_]:
    """Where the squares lie, cut at the borders (N, H, W).

    Reference: DeVries and Taylor 2017 (arXiv 1708.04552).
    """
    spans = []
    for axis, extent in enumerate((axes.height, axes.width)):
        start = centres[:, axis, None] - side // 2
        index = np.arange(extent)
        spans.append((index >= start) & (index < start + side))
    return spans[0][:, :, None] & spans[1][:, None, :]


def on(array: NDArray[Any], like: Tensor) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(like.device)

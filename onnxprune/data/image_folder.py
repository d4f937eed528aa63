"""Samples from folders of images: `class/img.jpg`, or images alone without labels. Needs Pillow."""

import importlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from onnxprune.data.adapter import Adapter
from onnxprune.data.image_arrays import USUAL
from onnxprune.data.options import ImageOptions
from onnxprune.data.samples import Array, Batch, Samples
from onnxprune.errors import DataError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff"})


def holds_images(folder: Path) -> bool:
    """Whether images lie in `folder` or in the folders directly in it."""
    return any(_images(place) for place in (folder, *_class_folders(folder)))


def image_samples(folder: Path, adapter: Adapter) -> Samples:
    """One row an image, in class-mixed order; the label is the rank of its folder's name.

    Raises:
        DataError: E501, Pillow is missing or the first image is damaged; E503, no image options, or
            they do not lead to the model's shape.
    """
    if adapter.options.images is None:
        raise DataError("E503", f"{folder} holds images; how they become inputs is never guessed", hint=USUAL)
    key, options = adapter.single_input(), adapter.options.images
    images = [(path, None) for path in _images(folder)] or _labelled_images(folder)
    order = np.random.default_rng(0).permutation(len(images))  # so that the first N are of all classes

    def chunks(_size: int) -> Iterator[Batch]:
        for index in order:
            path, label = images[index]
            named = Adapter(str(path), adapter.inputs, adapter.options, one_row=True)
            yield named.batch({key: read_image(path, options)}, label)

    first = next(chunks(1))
    return Samples(str(folder), chunks, count=len(images), labelled=first.labels is not None)


def read_image(path: Path, options: ImageOptions) -> Array:
    """The pixels, uint8 (1, H, W, C), resized and cropped as `options` say.

    Raises:
        DataError: E501, damaged or no image, or Pillow is missing; E503, smaller than the crop.
    """
    pillow = _pillow()
    try:
        with pillow.open(path) as file:
            image = file.convert("L" if options.colors == "gray" else "RGB")
    except (OSError, ValueError, SyntaxError, MemoryError, pillow.DecompressionBombError) as error:
        raise DataError("E501", f"{path} is not an image that can be read", cause=str(error)) from error
    if options.resize is not None:
        width, height = image.size
        new_height, new_width = _resized(height, width, options.resize)
        image = image.resize((new_width, new_height), pillow.Resampling.BILINEAR)
    pixels: Array = np.asarray(image)
    pixels = pixels.reshape(*pixels.shape[:2], -1)  # (H, W, C), grey too
    if options.crop is not None:
        pixels = _middle(pixels, options.crop, path)
    return pixels[None, :, :, ::-1] if options.colors == "bgr" else pixels[None]


@cache
def _pillow() -> Any:
    """Pillow's Image module: an optional import, for image folders only."""
    try:
        return importlib.import_module("PIL.Image")
    except ImportError as error:
        raise DataError("E501", "image folders need Pillow", hint="pip install pillow") from error


def _resized(height: int, width: int, resize: tuple[int, int] | int) -> tuple[int, int]:
    """The new height and width; one number is the length of the shorter side."""
    if isinstance(resize, tuple):
        return resize
    shorter = min(height, width)
    return height * resize // shorter, width * resize // shorter


def _middle(pixels: Array, crop: tuple[int, int], path: Path) -> Array:
    height, width = pixels.shape[:2]
    if height < crop[0] or width < crop[1]:
        raise DataError(
            "E503",
            f"{path}: {height}x{width} after resizing, smaller than the crop {crop[0]}x{crop[1]}",
            hint="give --resize, or a smaller --crop",
        )
    top, left = round((height - crop[0]) / 2), round((width - crop[1]) / 2)
    return pixels[top : top + crop[0], left : left + crop[1]]


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def _class_folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")


def _labelled_images(folder: Path) -> list[tuple[Path, int | None]]:
    folders = _class_folders(folder)
    return [(path, label) for label, place in enumerate(folders) for path in _images(place)]

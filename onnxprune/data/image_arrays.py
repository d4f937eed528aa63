"""uint8 images as a model's input: colour axis found, scaled, normalised, laid out."""

from typing import Any

import numpy as np

from onnxprune.data.options import ImageOptions
from onnxprune.data.samples import Array
from onnxprune.errors import DataError

USUAL = (
    "give --layout, and --mean and --std as in training (after /255; ImageNet's are "
    "0.485,0.456,0.406 and 0.229,0.224,0.225)"
)


def as_model_input(images: Array, options: ImageOptions, *, dtype: np.dtype[Any], where: str) -> Array:
    """The images as (N, C, H, W) or (N, H, W, C) of `dtype`.

        as_model_input(zeros((8, 32, 32, 3), uint8), ImageOptions("nchw", (0.5,) * 3, (0.5,) * 3), ...)
        -> float32 (8, 3, 32, 32), all -1

    The colour axis is the last one or, where only that fits the length of the mean, the second.

    Args:
        images: uint8, (N, H, W, C), (N, C, H, W) or, grey, (N, H, W).
        options: Normalisation and the order of axes that the model wants.
        dtype: Of the model's input.
        where: Data and input, for messages.

    Raises:
        DataError: E503, the mean does not fit the images, or is missing for a model of floats.
    """
    last = _colors_last(images, options, where)  # (N, H, W, C)
    if dtype != np.uint8:
        last = _normalised(last, options, where).astype(dtype, copy=False)
    elif options.mean is not None:
        raise DataError("E503", f"{where}: the model takes uint8, --mean and --std cannot apply")
    return np.ascontiguousarray(last.transpose(0, 3, 1, 2) if options.layout == "nchw" else last)


def _colors_last(images: Array, options: ImageOptions, where: str) -> Array:
    colors = (1, 3, 4) if options.mean is None else (len(options.mean),)
    if images.ndim == 3 and 1 in colors:
        return images[..., None]
    if images.ndim == 4 and images.shape[-1] in colors:
        return images
    if images.ndim == 4 and images.shape[1] in colors:
        return images.transpose(0, 2, 3, 1)
    wanted = " or ".join(map(str, colors))
    raise DataError("E503", f"{where}: no axis of {images.shape} has {wanted} colours", hint=USUAL)


def _normalised(images: Array, options: ImageOptions, where: str) -> Array:
    if options.mean is None or options.std is None:
        raise DataError("E503", f"{where}: uint8 images for a model of floats", hint=USUAL)
    pixels = images.astype(np.float32)
    pixels *= np.float32(options.scale)
    pixels -= np.asarray(options.mean, np.float32)
    pixels /= np.asarray(options.std, np.float32)
    return pixels

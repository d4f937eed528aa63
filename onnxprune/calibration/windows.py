"""The columns that convolutions multiply by: im2col in any number of spatial axes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from onnxprune.onnx_file import Node

Array = NDArray[Any]
Floats = NDArray[np.floating[Any]]
Positions = NDArray[np.int64] | None  # places among all output positions; None: every one
Pairs = list[tuple[int, int]]  # (before, after) of each spatial axis; negative ones crop


def steps(node: Node, name: str, count: int) -> list[int]:
    """Strides or dilations of `count` spatial axes."""
    return [int(v) for v in node.attr(name, None) or [1] * count]


def padding(node: Node, extents: Sequence[int], kernel: Sequence[int]) -> Pairs:
    """What a Conv pads each spatial axis by, auto_pad included."""
    count, mode = len(kernel), node.attr("auto_pad", "NOTSET")
    if mode in ("NOTSET", ""):
        pads = [int(v) for v in node.attr("pads", None) or [0] * (2 * count)]
        return list(zip(pads[:count], pads[count:], strict=True))
    if mode == "VALID":
        return [(0, 0)] * count
    found = []
    for n, k, s, d in zip(
        extents, kernel, steps(node, "strides", count), steps(node, "dilations", count), strict=True
    ):
        total = max(0, (-(-n // s) - 1) * s + (k - 1) * d + 1 - n)
        small, large = total // 2, total - total // 2
        found.append((small, large) if mode == "SAME_UPPER" else (large, small))
    return found


def padded(x: Array, pairs: Pairs) -> Array:
    """Zeros around the spatial axes of (N, C, ...); a negative amount crops."""
    crop = [slice(max(0, -a), n - max(0, -b)) for (a, b), n in zip(pairs, x.shape[2:], strict=True)]
    grown = [(max(0, a), max(0, b)) for a, b in pairs]
    cropped = x[(slice(None), slice(None), *crop)]
    return np.pad(cropped, [(0, 0), (0, 0), *grown]) if any(map(any, grown)) else cropped


def unfold(x: Array, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]) -> Array:
    """(N, C, ...) -> (N, C, out..., kernel...), a view."""
    out = [
        (n - (k - 1) * d - 1) // s + 1
        for n, k, s, d in zip(x.shape[2:], kernel, strides, dilations, strict=True)
    ]
    moves = [b * s for b, s in zip(x.strides[2:], strides, strict=True)]
    taps = [b * d for b, d in zip(x.strides[2:], dilations, strict=True)]
    return as_strided(x, (*x.shape[:2], *out, *kernel), (*x.strides[:2], *moves, *taps), writeable=False)


def flattened(windows: Array, group: int, at: Positions) -> Floats:
    """(N, C, out..., kernel...) -> (groups, N * positions, C/groups * taps)."""
    spatial = (windows.ndim - 2) // 2
    batch, channels = windows.shape[:2]
    if at is not None:
        chosen: Any = (slice(None), slice(None), *np.unravel_index(at, windows.shape[2 : 2 + spatial]))
        windows, spatial = windows[chosen], 1
    out, kernel = windows.shape[2 : 2 + spatial], windows.shape[2 + spatial :]
    split = windows.reshape(batch, group, channels // group, *out, *kernel)
    order = (1, 0, *range(3, 3 + spatial), 2, *range(3 + spatial, split.ndim))
    rows = batch * int(np.prod(out))
    return singles(split.transpose(order)).reshape(group, rows, -1)


def singles(values: Array) -> Floats:
    """The same in single precision and in order, in one copy; in double where they are double."""
    kind = np.float64 if values.dtype == np.float64 else np.float32
    return values.astype(kind, order="C", copy=False)


def conv_columns(node: Node, x: Array, kernel: Sequence[int], at: Positions) -> Floats:
    """What a Conv with such a kernel multiplies its weight by."""
    count = len(kernel)
    x = np.ascontiguousarray(padded(x, padding(node, x.shape[2:], kernel)))
    windows = unfold(x, kernel, steps(node, "strides", count), steps(node, "dilations", count))
    return flattened(windows, int(node.attr("group", 1)), at)


def transposed_columns(node: Node, x: Array, kernel: Sequence[int], y: Array, at: Positions) -> Floats:
    """What a ConvTranspose multiplies its weight by, whose taps come in reversed order.

    It is a convolution with stride 1 of the input with zeros in between:

        x  1 2 3,  stride 2   ->   1 0 2 0 3   ->   windows of the kernel over it
    """
    count, out = len(kernel), y.shape[2:]
    strides, dilations = steps(node, "strides", count), steps(node, "dilations", count)
    wide = np.zeros(
        (*x.shape[:2], *((n - 1) * s + 1 for n, s in zip(x.shape[2:], strides, strict=True))), x.dtype
    )
    wide[(slice(None), slice(None), *(slice(None, None, s) for s in strides))] = x
    begins = transposed_begins(node, x.shape[2:], kernel, out)
    pairs = []
    for n, k, d, begin, o in zip(wide.shape[2:], kernel, dilations, begins, out, strict=True):
        left = (k - 1) * d - begin
        pairs.append((left, o + (k - 1) * d - n - left))
    windows = unfold(np.ascontiguousarray(padded(wide, pairs)), kernel, [1] * count, dilations)
    return flattened(windows, int(node.attr("group", 1)), at)


def transposed_begins(
    node: Node, extents: Sequence[int], kernel: Sequence[int], out: Sequence[int]
) -> list[int]:
    """What a ConvTranspose crops at the beginning of each spatial axis."""
    count, mode = len(kernel), node.attr("auto_pad", "NOTSET")
    if mode in ("NOTSET", "") and not node.attr("output_shape", None):
        return [int(v) for v in node.attr("pads", None) or [0] * (2 * count)][:count]
    if mode == "VALID":
        return [0] * count
    strides, dilations = steps(node, "strides", count), steps(node, "dilations", count)
    extra = [int(v) for v in node.attr("output_padding", None) or [0] * count]
    found = []
    for n, k, s, d, e, o in zip(extents, kernel, strides, dilations, extra, out, strict=True):
        total = max(0, (n - 1) * s + (k - 1) * d + 1 + e - o)
        found.append(total // 2 if mode != "SAME_LOWER" else total - total // 2)
    return found

"""Sampling and rearrangement of images."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from onnxprune.converters.functions.windows import amounts
from onnxprune.converters.signature import Function

TORCH_MODES = {"linear": "bilinear", "cubic": "bicubic"}  # the others have the same names


def grid_sample(
    X: Tensor, grid: Tensor, *, align_corners: int = 0, mode: str = "linear", padding_mode: str = "zeros"
) -> Tensor:
    """X (N, C, *extents), grid (N, *out, rank) from -1 to 1."""
    mode = TORCH_MODES.get(mode, mode)
    grid = grid.to(X.dtype)
    if X.dim() == 3:
        places = torch.stack((grid[..., 0], torch.zeros_like(grid[..., 0])), -1).unsqueeze(1)
        Y = F.grid_sample(X.unsqueeze(2), places, mode, padding_mode, bool(align_corners))
        return Y.squeeze(2)
    return F.grid_sample(X, grid, mode, padding_mode, bool(align_corners))


def affine_grid(theta: Tensor, size: list[int], *, align_corners: int = 0) -> Tensor:
    return F.affine_grid(theta, size, bool(align_corners))


def depth_to_space(input: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    N, C, H, W = input.shape
    depth = C // blocksize**2
    if mode == "CRD":
        return F.pixel_shuffle(input, blocksize)
    blocks = input.reshape(N, blocksize, blocksize, depth, H, W)
    return blocks.permute(0, 3, 4, 1, 5, 2).reshape(N, depth, H * blocksize, W * blocksize)


def space_to_depth(input: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    N, C, H, W = input.shape
    blocks = input.reshape(N, C, H // blocksize, blocksize, W // blocksize, blocksize)
    order = (0, 1, 3, 5, 2, 4) if mode == "CRD" else (0, 3, 5, 1, 2, 4)
    return blocks.permute(order).reshape(N, C * blocksize**2, H // blocksize, W // blocksize)


def center_crop_pad(input_data: Tensor, shape: list[int], *, axes: list[int] | None = None) -> Tensor:
    """An odd difference takes, or adds, one more at the end."""
    rank = input_data.dim()
    begins, ends = [0] * rank, [0] * rank
    for axis, size in zip(axes if axes is not None else range(rank), shape, strict=True):
        missing = size - input_data.shape[axis]
        begins[axis] = missing // 2 if missing >= 0 else -(-missing // 2)
        ends[axis] = missing - begins[axis]
    return F.pad(input_data, amounts(begins, ends))


def non_max_suppression(
    boxes: Tensor,
    scores: Tensor,
    max_output_boxes_per_class: int | None = None,
    iou_threshold: float | None = None,
    score_threshold: float | None = None,
    *,
    center_point_box: int = 0,
) -> Tensor:
    """Boxes (N, B, 4), scores (N, classes, B) -> (selected, 3) as (image, class, box)."""
    if center_point_box:
        centres, sizes = boxes[..., :2], boxes[..., 2:]
        low, high = centres - sizes / 2, centres + sizes / 2
    else:
        low, high = (
            torch.minimum(boxes[..., :2], boxes[..., 2:]),
            torch.maximum(boxes[..., :2], boxes[..., 2:]),
        )
    most, threshold = max_output_boxes_per_class or 0, iou_threshold or 0.0
    chosen: list[tuple[int, int, int]] = []
    for image, per_class in enumerate(scores.detach()):
        corners = low[image].detach(), high[image].detach()
        for kind, values in enumerate(per_class):
            order = values.argsort(descending=True, stable=True)
            if score_threshold is not None:
                order = order[values[order] > score_threshold]
            chosen.extend((image, kind, box) for box in selected(corners, order, most, threshold))
    return torch.tensor(chosen, dtype=torch.int64, device=boxes.device).reshape(-1, 3)


def selected(corners: tuple[Tensor, Tensor], order: Tensor, most: int, threshold: float) -> list[int]:
    """The best boxes, best first, of which none overlaps a better one."""
    found: list[int] = []
    low, high = corners
    while len(order) and len(found) < most:
        best, order = order[0], order[1:]
        found.append(int(best))
        overlaps = (torch.minimum(high[best], high[order]) - torch.maximum(low[best], low[order])).clamp(
            min=0
        )
        shared = overlaps.prod(-1)
        areas = (high - low).prod(-1)
        union = areas[best] + areas[order] - shared
        order = order[~((shared > 0) & (union > 0) & (shared / union > threshold))]
    return found


# --- regions of interest ---------------------------------------------------------------------------------


def roi_align(
    X: Tensor,
    rois: Tensor,
    batch_indices: Tensor,
    *,
    coordinate_transformation_mode: str = "half_pixel",
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Tensor:
    """X (N, C, H, W), rois (R, 4) as (x1, y1, x2, y2) -> (R, C, output_height, output_width)."""
    centred = coordinate_transformation_mode == "half_pixel"
    corners = rois * spatial_scale - (0.5 if centred else 0.0)
    columns = sample_places(corners[:, 0::2], X.shape[3], output_width, sampling_ratio, malformed=centred)
    rows = sample_places(corners[:, 1::2], X.shape[2], output_height, sampling_ratio, malformed=centred)
    pixels = X.permute(0, 2, 3, 1)  # (N, H, W, C)
    image = batch_indices.reshape(-1, 1, 1, 1, 1)
    parts = []
    for row, row_weight in rows.neighbours:
        for column, column_weight in columns.neighbours:
            values = pixels[image, row[:, :, None, :, None], column[:, None, :, None, :]]
            weights = row_weight[:, :, None, :, None] * column_weight[:, None, :, None, :]
            parts.append(values * weights.unsqueeze(-1))  # (R, oH, oW, samples, samples, C)
    if mode == "max":
        counts = rows.counted[:, None, None, :, None] & columns.counted[:, None, None, None, :]
        best = torch.stack(parts).amax(0)
        return torch.where(counts.unsqueeze(-1), best, -torch.inf).amax((3, 4)).permute(0, 3, 1, 2)
    total = sum(parts[1:], parts[0]).sum((3, 4))
    count = (rows.counted.sum(1) * columns.counted.sum(1)).clamp(min=1)
    return (total / count.reshape(-1, 1, 1, 1)).permute(0, 3, 1, 2)


class Samples:
    """Places along one axis of each region.

    Attributes:
        neighbours: The pixels before and after each place and their weights, (R, bins, samples) each.
        counted: Which samples a region has, (R, samples).
    """

    def __init__(self, at: Tensor, counted: Tensor, extent: int) -> None:
        inside = (at >= -1) & (at <= extent) & counted.unsqueeze(1)
        at = at.clamp(0, extent - 1)
        before = at.detach().floor()
        share = at - before
        after = (before + 1).clamp(max=extent - 1)
        self.counted = counted
        self.neighbours = [(before.long(), (1 - share) * inside), (after.long(), share * inside)]


def sample_places(ends: Tensor, extent: int, bins: int, ratio: int, *, malformed: bool) -> Samples:
    """Places of samples, (R, bins, samples); without a ratio a larger region has more of them."""
    sizes = ends[:, 1] - ends[:, 0]
    sizes = sizes if malformed else sizes.clamp(min=1)
    numbers = (sizes / bins).ceil() if ratio <= 0 else torch.full_like(sizes, ratio)
    most = ratio if ratio > 0 else max(int(numbers.max()) if len(numbers) else 1, 1)
    samples = torch.arange(most, device=ends.device)
    shares = (samples + 0.5) / numbers.clamp(min=1).unsqueeze(1)  # (R, samples)
    steps = torch.arange(bins, device=ends.device).reshape(1, -1, 1) + shares.unsqueeze(1)
    at = ends[:, :1].unsqueeze(2) + steps * (sizes / bins).reshape(-1, 1, 1)
    return Samples(at, samples < numbers.unsqueeze(1), extent)


def roi_align_10(
    X: Tensor,
    rois: Tensor,
    batch_indices: Tensor,
    *,
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Any:
    return roi_align(
        X,
        rois,
        batch_indices,
        coordinate_transformation_mode="output_half_pixel",
        mode=mode,
        output_height=output_height,
        output_width=output_width,
        sampling_ratio=sampling_ratio,
        spatial_scale=spatial_scale,
    )


OPERATORS: dict[str, dict[int, Function]] = {
    "AffineGrid": {20: affine_grid},
    "CenterCropPad": {18: center_crop_pad},
    "DepthToSpace": {1: depth_to_space},
    "GridSample": {16: grid_sample},
    "NonMaxSuppression": {10: non_max_suppression},
    "RoiAlign": {10: roi_align_10, 16: roi_align},
    "SpaceToDepth": {1: space_to_depth},
}

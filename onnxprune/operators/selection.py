"""Operators that join or pick parts of axes: Concat, Split, Slice, Gather, Pad."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from onnxprune.operators.context import CannotFollow, NodeContext
from onnxprune.operators.labels import AxisLabels, Labels


def concat(ctx: NodeContext) -> None:
    """Labels one after the other along the axis, coupled along the others."""
    join(ctx, range(len(ctx.node.inputs)))


def join(ctx: NodeContext, slots: Sequence[int]) -> None:
    """Concatenate the inputs in these slots."""
    shapes = [ctx.shape(slot) for slot in slots]
    axis = ctx.axis("axis", 1, rank=len(shapes[0]))
    parts = [ctx.take_all(slot) for slot in slots]
    result: list[AxisLabels] = []
    for other in range(len(shapes[0])):
        if other == axis:
            result.append(joined(ctx, [(p[axis], s[axis]) for p, s in zip(parts, shapes, strict=True)]))
            continue
        for part in parts[1:]:
            ctx.couple(parts[0][other], part[other])
        result.append(parts[0][other] if all(p[other] is not None for p in parts) else None)
    ctx.put(result)


def joined(ctx: NodeContext, parts: list[tuple[AxisLabels, int]]) -> AxisLabels:
    """Labels side by side; fixed parts among them are frozen labels."""
    if all(labels is None for labels, _ in parts):
        return None
    reason = "it comes from an axis that cannot change"
    return np.concatenate([ctx.frozen(n, reason) if labels is None else labels for labels, n in parts])


def split(ctx: NodeContext) -> None:
    """Parts of any size; sizes that the file leaves out are written."""
    shape = ctx.shape(0)
    axis = ctx.axis("axis", 0, rank=len(shape))
    sizes = [ctx.out_shape(i)[axis] if name else 0 for i, name in enumerate(ctx.node.outputs)]
    written = ctx.ints("split", 1)
    if written is not None:
        sizes = written
    if sum(sizes) != shape[axis]:
        raise CannotFollow(f"sizes {sizes} do not fill an axis of {shape[axis]}")
    labels = ctx.take_all(0)
    whole = labels[axis]
    starts = np.cumsum([0, *sizes])
    parts = [None if whole is None else whole[a:b] for a, b in pairwise(starts)]
    for index, part in enumerate(parts):
        ctx.put([*labels[:axis], part, *labels[axis + 1 :]], index)
    if whole is None:
        return
    if written is None:
        place: int | str = 1 if ctx.node.opset >= 13 else "split"
        ctx.supply(place, [p for p in parts if p is not None], drop_attribute="num_outputs")
    else:
        for index, part in enumerate(parts):
            ctx.bind_ints(("split", 1), index, part)


@dataclass(frozen=True)
class Range:
    """A slice of one axis: the element `index` of the bounds."""

    axis: int
    start: int
    end: int
    step: int
    index: int

    def reverses(self, extent: int) -> bool:
        return self.step == -1 and (self.start == -1 or self.start >= extent - 1) and self.end < -extent


STARTS, ENDS = ("starts", 1), ("ends", 2)


def slice_ranges(ctx: NodeContext) -> list[Range]:
    starts, ends = ctx.ints(*STARTS), ctx.ints(*ENDS)
    if starts is None or ends is None:
        raise CannotFollow("it has no bounds")
    axes = ctx.ints("axes", 3, range(len(starts))) or []
    steps = ctx.ints("steps", 4, [1] * len(starts)) or []
    rank = ctx.rank(0)
    rows = zip(axes, starts, ends, steps, strict=True)
    return [Range(a % rank, start, end, step, i) for i, (a, start, end, step) in enumerate(rows)]


def slice_(ctx: NodeContext) -> None:
    """Bounds are counted in what is left before them; a step needs whole blocks of its length."""
    labels = ctx.take_all(0)
    try:
        parts = slice_ranges(ctx)
    except CannotFollow as reason:
        ctx.put(freeze_sliced(ctx, labels, str(reason)))
        return
    for part in parts:
        of_axis = labels[part.axis]
        if of_axis is None or part.reverses(len(of_axis)):
            ctx.bind_ints(STARTS, part.index, None)
            ctx.bind_ints(ENDS, part.index, None)
            labels[part.axis] = None if of_axis is None else of_axis[::-1]
        elif part.step > 0:
            labels[part.axis] = sliced(ctx, part, of_axis)
        else:
            ctx.freeze(of_axis, "a Slice with a negative step")
            labels[part.axis] = None
    ctx.put(labels)


def freeze_sliced(ctx: NodeContext, labels: list[AxisLabels], reason: str) -> list[AxisLabels]:
    """The axes that are cut at unknown bounds stay as they are; the others pass through."""
    axes = [a % len(labels) for a in ctx.ints("axes", 3, range(len(labels))) or []]
    for axis in axes:
        ctx.freeze(labels[axis], f"it is cut where {reason}")
    return [None if axis in axes else of_axis for axis, of_axis in enumerate(labels)]


def sliced(ctx: NodeContext, part: Range, labels: Labels) -> Labels:
    """What a positive step picks; a strided pick stays one if its neighbours go with it."""
    first, last, step = slice(part.start, part.end, part.step).indices(len(labels))
    offset = first % step
    picked = labels[first:last:step]
    # blocks begin at multiples of the step, so that interleaved slices agree
    blocks = labels[first - offset :][: len(picked) * step]
    ctx.couple(blocks[np.arange(len(blocks)) // step * step], blocks)
    bind_bound(ctx, STARTS, part.index, labels, bound=part.start, offset=offset)
    bind_bound(ctx, ENDS, part.index, labels, bound=part.end)
    return picked


def bind_bound(
    ctx: NodeContext, place: tuple[str, int], index: int, labels: Labels, *, bound: int, offset: int = 0
) -> None:
    """A bound counts the labels before it; a negative one those behind it; one past the end stays."""
    if not -len(labels) <= bound <= len(labels):
        ctx.bind_ints(place, index, None)
    elif bound >= 0:
        ctx.bind_ints(place, index, labels[: bound - offset], extra=offset)
    else:
        ctx.bind_ints(place, index, labels[bound - offset + len(labels) :], sign=-1, extra=offset)


def gather(ctx: NodeContext) -> None:
    """Constant indices into a channel axis are counted anew; any other axis passes through."""
    labels, indices = ctx.take_all(0), ctx.take_all(1)
    axis = ctx.axis("axis", 0, rank=len(labels))
    of_axis = labels[axis]
    if of_axis is None:
        ctx.put([*labels[:axis], *indices, *labels[axis + 1 :]])
        if ctx.host.value(ctx.name(1)) is not None or ctx.initializer(1) is not None:
            for of_index in indices:
                ctx.freeze(of_index, "constant indices")
            ctx.put([*labels[:axis], *[None] * len(indices), *labels[axis + 1 :]])
        return
    if ctx.initializer(1) is None:
        ctx.freeze(of_axis, "indices into it are computed from data")
        ctx.put([*labels[:axis], *indices, *labels[axis + 1 :]])
        return
    picked = ctx.const(1).astype(np.int64)
    if picked.ndim != 1 or picked.size == 1:
        ctx.freeze(of_axis[picked.reshape(-1)], "it is picked by itself")
    ctx.reindex(1, of_axis)
    middle = [of_axis[picked]] if picked.ndim == 1 and picked.size > 1 else [None] * picked.ndim
    ctx.freeze(of_axis[picked.reshape(-1)] if picked.ndim > 1 else None, "indices of more than one axis")
    ctx.put([*labels[:axis], *middle, *labels[axis + 1 :]])


def pad(ctx: NodeContext) -> None:
    """Padding adds channels of its own: zeros that shrink with what they meet."""
    labels, rank = ctx.take_all(0), ctx.rank(0)
    amounts = ctx.ints("pads", 1) or []
    axes = [a % rank for a in (ctx.ints("axes", 3, range(rank)) or [])]
    constant = ctx.node.attr("mode", "constant") == "constant"
    for index, axis in enumerate(axes):
        before, after = amounts[index], amounts[index + len(axes)]
        of_axis = labels[axis]
        if (before, after) == (0, 0) or of_axis is None:
            for end in (index, index + len(axes)):
                ctx.bind_ints(("pads", 1), end, None)
        elif not constant or before < 0 or after < 0:
            ctx.freeze(of_axis, "it is padded with its own values or cut")
            labels[axis] = None
        else:
            new = [ctx.fresh(before), ctx.fresh(after)]
            ctx.bind_ints(("pads", 1), index, new[0])
            ctx.bind_ints(("pads", 1), index + len(axes), new[1])
            labels[axis] = np.concatenate([new[0], of_axis, new[1]])
    ctx.put(labels)

"""How the batch passes through operators that read it from one input and keep its axis: a rule for each.

A rule returns the ways to go on (most of them one), or raises `LostBatch`.
"""

import numpy as np

from onnxprune.converters.batch.tracking import SIZES, At, varies
from onnxprune.converters.batch.types import BatchAxis, Step, Times

END = 2**63 - 1


def like_first(at: At) -> list[Step]:
    return at.everywhere(at.place(0))


def outermost(at: At) -> list[Step]:
    """Axis 0 of the first input is the batch by definition: Conv, pools, ..."""
    at.only(0)
    if at.need(0).axis:
        raise at.lost("the batch is not on axis 0")
    if any(at.is_read(index) for index in range(1, len(at.node.outputs))):
        raise at.lost("indices count over the whole batch")
    return at.everywhere(at.place(0))


def batch_normalization(at: At) -> list[Step]:
    at.only(0)
    if at.need(0).axis == 1 or at.node.attr("training_mode", 0) or len(at.node.outputs) > 1:
        raise at.lost("it normalizes over the batch")
    if at.node.opset < 7 and not at.node.attr("is_test", 0):
        raise at.lost("it normalizes over the batch")
    return at.everywhere(at.place(0))


def apart(at: At, *axes: int) -> BatchAxis:
    """The batch axis of the first input, which must be none of these."""
    at.only(0)
    place = at.need(0)
    if place.axis in axes:
        raise at.lost(f"it works along the batch axis ({place.axis})")
    return place


def softmax(at: At) -> list[Step]:
    rank = len(at.shape(0))
    if at.node.opset >= 13:
        return at.everywhere(apart(at, at.axis(-1, rank)))
    return at.everywhere(apart(at, *range(at.axis(1, rank), rank)))


def along(at: At, default: int) -> list[Step]:
    """Works along one axis, given by an attribute."""
    return at.everywhere(apart(at, at.axis(default, len(at.shape(0)))))


def normalized_tail(at: At) -> list[Step]:
    rank = len(at.shape(0))
    return at.everywhere(apart(at, *range(at.axis(-1, rank), rank)))


def cumulative_sum(at: At) -> list[Step]:
    axes = at.integers("axis", 1) or [0]
    return at.everywhere(apart(at, axes[0] % len(at.shape(0))))


def mean_variance(at: At) -> list[Step]:
    return at.everywhere(apart(at, *(a % len(at.shape(0)) for a in at.node.attr("axes", (0, 2, 3)))))


def reduction(at: At) -> list[Step]:
    axes = at.integers("axes", 1)
    if not axes and at.node.attr("noop_with_empty_axes", 0):
        return like_first(at)
    return reduced(at, axes or list(range(len(at.shape(0)))))


def arg_reduction(at: At) -> list[Step]:
    return reduced(at, [at.node.attr("axis", 0)])


def reduced(at: At, axes: list[int]) -> list[Step]:
    rank = len(at.shape(0))
    gone = {axis % rank for axis in axes}
    place = apart(at, *gone)
    shift = 0 if at.node.attr("keepdims", 1) else sum(axis < place.axis for axis in gone)
    return at.everywhere(BatchAxis(place.axis - shift, place.outer))


def transpose(at: At) -> list[Step]:
    place, rank = at.need(0), len(at.shape(0))
    order = list(at.node.attr("perm", range(rank)[::-1]))
    return at.everywhere(BatchAxis(order.index(place.axis), place.outer))


def split(at: At) -> list[Step]:
    return at.everywhere(apart(at, at.axis(0, len(at.shape(0)))))


def split_to_sequence(at: At) -> list[Step]:
    """What is said of the sequence holds for each of its elements."""
    place, axis = apart(at, at.axis(0, len(at.shape(0)))), at.axis(0, len(at.shape(0)))
    gone = not at.given(1) and not at.node.attr("keepdims", 1) and axis < place.axis
    return at.everywhere(BatchAxis(place.axis - gone, place.outer))


def slice_(at: At) -> list[Step]:
    """The batch axis must stay whole; an end that is the batch of 1 becomes open."""
    at.only(0, 1, 2)
    place = at.need(0)
    if at.node.opset < 10:
        return at.everywhere(apart(at, *old_slice_axes(at)))
    starts, ends = at.numbers(1), at.numbers(2)
    if starts is None or ends is None:
        raise at.lost("its bounds are data")
    axes = at.integers("axes", 3) or list(range(len(starts[0])))
    steps = at.integers("steps", 4) or [1] * len(axes)
    where = [axis % len(at.shape(0)) for axis in axes]
    others = [i for i, axis in enumerate(where) if axis != place.axis]
    if varies([bound[others] for bound in starts]) or varies([bound[others] for bound in ends]):
        raise at.lost("its bounds count the batch")
    if place.axis not in where:
        return at.everywhere(place)
    entry, extent = where.index(place.axis), at.extent(0)
    if any(bound[entry] for bound in starts) or steps[entry] != 1 or ends[0][entry] < extent:
        raise at.lost("it takes a part of the batch axis")
    if all(bound[entry] >= extent * size for bound, size in zip(ends, SIZES, strict=True)):
        return at.everywhere(place)
    if ends[0].dtype != np.int64:
        raise at.lost("its end is the batch of 1, in 32 bits")
    opened = [END if i == entry else int(end) for i, end in enumerate(ends[0])]
    return at.everywhere(place, at.set_input(2, opened))


def old_slice_axes(at: At) -> list[int]:
    starts, ends = at.node.attr("starts"), at.node.attr("ends")
    axes = at.node.attr("axes", range(len(starts)))
    whole = [s == 0 and e >= 2**31 - 1 for s, e in zip(starts, ends, strict=True)]
    return [a % len(at.shape(0)) for a, all_ in zip(axes, whole, strict=True) if not all_]


def one_hot(at: At) -> list[Step]:
    at.only(0)
    place, new = at.need(0), at.axis(-1, len(at.result()))
    return at.everywhere(BatchAxis(place.axis + (new <= place.axis), place.outer))


def trilu(at: At) -> list[Step]:
    rank = len(at.shape(0))
    return at.everywhere(apart(at, rank - 1, rank - 2))


def pad(at: At) -> list[Step]:
    at.only(0)
    place, rank = at.need(0), len(at.shape(0))
    pads = at.integers("pads", 1) or at.integers("paddings", 1) or []
    axes = [a % rank for a in at.integers("", 3) or range(rank)]
    if len(pads) != 2 * len(axes):
        raise at.lost("its pads do not fit its axes")
    if any(pads[i] or pads[i + len(axes)] for i, axis in enumerate(axes) if axis == place.axis):
        raise at.lost("it pads the batch axis")
    return at.everywhere(place)


def resize(at: At) -> list[Step]:
    """The batch entry of `scales` is 1, that of `sizes` counts the batch."""
    at.only(0, 3)
    place, rank = at.need(0), len(at.shape(0))
    if at.node.attr("coordinate_transformation_mode", "") == "tf_crop_and_resize":
        raise at.lost("it crops by a region")
    axes = [a % rank for a in at.node.attr("axes", range(rank))]
    if place.axis not in axes:
        return at.everywhere(place)
    entry, slot = axes.index(place.axis), 1 if at.node.op_type == "Upsample" or at.node.opset < 11 else 2
    if not at.given(3) or at.node.op_type == "Upsample":
        scales = at.node.attr("scales") if at.node.opset < 9 else at.fixed(slot)
        if scales is None or len(scales) != len(axes) or scales[entry] != 1:
            raise at.lost("it resizes the batch axis")
        return at.everywhere(place)
    sizes = at.numbers(3)
    if sizes is None:
        raise at.lost("its sizes are data")
    extent = at.extent(0)
    if sizes[0][entry] != extent or at.node.attr("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise at.lost("it resizes the batch axis")
    if all(found[entry] == extent * size for found, size in zip(sizes, SIZES, strict=True)):
        return at.everywhere(place)
    wanted = [Times(extent) if i == entry else int(n) for i, n in enumerate(sizes[0])]
    return at.everywhere(place, at.set_input(3, wanted))


def scales_apart(at: At) -> list[Step]:
    """(De)quantization: by one scale, or by scales along another axis than the batch."""
    at.only(0)
    place, scale = at.need(0), at.shape(1)
    if len(scale) > 1 or (scale not in ((), (1,)) and at.axis(1, len(at.shape(0))) == place.axis):
        raise at.lost("its scales go along the batch axis")
    return at.everywhere(place)


def identity(at: At) -> list[Step]:
    at.only(0)
    return at.everywhere(at.need(0))

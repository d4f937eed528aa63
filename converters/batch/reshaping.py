"""Where the batch goes when a value gets another shape: Reshape and its kin, and shapes given as vectors.

A reshape keeps the order of the elements, so the batch stays behind the same number of elements: `before`,
the product of the extents outside it. Wherever a prefix of the new shape has that product, the batch can go:

    [1, 2048, 1, 1] -> [1, 2048]     before = 1: axis 0, on its own (merged in axis 1: sound, but no use)
    [12, 49, 64] -> [1, 12, 49, 64]  before = 1: axis 0, on its own
    [49, 1, 768] -> [49, 768]        before = 49: merged in axis 0 as [49 * B, 768], or in axis 1
"""

from collections.abc import Sequence
from math import prod

import numpy as np

from onnxprune.converters.batch.tracking import SIZES, At, Rule, Shape, scaled, varies
from onnxprune.converters.batch.types import BatchAxis, Become, Entry, MoveFirst, SetInput, Step, Times


def before(shape: Shape, place: BatchAxis) -> int:
    """Elements outside the batch, in the order of memory."""
    return prod(shape[: place.axis]) * place.outer


def at_offset(shape: Shape, axis: int, offset: int) -> BatchAxis | None:
    """The batch behind `offset` elements, in this axis; None where it cannot be there."""
    outside = prod(shape[:axis])
    if 0 in (outside, offset) or offset % outside or shape[axis] % (offset // outside):
        return None
    return BatchAxis(axis, offset // outside)


def landings(old: Shape, place: BatchAxis, new: Shape) -> list[BatchAxis]:
    """Every place that the batch can have in the new shape, the most natural first."""
    offset = before(old, place)
    found = [p for axis in range(len(new)) if (p := at_offset(new, axis, offset)) is not None]
    squeezed = new == old[: place.axis] + old[place.axis + 1 :]

    def strangeness(landing: BatchAxis) -> tuple[int, int]:
        alone = new[landing.axis] == 1
        stays = landing == place and new[landing.axis] == old[place.axis]
        if alone or stays:
            return (0 if alone and landing.axis == place.axis else 1 if alone else 2), landing.axis
        leads = landing.outer == 1
        return (3 if leads != (squeezed and place.axis > 0) else 4), landing.axis

    return sorted(found, key=strangeness)


def grown(old: Shape, found: Sequence[Shape]) -> int | None:
    """The one axis whose extent is proportional to the batch; `found` holds a shape for each of SIZES."""
    for axis in range(len(old)):
        if all(shape == scaled(old, BatchAxis(axis), size) for shape, size in zip(found, SIZES, strict=True)):
            return axis
    return None


def resolved(target: Sequence[int], shape: Shape, *, zero_copies: bool) -> Shape | None:
    """The shape that Reshape makes of an input of this shape; None where it fails."""
    if zero_copies and any(n == 0 and axis >= len(shape) for axis, n in enumerate(target)):
        return None
    filled = [shape[axis] if n == 0 and zero_copies else n for axis, n in enumerate(target)]
    rest = prod(n for n in filled if n != -1)
    if -1 not in filled:
        return tuple(filled) if rest == prod(shape) else None
    if rest == 0 or prod(shape) % rest:
        return None
    return tuple(prod(shape) // rest if n == -1 else n for n in filled)


def reshape(at: At) -> list[Step]:
    """The constant target follows the batch; a computed one that already does stays."""
    at.only(0, 1)
    place, old, new = at.need(0), at.shape(0), at.result()
    copies = not at.node.attr("allowzero", 0)
    targets = at.numbers(1) if at.node.opset >= 5 else (np.array(at.node.attr("shape")),) * len(SIZES)
    if targets is None:
        raise at.lost("its target is data")
    made = [
        resolved([int(n) for n in target], scaled(old, place, size), zero_copies=copies)
        for target, size in zip(targets, SIZES, strict=True)
    ]
    axis = None if None in made else grown(new, [shape for shape in made if shape is not None])
    as_it_is = None if axis is None else at_offset(new, axis, before(old, place))
    raw = new if varies(targets) else tuple(int(n) for n in targets[0])
    constant = at.node.opset >= 5 and at.node.inputs[1] in at.tracked.graph.initializers
    steps = []
    for landing in landings(old, place, new):
        if landing == as_it_is:
            steps.append(Step((landing,)))
        elif at.node.opset >= 5 and (at.whole or (constant and not copied(raw, place, landing))):
            keeps = copies and landing == place and new[landing.axis] == old[place.axis]
            steps.append(Step((landing,), (at.set_input(1, entries_for(at, landing, raw, keeps=keeps)),)))
    if varies(targets):
        steps.sort(key=lambda step: bool(step.edits))  # who computed the batch knows where it goes
    return some(at, steps + moved_first(at))


def copied(raw: Sequence[int], place: BatchAxis, landing: BatchAxis) -> bool:
    """Whether the target copies the extent of the batch axis to where the batch will not be."""
    return place.axis != landing.axis and place.axis < len(raw) and raw[place.axis] == 0


def moved_first(at: At) -> list[Step]:
    """A reshape to (1, ...) takes a batch of 1 out from behind other elements: for more, a transpose does."""
    offset, new = before(at.shape(0), at.need(0)), at.result()
    if offset == 1 or new[:1] != (1,) or not at.whole or at.node.opset < 5:
        return []
    apart = MoveFirst(0, offset, prod(new) // offset)
    return [Step((BatchAxis(0),), (apart, SetInput(1, (-1, *new[1:]))))]


def entries_for(at: At, landing: BatchAxis, raw: Sequence[int], *, keeps: bool) -> list[Entry]:
    """The entries of a target with the batch at `landing`: 0 where the extent is copied, else -1."""
    new, place = at.result(), at.need(0)
    entries: list[Entry] = [new[i] if n == 0 and i == place.axis else n for i, n in enumerate(raw)]
    free = any(n == -1 for i, n in enumerate(raw) if i != landing.axis)
    entries[landing.axis] = 0 if keeps else Times(new[landing.axis]) if free else -1
    return entries


def some(at: At, steps: list[Step]) -> list[Step]:
    if not steps:
        raise at.lost(f"the batch of {at.shape(0)} has no place in {at.result()}")
    return steps


def as_reshape(at: At, known: BatchAxis | None) -> list[Step]:
    """Ways past a node that keeps the order of the elements: as it is (`known`), or as a Reshape."""
    place, old, new = at.need(0), at.shape(0), at.result()
    steps = []
    for landing in landings(old, place, new):
        if landing == known:
            steps.append(Step((landing,)))
        elif at.whole and at.node.opset >= 5:
            rest = list(new)
            rest[landing.axis] = -1
            steps.append(Step((landing,), (Become(tuple(rest)),)))
    if known is not None and old[place.axis] == 1:
        steps.sort(key=lambda step: bool(step.edits))  # a batch on its own stays on its own
    return some(at, steps)


def flatten(at: At) -> list[Step]:
    place, new = at.need(0), at.result()
    axis = at.axis(1, len(at.shape(0))) if at.node.attr("axis", 1) != len(at.shape(0)) else len(at.shape(0))
    return as_reshape(at, at_offset(new, 0 if place.axis < axis else 1, before(at.shape(0), place)))


def squeeze(at: At) -> list[Step]:
    at.only(0)
    place, rank = at.need(0), len(at.shape(0))
    axes = at.integers("axes", 1)
    if axes is None:
        return as_reshape(at, None)
    gone = {axis % rank for axis in axes}
    if place.axis in gone:
        return as_reshape(at, None)
    return as_reshape(at, BatchAxis(place.axis - sum(axis < place.axis for axis in gone), place.outer))


def unsqueeze(at: At) -> list[Step]:
    at.only(0)
    place, rank = at.need(0), len(at.result())
    new = {axis % rank for axis in at.integers("axes", 1) or []}
    old = [axis for axis in range(rank) if axis not in new]
    return as_reshape(at, BatchAxis(old[place.axis], place.outer))


def gather(at: At) -> list[Step]:
    """Along another axis than the batch; the one sample taken out of a batch of one is every sample."""
    data, indices = at.place(0), at.place(1)
    axis, taken = at.axis(0, len(at.shape(0))), len(at.shape(1))
    if data is None:
        found = at.need(1)
        return at.everywhere(BatchAxis(axis + found.axis, found.outer))
    if indices is not None:
        raise at.lost("both inputs have the batch")
    if data.axis != axis:
        return at.everywhere(BatchAxis(data.axis + (taken - 1 if data.axis > axis else 0), data.outer))
    if at.extent(0) != 1 or at.shape(1) not in ((), (1,)) or at.fixed(1) is None:
        raise at.lost("it picks from the batch axis")
    return as_reshape(at, None) if taken == 0 else at.everywhere(data, Become(None))


def expand(at: At) -> list[Step]:
    targets = at.numbers(1)
    if targets is None:
        raise at.lost("its target is data")
    old, new, place = at.shape(0), at.result(), at.place(0)
    vectors = [tuple(int(n) for n in target) for target in targets]
    axis = len(new) - len(old) + place.axis if place else -1
    found = broadcast_shapes(old, place, vectors)
    if found and grown(new, found) is not None and (place is None or grown(new, found) == axis):
        return at.everywhere(BatchAxis(grown(new, found) or 0, place.outer if place else 1))
    entry = axis - len(new) + len(vectors[0])
    freed = [1 if i == entry else n for i, n in enumerate(vectors[0])]
    found = broadcast_shapes(old, place, [tuple(freed)] * len(SIZES))
    if place is None or not found or grown(new, found) != axis:
        raise at.lost("its target does not fit the batch")
    return at.everywhere(BatchAxis(axis, place.outer), at.set_input(1, freed))


def broadcast_shapes(
    old: Shape, place: BatchAxis | None, targets: Sequence[Shape]
) -> list[tuple[int, ...]] | None:
    try:
        return [
            np.broadcast_shapes(scaled(old, place, size), target)
            for target, size in zip(targets, SIZES, strict=True)
        ]
    except ValueError:
        return None


def tile(at: At) -> list[Step]:
    """Repeated along the batch axis, the batch lies inside the repeats."""
    repeats, old, place = at.numbers(1), at.shape(0), at.place(0)
    if repeats is None:
        raise at.lost("its repeats are data")
    if place is None:
        axis = grown(at.result(), [tuple(int(n) for n in np.array(old) * r) for r in repeats])
        if axis is None:
            raise at.lost("its repeats do not fit the batch")
        return at.everywhere(BatchAxis(axis))
    if varies(repeats):
        raise at.lost("its repeats count the batch a second time")
    return at.everywhere(BatchAxis(place.axis, place.outer * int(repeats[0][place.axis])))


def constant_of_shape(at: At) -> list[Step]:
    shapes = at.numbers(0)
    axis = None if shapes is None else grown(at.result(), [tuple(int(n) for n in s) for s in shapes])
    if axis is None:
        raise at.lost("its shape does not fit the batch")
    return at.everywhere(BatchAxis(axis))


RESHAPING: dict[str, Rule] = {
    "ConstantOfShape": constant_of_shape,
    "Expand": expand,
    "Flatten": flatten,
    "Gather": gather,
    "Reshape": reshape,
    "Squeeze": squeeze,
    "Tile": tile,
    "Unsqueeze": unsqueeze,
}

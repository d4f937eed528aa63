"""Operators in which several inputs meet: those that have the batch must have it at the same place.

A constant without a batch that must have one (a class token, an initial state) is repeated for each sample.
"""

from collections.abc import Mapping, Sequence

from onnxprune.converters.batch.tracking import At, Rule
from onnxprune.converters.batch.types import BatchAxis, Edit, Step, TileInput


def together(at: At, axes: Mapping[int, int]) -> tuple[int, tuple[Edit, ...]]:
    """`outer` of inputs that have the batch at these axes; those without a batch are repeated for it.

    Args:
        axes: The axis that must carry the batch, by input slot; missing slots are passed over.
    """
    axes = {slot: axis for slot, axis in axes.items() if at.given(slot)}
    found = {slot: place for slot in axes if (place := at.place(slot)) is not None}
    extents = {at.extent(slot) for slot in found}
    outers = {place.outer for place in found.values()}
    if len(extents) != 1 or len(outers) != 1 or any(p.axis != axes[s] for s, p in found.items()):
        raise at.lost("its inputs have the batch at different places")
    (outer,), (extent,) = outers, extents
    edits = []
    for slot in axes.keys() - found.keys():
        shape = at.shape(slot)
        if outer != 1 or shape[axes[slot]] != extent:
            raise at.lost(f"{at.node.inputs[slot]!r} cannot be repeated for the batch")
        edits.append(TileInput(slot, axes[slot], len(shape)))
    return outer, tuple(edits)


def aligned(at: At, slots: Sequence[int]) -> tuple[int, int, tuple[Edit, ...]]:
    """(distance of the batch axis from the end, outer, edits) of inputs that broadcast."""
    backs = {len(at.shape(slot)) - place.axis for slot in slots if (place := at.place(slot)) is not None}
    if len(backs) != 1:
        raise at.lost("its inputs have the batch at different axes")
    (back,) = backs
    (extent, *rest) = {at.extent(slot) for slot in slots if at.place(slot) is not None}
    if rest:
        raise at.lost("its inputs have the batch merged with different extents")
    axes = {slot: len(at.shape(slot)) - back for slot in slots if at.place(slot) is not None}
    for slot in slots:
        shape = at.shape(slot)
        if at.place(slot) is not None or len(shape) < back or shape[-back] == 1:
            continue
        if shape[-back] != extent:
            raise at.lost(f"{at.node.inputs[slot]!r} has {shape[-back]} where the batch is")
        axes[slot] = len(shape) - back
    outer, edits = together(at, axes)
    return back, outer, edits


def elementwise(at: At) -> list[Step]:
    """Broadcasting from the last axis on; before opset 7 an attribute says from where."""
    if at.node.opset < 7 and not at.node.domain and "axis" in at.node.attributes:
        at.only(0)
        first = at.axis(0, len(at.shape(0)))
        if first <= at.need(0).axis < first + len(at.shape(1)):
            raise at.lost("a constant goes along the batch axis")
        return at.everywhere(at.place(0))
    back, outer, edits = aligned(at, at.slots())
    return at.everywhere(BatchAxis(len(at.result()) - back, outer), *edits)


def concat(at: At) -> list[Step]:
    axis = at.axis(1 if at.node.opset < 4 else 0, len(at.result()))
    places = [place for slot in at.slots() if (place := at.place(slot)) is not None]
    if any(place.axis != axis for place in places):
        outer, edits = together(at, dict.fromkeys(at.slots(), places[0].axis))
        return at.everywhere(BatchAxis(places[0].axis, outer), *edits)
    inner = {at.extent(slot) // at.need(slot).outer for slot in at.slots()}
    if len(inner) > 1:
        raise at.lost("it joins different extents along the batch axis")
    return at.everywhere(BatchAxis(axis, sum(place.outer for place in places)))


def gather_elements(at: At) -> list[Step]:
    place = at.place(0) or at.need(1)
    if place.axis == at.axis(0, len(at.shape(0))):
        raise at.lost("it works along the batch axis")
    outer, edits = together(at, dict.fromkeys(at.slots(), place.axis))
    return at.everywhere(BatchAxis(place.axis, outer), *edits)


def integer_product(at: At) -> list[Step]:
    if any(at.given(slot) and at.shape(slot) not in ((), (1,)) for slot in (2, 3)):
        raise at.lost("it has a zero point for each row")
    return matrix_product(at)


def matrix_product(at: At) -> list[Step]:
    ranks = len(at.shape(0)), len(at.shape(1))
    a, b = at.place(0), at.place(1)
    at.only(0, 1)
    if (a and a.axis == ranks[0] - 1) or (b and b.axis == max(ranks[1] - 2, 0)):
        raise at.lost("it sums over the batch")
    last = len(at.result()) - 1
    if a and a.axis == ranks[0] - 2:
        if b:
            raise at.lost("both inputs have the batch, one in its rows")
        return at.everywhere(BatchAxis(last - (ranks[1] > 1), a.outer))
    if b and b.axis == ranks[1] - 1:
        if a:
            raise at.lost("both inputs have the batch, one in its columns")
        return at.everywhere(BatchAxis(last, b.outer))
    back, outer, edits = aligned(at, (0, 1))
    return at.everywhere(BatchAxis(max(*ranks, 2) - back, outer), *edits)


def gemm(at: At) -> list[Step]:
    at.only(0, 2)
    place = at.need(0)
    if place.axis != at.node.attr("transA", 0):
        raise at.lost("it sums over the batch")
    edits: tuple[Edit, ...] = ()
    addend = at.shape(2) if at.given(2) else ()
    if len(addend) == 2 and (addend[0] > 1 or at.place(2)):
        if at.place(2) == BatchAxis(0, place.outer) and addend[0] == at.extent(0):
            return at.everywhere(BatchAxis(0, place.outer))
        if at.place(2) or place.outer != 1:
            raise at.lost("its addend has the batch at another place")
        edits = (TileInput(2, 0, 2),)
    elif at.given(2) and at.place(2):
        raise at.lost("its addend has the batch at another place")
    return at.everywhere(BatchAxis(0, place.outer), *edits)


def einsum(at: At) -> list[Step]:
    """One letter carries the batch wherever it stands."""
    left, arrow, right = at.node.attr("equation").replace(" ", "").partition("->")
    terms = left.split(",")
    if "." in left or not arrow:
        raise at.lost("its equation has an ellipsis or no result")
    letters = {terms[slot][place.axis] for slot in at.slots() if (place := at.place(slot)) is not None}
    if len(letters) != 1 or not letters <= {*right}:
        raise at.lost("it sums over the batch, or has it under two letters")
    (letter,) = letters
    if any(term.count(letter) > 1 for term in terms):
        raise at.lost("it takes a diagonal of the batch")
    outer, edits = together(at, {s: term.index(letter) for s, term in enumerate(terms) if letter in term})
    return at.everywhere(BatchAxis(right.index(letter), outer), *edits)


def recurrent(at: At) -> list[Step]:
    """X (seq, batch, in) -> Y (seq, directions, batch, hidden) and states (directions, batch, hidden)."""
    first = bool(at.node.attr("layout", 0))
    states = 0 if first else 1
    outer, edits = together(at, {0: states, 4: 0, 5: states, 6: states})
    at.only(0, 4, 5, 6)
    y = BatchAxis(0 if first else 2, outer)
    return [Step((y, *[BatchAxis(states, outer)] * (len(at.node.outputs) - 1)), edits)]


def grid_sample(at: At) -> list[Step]:
    outer, edits = together(at, {0: 0, 1: 0})
    return at.everywhere(BatchAxis(0, outer), *edits)


def attention(at: At) -> list[Step]:
    """Queries, keys and values (batch, ...); a mask without batch must broadcast over it."""
    outer, edits = together(at, {0: 0, 1: 0, 2: 0, 4: 0, 5: 0})
    at.only(0, 1, 2, 3, 4, 5)
    if at.given(3):
        mask, rank = at.place(3), len(at.shape(3))
        fits = mask == BatchAxis(0, outer) and rank == 4 if mask else rank < 4 or at.shape(3)[0] == 1
        if not fits or (mask and at.extent(3) != at.extent(0)):
            raise at.lost("its mask has the batch at another place")
    return at.everywhere(BatchAxis(0, outer), *edits)


MEETING: dict[str, Rule] = {
    "Attention": attention,
    "Concat": concat,
    "Einsum": einsum,
    "GatherElements": gather_elements,
    "Gemm": gemm,
    "GridSample": grid_sample,
    "GRU": recurrent,
    "LSTM": recurrent,
    "MatMul": matrix_product,
    "MatMulInteger": integer_product,
    "RNN": recurrent,
}

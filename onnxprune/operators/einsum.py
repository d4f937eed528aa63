"""Einsum: any contraction, from its equation.

Three of them, and what becomes of the channels:

    "bhqd,bhkd->bhqk"   d is contracted: coupled between both inputs and cut; b and h pass through
    "bij->bi"           j is summed in one input only: a removed channel adds nothing
    "...ij,...jk"       axes under an ellipsis broadcast from the right; the output is implied

An index that only one input brings and the output keeps is produced there, as the columns of a MatMul.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass

from onnxprune.operators.context import CannotFollow, NodeContext
from onnxprune.operators.labels import AxisLabels

ELLIPSIS = "..."


@dataclass(frozen=True)
class Place:
    """One axis of one input."""

    slot: int
    axis: int


@dataclass(frozen=True)
class Equation:
    """An index name for each axis of the inputs and of the output; "...k": the k-th from the right."""

    inputs: tuple[tuple[str, ...], ...]
    output: tuple[str, ...]

    @staticmethod
    def parse(text: str, ranks: list[int]) -> "Equation":
        """Name every axis of inputs of these ranks.

        Raises:
            CannotFollow: The equation does not fit the inputs.
        """
        left, arrow, right = text.replace(" ", "").partition("->")
        terms = left.split(",")
        if len(terms) != len(ranks):
            raise CannotFollow(f"equation {text!r} does not fit {len(ranks)} inputs")
        inputs = tuple(expand(term, rank) for term, rank in zip(terms, ranks, strict=True))
        widest = max((sum(n.startswith(ELLIPSIS) for n in names) for names in inputs), default=0)
        if not arrow:
            right = ELLIPSIS * (widest > 0) + implied(terms)
        plain = len(right.replace(ELLIPSIS, ""))
        return Equation(inputs, expand(right, plain + widest * (ELLIPSIS in right)))


def implied(terms: list[str]) -> str:
    """Without an arrow: every letter that occurs once, in alphabetical order."""
    counts = Counter("".join(terms).replace(".", ""))
    return "".join(sorted(letter for letter, count in counts.items() if count == 1))


def expand(term: str, rank: int) -> tuple[str, ...]:
    """Names of the axes of one term."""
    before, dots, after = term.partition(ELLIPSIS)
    hidden = rank - len(before) - len(after)
    if hidden < 0 or (hidden and not dots):
        raise CannotFollow(f"the term {term!r} does not fit {rank} axes")
    return (*before, *(f"{ELLIPSIS}{hidden - i}" for i in range(hidden)), *after)


def einsum(ctx: NodeContext) -> None:
    slots = range(len(ctx.node.inputs))
    equation = Equation.parse(str(ctx.node.attr("equation", "")), [ctx.rank(slot) for slot in slots])
    carriers = {name: meet(ctx, places) for name, places in wide_places(ctx, equation).items()}
    result = [carriers.get(name) for name in equation.output]
    ctx.put(result)
    for name, places in wide_places(ctx, equation).items():
        state_role(ctx, name, places, equation)
    count(ctx, equation)


def wide_places(ctx: NodeContext, equation: Equation) -> dict[str, list[Place]]:
    """Where each index stands with more than one element; an extent of 1 broadcasts."""
    places: dict[str, list[Place]] = defaultdict(list)
    for slot, names in enumerate(equation.inputs):
        for axis, name in enumerate(names):
            if ctx.shape(slot)[axis] > 1:
                places[name].append(Place(slot, axis))
    return places


def meet(ctx: NodeContext, places: list[Place]) -> AxisLabels:
    """Couple all axes that one index runs over."""
    taken = [ctx.take(place.slot, place.axis) for place in places]
    for other in taken[1:]:
        ctx.couple(taken[0], other)
    return taken[0] if all(labels is not None for labels in taken) else None


def state_role(ctx: NodeContext, name: str, places: list[Place], equation: Equation) -> None:
    """Contracted where the output lacks the index; produced where one input alone brings it."""
    first = places[0]
    labels = ctx.take(first.slot, first.axis)
    inputs = {place.slot for place in places}
    if name not in equation.output:
        ctx.contract(first.slot, first.axis)
        if len(inputs) > 1:
            for place in places:
                ctx.consumes(ctx.take(place.slot, place.axis))
    elif len(inputs) == 1 and len(equation.inputs) > 1 and contracts(equation):
        ctx.produces(labels)


def contracts(equation: Equation) -> bool:
    """Whether an index that two inputs share is summed over."""
    counts = Counter(name for names in equation.inputs for name in set(names))
    return any(count > 1 and name not in equation.output for name, count in counts.items())


def count(ctx: NodeContext, equation: Equation) -> None:
    """MACs: the product of all extents, once for every input after the first."""
    if not contracts(equation):
        return
    axes = {name: (ctx.name(p[0].slot), p[0].axis) for name, p in wide_places(ctx, equation).items()}
    ctx.macs(len(equation.inputs) - 1, *axes.values())

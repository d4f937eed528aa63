"""Masks of a pruned model that nobody wrote down, by matching its weights with those of the original.

Slices of weights that were kept are bit-identical, so each index of an axis is found again by its bytes, one
axis after the other: a weight whose other axes are known tells about the last one. Biases and normalisation
parameters, with one axis, tell at once.

    original bias   [0.1, 0.7, 0.3, 0.9]        pruned bias  [0.7, 0.9]        kept  [-, x, -, x]
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxprune.groups import Groups
from onnxprune.onnx_file import Graph, Initializer
from onnxprune.operators.labels import AxisLabels
from onnxprune.verification.allowed import allowed
from onnxprune.verification.types import Bits
from onnxprune.verification.weights import expected_cuts, kept_equal

UNKNOWN, GONE, KEPT = -1, 0, 1
Marks = NDArray[np.int8]  # (n,): one of the three for each label or index


class CannotRecover(Exception):
    """The pruned model is not the original without some channels; the message says where it differs."""


@dataclass(frozen=True)
class Matching:
    """What is known so far.

    Attributes:
        groups: Of the original.
        pruned: The other model.
        marks: For each channel, groups one after the other: kept, gone or unknown.
        start: Position of the first channel of each group in `marks`.
    """

    groups: Groups
    pruned: Graph
    marks: Marks
    start: NDArray[np.int64]
    skip: frozenset[str] = field(default_factory=frozenset)

    def of_axis(self, labels: AxisLabels, extent: int) -> Marks:
        """The mark of each index of an axis; frozen ones and axes without labels are kept."""
        if labels is None:
            return np.full(extent, KEPT, np.int8)
        channels, known = self.channels(labels)
        return np.where(known, self.marks[channels], KEPT).astype(np.int8)

    def channels(self, labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], Bits]:
        """Position in `marks` of each label, and whether it belongs to a group at all."""
        group = self.groups.components.group[labels]
        return np.where(group >= 0, self.start[group] + self.groups.components.channel[labels], 0), group >= 0

    def weights(self) -> Iterator[tuple[Initializer, Initializer, tuple[AxisLabels, ...]]]:
        """(original, pruned, labels of the axes) of each weight that groups run over."""
        for name, constant in self.groups.graph.initializers.items():
            labels = self.groups.axis_labels(name)
            if name in self.skip or all(axis is None for axis in labels):
                continue
            found = self.pruned.initializers.get(name)
            if found is None or len(found.shape) != len(constant.shape):
                raise CannotRecover(f"initializer {name!r} is missing or has other axes")
            yield constant, found, labels


def recover_masks(groups: Groups, pruned: Graph) -> dict[str, Bits]:
    """The masks that make the pruned model of the original.

    >>> masks = recover_masks(groups, see(Path("pruned.onnx"), groups.graph))
    >>> masks["g00"].sum()
    12

    Args:
        groups: Of the original, found with the options that the model was pruned with.
        pruned: The lens over the pruned model.

    Returns:
        Masks of all groups that may be pruned; every weight was checked against them bit for bit.

    Raises:
        CannotRecover: There are none: weights were changed, or the model was pruned in another way.
    """
    sizes = [group.channels for group in groups]
    start = np.cumsum([0, *sizes])
    frozen = np.repeat([group.frozen is not None for group in groups], sizes)
    marks = np.where(frozen, KEPT, UNKNOWN).astype(np.int8)
    matching = Matching(groups, pruned, marks, start, allowed(groups, {}).constants)
    settle(matching)
    masks = {
        group.name: marks[first : first + group.channels] == KEPT
        for group, first in zip(groups, start, strict=False)
        if group.frozen is None
    }
    for name, constant, bits in expected_cuts(groups, masks):
        if not kept_equal_at_all(constant, pruned.initializers.get(name), bits):
            raise CannotRecover(f"initializer {name!r} does not hold kept values of the original")
    return masks


def settle(matching: Matching) -> None:
    """Learn from the axes until all channels are known, in place; certain ones first, then by order alone.

    Raises:
        CannotRecover: An axis contradicts what is known, or the axes do not suffice.
    """
    while (matching.marks == UNKNOWN).any():
        before = int((matching.marks == UNKNOWN).sum())
        learn(matching, guess=False)
        if int((matching.marks == UNKNOWN).sum()) == before:
            learn(matching, guess=True)
        if int((matching.marks == UNKNOWN).sum()) == before:
            number = int(np.searchsorted(matching.start, np.argmax(matching.marks == UNKNOWN), "right")) - 1
            name = matching.groups[number].name
            raise CannotRecover(f"the channels of group {name} cannot be told apart by their weights")


def learn(matching: Matching, *, guess: bool) -> None:
    """Go over all weights once, in place.

    Args:
        matching: What is known.
        guess: Where slices are equal to each other, take the first that fit, and stop after one axis.
    """
    for old, new, labels in matching.weights():
        marks = [matching.of_axis(ls, n) for ls, n in zip(labels, old.shape, strict=True)]
        open_axes = [axis for axis, of_axis in enumerate(marks) if (of_axis == UNKNOWN).any()]
        quick = [axis for axis in open_axes if settled_by_extent(marks[axis], new.shape[axis])]
        for axis in quick or (open_axes if len(open_axes) == 1 else []):
            found = matched(old, new, marks, axis, guess=guess)
            of_axis = labels[axis]
            assert of_axis is not None
            channels, grouped = matching.channels(of_axis)
            told = grouped & (found != UNKNOWN)
            matching.marks[channels[told]] = found[told]
            if guess:
                return


def settled_by_extent(marks: Marks, extent: int) -> bool:
    """Whether the extent alone tells: nothing went, or everything that could."""
    kept, unknown = int((marks == KEPT).sum()), int((marks == UNKNOWN).sum())
    return extent in (kept, kept + unknown)


def matched(old: Initializer, new: Initializer, marks: list[Marks], axis: int, *, guess: bool) -> Marks:
    """Marks of the indices of one axis, the others being known.

    Raises:
        CannotRecover: The extents contradict what is known.
    """
    extent, of_axis = new.shape[axis], marks[axis]
    kept, unknown = int((of_axis == KEPT).sum()), int((of_axis == UNKNOWN).sum())
    if not kept <= extent <= kept + unknown:
        raise CannotRecover(f"initializer {old.name!r} has extent {extent} along axis {axis}")
    if settled_by_extent(of_axis, extent):
        rest = KEPT if extent == kept + unknown else GONE
        return np.where(of_axis == UNKNOWN, rest, of_axis).astype(np.int8)
    before = old.array()
    for other, of_other in enumerate(marks):
        if other != axis and (of_other != KEPT).any():
            before = before.take(np.flatnonzero(of_other == KEPT), axis=other)
    after = new.array()
    if any(a != b for i, (a, b) in enumerate(zip(before.shape, after.shape, strict=True)) if i != axis):
        raise CannotRecover(f"initializer {old.name!r} has extents {new.shape}, which fit no masks")
    was, now = slices(before, axis), slices(after, axis)
    return in_order(was, now, of_axis) if guess else by_value(was, now, of_axis)


def slices(array: NDArray[Any], axis: int) -> list[bytes]:
    """The bytes of each slice along an axis."""
    return [part.tobytes() for part in np.moveaxis(array, axis, 0)]


def by_value(was: list[bytes], now: list[bytes], marks: Marks) -> Marks:
    """Slices that occur once before tell whether they occur now; equal ones tell when all or none is left."""
    counts_before, counts_now = tally(was, marks), tally(now, None)
    found = marks.copy()
    for index, part in enumerate(was):
        if marks[index] != UNKNOWN:
            continue
        left = counts_now.get(part, 0)
        if left == 0:
            found[index] = GONE
        elif left == counts_before[part]:
            found[index] = KEPT
    return found


def tally(parts: list[bytes], marks: Marks | None) -> Mapping[bytes, int]:
    counts: dict[bytes, int] = {}
    for index, part in enumerate(parts):
        if marks is None or marks[index] != GONE:
            counts[part] = counts.get(part, 0) + 1
    return counts


def in_order(was: list[bytes], now: list[bytes], marks: Marks) -> Marks:
    """Slices that are equal to each other: the first that fit, in order."""
    found, place = marks.copy(), 0
    for index, part in enumerate(was):
        fits = place < len(now) and now[place] == part
        if marks[index] == UNKNOWN:
            found[index] = KEPT if fits else GONE
        place += int(found[index] == KEPT)
    return found


def kept_equal_at_all(old: Initializer, new: Initializer | None, bits: list[Bits | None]) -> bool:
    shape = tuple(n if b is None else int(b.sum()) for n, b in zip(old.shape, bits, strict=True))
    return new is not None and new.shape == shape and kept_equal(old, new, bits)

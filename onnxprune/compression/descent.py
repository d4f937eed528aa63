"""Where the channels of a pruned model come from: masks of it as masks of the original.

    descent = trace(original, masks, pruned)      # the groups of both files, and what went in between
    total = descent.total(own)                    # what is left of the original once `own` has gone too
    descent.own(total)                            # the inverse

Names and numbers of groups say nothing here: an axis that is left with one channel may be in no group, and
then all later ones have other names. What two groups share are their sites. A pruned model's tensors have the
names of the original's, and an axis of one holds the kept indices of the original's in their order; so every
labelled site says of one channel which channel of the original it is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from onnxprune.groups import Groups
from onnxprune.masks import Masks, all_true
from onnxprune.operators.labels import AxisLabels

Ids = NDArray[np.int64]
Bits = NDArray[np.bool_]
NONE = -1  # in place of a channel: a site in no group
COUPLED_OTHERWISE = "after pruning its channels are no longer one group of the original"


@dataclass(frozen=True)
class Descent:
    """The groups of a pruned model that are groups of the original, channel by channel.

    Attributes:
        groups: Of the pruned model; those that are no groups of the original are frozen.
        before: Masks of the original that gave the pruned model.
        origins: Of each prunable group: the original's group, by name.
        places: Of each prunable group: (channels,) indices in the original's group.
    """

    groups: Groups
    before: Masks
    origins: Mapping[str, str]
    places: Mapping[str, Ids]

    def total(self, own: Mapping[str, Bits]) -> Masks:
        """Masks of the original that keep what these masks of the pruned model keep.

        >>> descent.before, descent.places, descent.total({"g00": np.array([True, False])})
        ({'g00': [1, 0, 1, 0]}, {'g00': [0, 2]}, {'g00': [1, 0, 0, 0]})
        """
        masks = {name: bits.copy() for name, bits in self.before.items()}
        for name, places in self.places.items():
            if name in own:
                masks[self.origins[name]][places[~own[name]]] = False
        return masks

    def own(self, total: Mapping[str, Bits]) -> Masks:
        """The masks of the pruned model that `total` makes `total` of."""
        return {name: total[self.origins[name]][places] for name, places in self.places.items()}


def trace(original: Groups, masks: Mapping[str, Bits], pruned: Groups) -> Descent:
    """The channels of a pruned model in terms of the original's.

    A group of the pruned model stays prunable where it is all that is left of one prunable group of the
    original. Linear in the number of sites, but for sorting.

    Args:
        original: The original's groups.
        masks: Of the original; the pruned model is what they leave of it, with whatever weights.
        pruned: The pruned model's groups.
    """
    before = all_true(original) | dict(masks)
    ours, theirs = Numbering(original), Numbering(pruned)
    parents = parents_of(ours, theirs, original.keep_labels(before))
    origins, places, items = {}, {}, []
    for number, group in enumerate(pruned):
        found = parents[theirs.starts[number] : theirs.starts[number + 1]]
        source = source_of(found, ours, before)
        if source is None:
            items.append(replace(group, frozen=group.frozen or COUPLED_OTHERWISE))
            continue
        items.append(group)
        if group.frozen is None:
            origins[group.name] = original.items[source].name
            places[group.name] = found - ours.starts[source]
    return Descent(replace(pruned, items=tuple(items)), before, origins, places)


class Numbering:
    """All channels of a model numbered, group after group.

    Attributes:
        starts: (G + 1,) the first number of each group, and the end.
        of_label: (labels,) number of each label's channel.
    """

    def __init__(self, groups: Groups) -> None:
        """Number them."""
        self.groups = groups
        self.starts = np.cumsum([0, *(group.channels for group in groups)])
        of_group, of_channel = groups.components.group, groups.components.channel
        self.of_label = np.where(of_group < 0, NONE, self.starts[of_group] + of_channel)

    def of(self, labels: AxisLabels) -> Ids:
        return np.zeros(0, np.int64) if labels is None else self.of_label[labels]


def parents_of(ours: Numbering, theirs: Numbering, keep: Bits) -> Ids:
    """For each channel of the pruned model the original's channel that has the same sites; else `NONE`."""
    child, parent = np.concatenate([np.zeros((2, 0), np.int64), *sites(ours, theirs, keep)], axis=1)
    base = ours.starts[-1] - NONE
    pairs = np.unique((child - NONE) * base + (parent - NONE))  # as one number each: sorted sooner
    child, parent = pairs // base + NONE, pairs % base + NONE
    children = np.bincount(parent - NONE, minlength=base)
    parents = np.bincount(child - NONE, minlength=theirs.starts[-1] - NONE)
    sure = (child != NONE) & (parent != NONE)
    sure &= (children[parent - NONE] == 1) & (parents[child - NONE] == 1)
    found = np.full(theirs.starts[-1], NONE, np.int64)
    found[child[sure]] = parent[sure]
    return found


def sites(ours: Numbering, theirs: Numbering, keep: Bits) -> Iterator[Ids]:
    """(2, sites) channels of the pruned model and of the original at each axis that either has labels of."""
    for name, axes in theirs.groups.findings.store.values.items():
        for left, was in zip_longest(axes, ours.groups.axis_labels(name)):
            child, parent = theirs.of(left), ours.of(None if was is None else was[keep[was]])
            if len(child) == len(parent):
                yield np.stack([child, parent])
            else:
                yield np.stack([child, np.full(len(child), NONE)])
                yield np.stack([np.full(len(parent), NONE), parent])


def source_of(found: Ids, ours: Numbering, before: Masks) -> int | None:
    """The number of the original's prunable group of which these are all channels left; None: of none."""
    if not len(found) or found.min() == NONE:
        return None
    number = int(np.searchsorted(ours.starts, found[0], side="right")) - 1
    kept = before.get(ours.groups[number].name)
    if kept is None:
        return None
    return number if np.array_equal(np.sort(found), ours.starts[number] + np.flatnonzero(kept)) else None

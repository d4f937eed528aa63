"""From equations between labels to channels and groups."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from onnxprune.groups.types import Components, Group, Member, Role
from onnxprune.onnx_file import Graph
from onnxprune.operators.labels import Fact, Labels, LabelStore

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Solution:
    """Channels as connected components of labels.

    Attributes:
        of_label: (labels,) component of each label.
        count: Number of components.
        reason: (count,) index of the first fact that freezes a component, or -1.
    """

    of_label: Ids
    count: int
    reason: Ids
    reasons: list[str]

    def frozen(self, labels: Labels) -> bool:
        """All of these labels must stay."""
        return bool((self.reason[self.of_label[labels]] >= 0).all())

    def freeze(self, labels: Labels, reason: str) -> None:
        """Freeze more components, in place; an earlier reason stays."""
        self.reasons.append(reason)
        ids = self.of_label[labels]
        free = ids[self.reason[ids] < 0]
        self.reason[free] = len(self.reasons) - 1


def solve(store: LabelStore) -> Solution:
    """Connected components of the equations."""
    size = store.count
    if store.equal:
        left = np.concatenate([a for a, _ in store.equal])
        right = np.concatenate([b for _, b in store.equal])
        matrix = coo_matrix((np.ones(len(left), np.int8), (left, right)), shape=(size, size))
        count, found = connected_components(matrix, directed=False)
        of_label = found.astype(np.int64)
    else:
        count, of_label = size, np.arange(size, dtype=np.int64)
    solution = Solution(of_label, int(count), np.full(count, -1, np.int64), [])
    for fact in store.frozen:
        solution.freeze(fact.labels, fact.reason)
    return solution


def distinct_sites(store: LabelStore, graph: Graph) -> Iterator[tuple[int, Labels]]:
    """(key, labels) of every axis; values that share one label array count once."""
    seen: dict[int, int] = {}
    for number, (name, _, labels) in enumerate(store.sites()):
        if name in graph.initializers:
            yield number, labels
        elif id(labels) not in seen:
            seen[id(labels)] = number
            yield number, labels


def signatures(store: LabelStore, solution: Solution, graph: Graph) -> NDArray[np.uint64]:
    """(count,) hash of the (tensor, axis) membership of each component, with multiplicity."""
    sums = np.zeros(solution.count, np.uint64)
    rng = np.random.default_rng(0)
    for _, labels in distinct_sites(store, graph):
        weight = rng.integers(1, 2**63, dtype=np.uint64)
        np.add.at(sums, solution.of_label[labels], weight)
    return sums


def ordered_groups(store: LabelStore, solution: Solution, graph: Graph) -> tuple[list[Ids], Components]:
    """The components of each group in label order, groups in the order of the graph."""
    with_weights = np.zeros(solution.count, bool)
    for name, _, labels in store.sites():
        if name in graph.initializers:
            with_weights[solution.of_label[labels]] = True
    sums = signatures(store, solution, graph)
    first = np.full(solution.count, store.count, np.int64)
    np.minimum.at(first, solution.of_label, np.arange(store.count))
    channels = marked(store.produced, store.count) | marked(store.consumed, store.count)
    structural = solution.reason >= 0  # kernel axes and the like: nothing a contraction runs over
    structural[solution.of_label[channels]] = False
    chosen = np.flatnonzero(with_weights & ~structural)
    chosen = chosen[np.argsort(first[chosen], kind="stable")]
    keys = np.stack([sums[chosen].view(np.int64), solution.reason[chosen]])
    _, earliest, key = np.unique(keys, axis=1, return_index=True, return_inverse=True)
    place = np.argsort(np.argsort(earliest))[key.reshape(-1)]  # of each component's group
    order = np.argsort(place, kind="stable")
    ends = np.cumsum(np.bincount(place, minlength=len(earliest)))[:-1]
    groups = np.split(chosen[order], ends) if len(chosen) else []
    return groups, index_channels(groups, solution)


def index_channels(groups: list[Ids], solution: Solution) -> Components:
    group = np.full(solution.count, -1, np.int64)
    channel = np.full(solution.count, -1, np.int64)
    for number, components in enumerate(groups):
        group[components] = number
        channel[components] = np.arange(len(components))
    return Components(group[solution.of_label], channel[solution.of_label])


def build_groups(store: LabelStore, solution: Solution, graph: Graph) -> tuple[list[Group], Components]:
    """Groups with their members, roles and reasons."""
    components_of, components = ordered_groups(store, solution, graph)
    produced, consumed = marked(store.produced, store.count), marked(store.consumed, store.count)
    anchors = anchor_nodes(store, components)
    inexact = marked(store.inexact, store.count)
    members = find_members(store, components, graph, (produced, consumed))
    shaky = np.zeros(len(components_of) + 1, bool)
    shaky[components.group[inexact]] = True
    digits = len(str(max(0, len(components_of) - 1)))
    groups = []
    for number, ids in enumerate(components_of):
        reason = int(solution.reason[ids[0]])
        own = tuple(members[number])
        groups.append(
            Group(
                name=f"g{number:0{max(2, digits)}d}",
                channels=len(ids),
                anchor=anchors.get(number, own[0].tensor if own else ""),
                members=own,
                frozen=solution.reasons[reason] if reason >= 0 else ALONE if len(ids) == 1 else None,
                inexact=bool(shaky[number]),
                width=min((m.positions.shape[1] for m in own if m.role == "out"), default=1),
            )
        )
    return groups, components


ALONE = "it is the only channel of its group"


def marked(facts: list[Fact], count: int) -> NDArray[np.bool_]:
    bits = np.zeros(count, bool)
    for fact in facts:
        bits[fact.labels] = True
    return bits


def anchor_nodes(store: LabelStore, components: Components) -> dict[int, str]:
    """The first node that produces the channels of each group."""
    anchors: dict[int, str] = {}
    for fact in store.produced:
        for number in np.unique(components.group[fact.labels]).tolist():
            anchors.setdefault(number, fact.reason)
    return anchors


def find_members(
    store: LabelStore,
    components: Components,
    graph: Graph,
    roles: tuple[NDArray[np.bool_], NDArray[np.bool_]],
) -> dict[int, list[Member]]:
    """The initializer axes of each group, with the positions of every channel."""
    produced, consumed = roles
    members: dict[int, list[Member]] = defaultdict(list)
    for name, axis, labels in store.sites():
        if name not in graph.initializers:
            continue
        groups = components.group[labels]
        role: Role = "out" if produced[labels].any() else "in" if consumed[labels].any() else "other"
        for number in np.unique(groups[groups >= 0]).tolist():
            places = np.flatnonzero(groups == number)
            channels = components.channel[labels[places]]
            order = np.argsort(channels, kind="stable")
            count = int(channels.max()) + 1 if len(channels) else 0
            members[number].append(Member(name, axis, places[order].reshape(count, -1), role))
    return members

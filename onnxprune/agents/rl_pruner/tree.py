"""A sampling stage: actions from one model, and what they are worth with a look-ahead.

With R(s') the reward of the model that an action a leads to, and children drawn from the same policy:

    Q(s, a) = R(s') + gamma max over a' of Q(s', a')      equations 13 to 16

down to a depth, where Q = R. A model that meets the target already stays where it is: its children are
itself, so that all sums have as many terms.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from onnxprune.agents.space import Counts
from onnxprune.agents.types import Floats

ROOT = -1


@dataclass(frozen=True)
class Node:
    """An action, and the model that it leads to.

    Attributes:
        parent: Index of the node that it sets out from; ROOT: the base of the stage.
        level: Actions from the base, 1 for the first.
        action: (G,) shares.
        kept, owed: (G,) of the model, as in `Standing`.
        key: Hash of its masks.
    """

    parent: int
    level: int
    action: Floats
    kept: Counts
    owed: Floats
    key: str


def q_values(
    nodes: Sequence[Node], reward: Callable[[Node], float], *, gamma: float, depth: int
) -> list[float]:
    """Q of every node.

    Args:
        nodes: Parents before their children.
        reward: Of a node's model; -inf where it could not be scored.
        gamma: Discount.
        depth: Level at which Q = R.
    """
    best = [-inf] * len(nodes)  # of the children
    parents = {node.parent for node in nodes}
    values = [0.0] * len(nodes)
    for index in reversed(range(len(nodes))):
        node = nodes[index]
        own = reward(node)
        if index in parents:
            values[index] = own + gamma * best[index] if best[index] > -inf else -inf
        else:
            values[index] = own * sum(gamma**ahead for ahead in range(depth - node.level + 1))
        if node.parent != ROOT:
            best[node.parent] = max(best[node.parent], values[index])
    return values


@dataclass(frozen=True)
class Entry:
    """A node of the first level with its Q."""

    q: float
    node: Node


class Buffer:
    """The best actions of a step so far: a new one takes the place of the least, if it is not worse.

    It sets out empty, where the authors' slots hold 0: accuracies may be below 0.
    """

    def __init__(self, slots: int, entries: Sequence[Entry] = ()) -> None:
        self.slots = slots
        self.entries = list(entries)

    def add(self, entry: Entry) -> None:
        """In place; what could not be scored does not enter."""
        if not np.isfinite(entry.q):
            return
        if len(self.entries) < self.slots:
            self.entries.append(entry)
            return
        least = min(range(self.slots), key=lambda index: self.entries[index].q)
        if entry.q >= self.entries[least].q:
            self.entries[least] = entry

    def best(self) -> Entry:
        """Of equal ones the first."""
        return max(self.entries, key=lambda entry: entry.q)

    def chosen(self, epsilon: float, rng: np.random.Generator) -> Entry:
        """The best, or with chance epsilon any; nothing is drawn where epsilon is 0."""
        if epsilon > 0 and rng.random() < epsilon:
            return self.entries[int(rng.integers(len(self.entries)))]
        return self.best()

"""What an episode is about: a model's channels, and bounds that its masks shall meet."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import floor

import numpy as np
from numpy.typing import NDArray

from onnxprune.cost import Cost, CostModel
from onnxprune.environment.rewards import violation
from onnxprune.errors import UnsupportedError
from onnxprune.groups import Groups
from onnxprune.masks import ChannelOrder, Masks
from onnxprune.target import Bound, Constraints, Projection, Scores, Target, project, settle

Counts = NDArray[np.int64]
MOST_REASONS = 3


@dataclass(frozen=True)
class Task:
    """What holds for all episodes. `Task.of` makes one that has been checked.

    Attributes:
        cost_model: Of the original's groups.
        target: Upper bounds on the cost.
        constraints: Alignment and least kept counts, settled for the target.
    """

    cost_model: CostModel
    target: Target
    constraints: Constraints

    @staticmethod
    def of(cost_model: CostModel, *, target: Target, constraints: Constraints) -> "Task":
        """A task that can be done.

        Raises:
            UnsupportedError: E402, no channel may be removed.
            TargetError: E701, no masks meet the target; states the least cost that can be reached.
        """
        require_prunable(cost_model.groups)
        return Task(cost_model, target, settle(cost_model, target=target, constraints=constraints))

    @property
    def groups(self) -> Groups:
        return self.cost_model.groups

    @cached_property
    def order(self) -> ChannelOrder:
        """All channels that may go as one row."""
        return ChannelOrder.of(self.groups)

    @cached_property
    def whole(self) -> Cost:
        """Of the original."""
        return self.cost_model.count({})

    @cached_property
    def limits(self) -> dict[str, int]:
        """The largest allowed cost by quantity."""
        return self.target.limits(self.whole)

    @cached_property
    def rungs(self) -> tuple[Counts, ...]:
        """The kept counts that each prunable group may have, ascending, in their order."""
        return tuple(self.constraints.rungs(group) for group in self.groups.prunable)

    @cached_property
    def widest(self) -> int:
        """Channels of the widest step from one allowed count to the next."""
        return max((int(np.diff(rungs).max(initial=1)) for rungs in self.rungs), default=1)

    @cached_property
    def projection(self) -> Projection:
        """Of scores of all prunable groups onto the target."""
        names = [group.name for group in self.groups.prunable]
        return Projection.onto(self.target, self.cost_model, self.constraints, names)

    def project(self, scores: Scores, target: Target | None = None) -> Masks:
        """Masks that keep what scores highest, aligned, and at or under every bound.

        Args:
            scores: (channels,) by group name; groups without scores keep everything.
            target: Other bounds than the task's.
        """
        if target in (None, self.target) and len(scores) == len(self.groups.prunable):
            return self.projection(scores)
        bounds = self.target if target is None else target
        return project(scores, self.cost_model, target=bounds, constraints=self.constraints)

    def partway(self, done: int, rounds: int) -> Target:
        """The target after `done` of `rounds`: every bound at B_k = F0 (B / F0)^(done / rounds).

        So each round takes the same share of what is left; the last has the target itself.
        """
        if done >= rounds:
            return self.target
        bounds = []
        for name, limit in self.limits.items():
            whole = getattr(self.whole, name)
            if whole > limit:
                limit = max(limit, floor(whole * (limit / whole) ** (done / rounds)))
            bounds.append(Bound(name, Fraction(limit), relative=False))
        return Target(tuple(bounds))

    def violation(self, masks: Masks) -> float:
        """By how much the worst bound is exceeded, as a share of it."""
        return violation(self.cost_model.count(masks), target=self.target, whole=self.whole)


def require_prunable(groups: Groups) -> None:
    """Raises: UnsupportedError: E402, no channel may be removed, with the first reasons."""
    if groups.prunable:
        return
    reasons = list(dict.fromkeys(group.frozen or "" for group in groups))[:MOST_REASONS]
    raise UnsupportedError(
        "E402",
        f"{groups.graph.path.name}: nothing is prunable, there is nothing to decide",
        cause="; ".join(reasons),
        hint="`onnxprune inspect` shows every group with its reason",
    )

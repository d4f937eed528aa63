"""The masks of a problem, made from keep ratios and an order of the channels.

Two things say all about a mask that meets a target: how much each group keeps, and which channels go first.
With q = a channel's place in its group (0 best, 1 worst) and r = the ratio asked for there, the preference

    -q / r

makes one threshold -t keep the share k = min(1, t r) of every group: ratios in proportion to those asked
for. The projection finds the t that the target allows (by bisection on the true cost), holds every group on
aligned counts not below its least, and fills what is left. So ratios that are met exactly come back as they
are, and any others are scaled, up or down, until the target is met from both sides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxprune.agents.types import Floats, Problem
from onnxprune.allocation import allocate, places
from onnxprune.cost import Costs
from onnxprune.masks import Masks, masks_hash

Counts = NDArray[np.int64]
TINY = 1e-6
LEAST_COST = 1e-12
FAR = 1e9  # further apart than any two preferences


@dataclass(frozen=True)
class Space:
    """Where the controls search.

    Attributes:
        problem: What is asked.
        channels: (G,) of the prunable groups.
        group_of: (C,) index of each channel's group.
        prior: (C,) place of each channel in its group by the prior criterion, in (0, 1); 0 is best.
        rungs: (G) the kept counts that each group may have, ascending.
    """

    problem: Problem
    channels: Counts
    group_of: Counts
    prior: Floats
    rungs: tuple[Counts, ...]

    @staticmethod
    def of(problem: Problem) -> "Space":
        order = problem.order
        scores = problem.prior_scores()
        return Space(
            problem,
            np.diff(order.starts),
            order.group_of,
            order.join({name: places(scores[name]) for name in order.names}),
            problem.rungs,
        )

    @property
    def floor(self) -> Floats:
        """(G,) the least keep ratios."""
        return np.array([rungs[0] for rungs in self.rungs]) / self.channels

    def masks(self, ratios: Floats, ranks: Floats | None = None) -> Masks:
        """Masks in which the groups keep shares in proportion to `ratios`, and that meet the target.

        Args:
            ratios: (G,) above zero; their common scale does not matter.
            ranks: (C,) numbers; within a group smaller is kept longer. The prior's by default.
        """
        ranked = self.prior if ranks is None else self.ranked(ranks)
        preferences = -ranked / np.maximum(ratios, TINY)[self.group_of]
        return self.problem.project(self.problem.order.split(preferences))

    def near(
        self, kept: Counts, ranks: Floats, *, held: Sequence[int] = (), closed: Sequence[int] = ()
    ) -> Masks:
        """Masks with these kept counts, as far as the target allows.

        Args:
            kept: (G,) counts. Where they miss the target, wide groups give or take first: there a step is
                the smallest share.
            ranks: (C,) numbers; within a group smaller is kept longer.
            held: Groups that are cut last.
            closed: Groups that are filled last.
        """
        ranked = self.ranked(ranks)
        ratios = np.maximum(kept / self.channels, TINY)[self.group_of]
        preferences, inside = -ranked / ratios, ranked < ratios
        preferences += np.where(inside & np.isin(self.group_of, held), FAR, 0.0)
        preferences -= np.where(~inside & np.isin(self.group_of, closed), FAR, 0.0)
        return self.problem.project(self.problem.order.split(preferences))

    def ranked(self, ranks: Floats) -> Floats:
        """(C,) numbers -> (C,) places within the groups, in (0, 1); ties in order."""
        parts = self.problem.order.split(ranks)
        return np.concatenate([places(-part) for part in parts.values()])

    def kept(self, masks: Mapping[str, NDArray[np.bool_]]) -> Counts:
        """(G,) kept counts."""
        return np.array([int(masks[name].sum()) for name in self.problem.order.names], np.int64)

    def ratios(self, masks: Mapping[str, NDArray[np.bool_]]) -> Floats:
        """(G,) keep ratios."""
        return self.kept(masks) / self.channels

    def costs(self, kept: Counts) -> Costs:
        """(B, G) kept counts of the prunable groups -> the costs of the models that keep them."""
        model = self.problem.cost_model
        whole = np.tile(model.channels, (len(kept), 1))
        whole[:, [model.names.index(name) for name in self.problem.order.names]] = kept
        return model.count_kept(whole)

    def unit_costs(self, kept: Counts) -> Floats:
        """(G,) what one channel of each group costs where these counts are kept, as a share of the bounds."""
        lowered = np.tile(kept, (len(kept) + 1, 1))
        lowered[np.arange(len(kept)), np.arange(len(kept))] = np.maximum(0, kept - 1)
        costs = self.costs(lowered)
        limits = self.problem.limits or {"macs": max(1, self.problem.whole.macs)}
        total = np.sum([getattr(costs, name) / max(1, limit) for name, limit in limits.items()], 0)
        return np.asarray(np.maximum(total[-1] - total[:-1], LEAST_COST))

    def row(self, masks: Mapping[str, NDArray[np.bool_]]) -> NDArray[np.bool_]:
        """(C,) keep bits."""
        return self.problem.order.join(masks)

    def ranks_of(self, masks: Mapping[str, NDArray[np.bool_]]) -> Floats:
        """(C,) ranks by which `masks` are kept: first what they keep, by the prior, then the others."""
        return self.prior + ~self.row(masks)

    def starts(self, names: Sequence[str]) -> list[Masks]:
        """What the prior chooses by each of these allocations, each distinct choice once."""
        found = [self.allocated(how) for how in names]
        return list({masks_hash(masks): masks for masks in found}.values())

    def allocated(self, how: str, criterion: str = "") -> Masks:
        """What a criterion (the prior by default) and an allocation choose at once.

        Raises:
            OnnxPruneError: The criterion cannot be had here.
        """
        scores = self.problem.scores(criterion or self.problem.prior)
        bounds, constraints = self.problem.target, self.problem.constraints
        return allocate(scores, self.problem.cost_model, target=bounds, constraints=constraints, how=how)

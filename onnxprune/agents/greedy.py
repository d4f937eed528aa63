"""Greedy by sensitivity: how much each group suffers alone decides how much it keeps beside the others.

Every group is pruned by itself to a few kept counts, for its curve of losses (Li et al., Pruning Filters for
Efficient ConvNets, ICLR 2017). Where it falls convexly, each channel avoids a known loss; divided
by what the channel costs, that is a preference comparable over groups, and the projection is the greedy
solution of the knapsack that follows. As losses do not simply add up, a few exponents are tried. Then, from
the best so far, one aligned step goes from one group to another, the most promising pair first, and the first
batch that holds a better choice moves it there.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any, ClassVar

import numpy as np

from onnxprune.agents.controls import Control, worth
from onnxprune.agents.moves import Moves
from onnxprune.agents.one_shot import ORDER
from onnxprune.agents.options import read_options, require
from onnxprune.agents.sensitivity import composed, loss_curves, plan_probes, probe_masks
from onnxprune.agents.space import Counts
from onnxprune.agents.types import Candidate, Figures, Floats, Outcome, Problem
from onnxprune.masks import Masks, all_true

POWERS = ((1.0, 1.0), (0.5, 1.0), (1.0, 0.5), (0.5, 0.5), (0.25, 0.5), (1.0, 0.0))  # of loss, of cost
WHOLE = -1
PROBE = "probe"
VAIN = 50  # swaps in a row that are nothing new end the search


@dataclass(frozen=True)
class GreedyOptions:
    """How sensitivity is measured and used.

    Attributes:
        starts: Allocations of the prior that are tried beside the probes.
        levels: Kept counts at which each group is probed, at most.
        probes: Share of all evaluations that probes may take. Where it does not suffice for every group,
            those are probed that can save most, and the others count as the average.
        swaps: Share of the later proposals that swap channels inside a group.
        share: Of a group's kept channels that a swap replaces, at most.
    """

    starts: tuple[str, ...] = ORDER
    levels: int = 4
    probes: float = 0.25
    swaps: float = 0.5
    share: float = 0.2

    def __post_init__(self) -> None:
        require(self.levels >= 1, "levels must be at least 1")
        require(0 < self.probes <= 0.5, "probes must lie in (0, 0.5]")
        require(0 <= self.swaps <= 1 and 0 < self.share <= 1, "swaps and share are shares of 1")


class Greedy(Control):
    """Probes, composes, exchanges."""

    KEPT: ClassVar[tuple[str, ...]] = (
        "probes",
        "waiting",
        "accuracies",
        "pending",
        "composed",
        "tries",
        "here",
    )
    TRIES: ClassVar[float] = inf  # every list of moves ends by itself

    def __init__(self, problem: Problem, options: GreedyOptions) -> None:
        super().__init__(problem)
        self.options = options
        self.moves = Moves(self.space, self.rng)
        count = int(options.probes * problem.evaluations) - 1
        plan = plan_probes(self.space, levels=options.levels, count=max(0, count))
        self.probes = [(WHOLE, 0), *plan]  # still to be asked for
        self.waiting = 0  # probes that were asked for and not told of
        self.accuracies: dict[int, dict[int, float]] = {}  # of probes: group -> kept count -> accuracy
        self.pending = self.space.starts(options.starts)
        self.composed = False
        self.tries: dict[str, int] = {}  # pair of groups -> how often it was tried
        self.here: dict[str, int] = {}  # the same from the best so far

    def proposals(self) -> Iterator[Candidate]:
        yield from self.listed()  # first the starts: probes meet no target, and the budget may end with them
        while self.probes:
            group, kept = self.probes.pop(0)
            self.waiting += 1
            if group == WHOLE:
                yield Candidate(all_true(self.problem.groups), PROBE)
            else:
                yield Candidate(probe_masks(self.space, group, kept), PROBE)
        if self.waiting:
            return  # what comes next depends on them
        if not self.composed:
            curves = self.curves()
            self.pending = [composed(self.space, curves, loss_power=a, cost_power=b) for a, b in POWERS]
            self.composed = True
        yield from self.listed()
        yield from self.local()

    def listed(self) -> Iterator[Candidate]:
        """What is pending: the starts, later what follows from the curves."""
        while self.pending:
            yield Candidate(self.pending.pop(0), "curves" if self.composed else "start")

    def curves(self) -> list[Floats]:
        """For each group its loss at every kept count, from the probes."""
        told = [accuracy for at in self.accuracies.values() for accuracy in at.values()]
        whole = self.accuracies.get(WHOLE, {}).get(0, max(told, default=0.0))
        measured = {group: at for group, at in self.accuracies.items() if group != WHOLE}
        losses = {
            group: {kept: whole - accuracy for kept, accuracy in at.items()} for group, at in measured.items()
        }
        return loss_curves(self.space, losses)

    def local(self) -> Iterator[Candidate]:
        """Exchanges and swaps around the best; ends where neither gives anything new."""
        base = self.best or self.space.masks(np.ones(len(self.space.channels)))
        exchanges, vain = self.exchanges(base), 0
        more = True
        while vain < VAIN:
            known = len(self.seen)
            candidate = None
            if more and self.rng.random() >= self.options.swaps:
                candidate = next(exchanges, None)
                more = candidate is not None
            if candidate is None:
                share = self.options.share * self.rng.random()
                candidate = Candidate(self.moves.swap(base, share=share), "swap")
            yield candidate
            vain = 0 if len(self.seen) > known or more else vain + 1

    def exchanges(self, base: Masks) -> Iterator[Candidate]:
        """One step from a group to another: what was tried least first, then what the curves promise most."""
        kept, ranks = self.space.kept(base), self.space.ranks_of(base)
        for giver, taker in self.pairs(kept):
            self.here[key := f"{giver},{taker}"] = 1
            self.tries[key] = self.tries.get(key, 0) + 1
            changed = kept.copy()
            changed[giver] = self.step(giver, int(kept[giver]), -1)
            changed[taker] = self.step(taker, int(kept[taker]), 1)
            masks = self.space.near(changed, ranks, held=[taker], closed=[giver])
            yield Candidate(masks, f"exchange {self.space.problem.order.names[giver]}")

    def pairs(self, kept: Counts) -> list[tuple[int, int]]:
        """(giver, taker) not tried from here."""
        curves, groups = self.curves(), range(len(kept))
        lost = [c[self.step(g, int(kept[g]), -1)] - c[kept[g]] for g, c in enumerate(curves)]
        won = [c[kept[g]] - c[self.step(g, int(kept[g]), 1)] for g, c in enumerate(curves)]
        givers = [g for g in groups if self.step(g, int(kept[g]), -1) < kept[g]]
        takers = [g for g in groups if self.step(g, int(kept[g]), 1) > kept[g]]
        pairs = [(g, t) for g in givers for t in takers if g != t and f"{g},{t}" not in self.here]
        return sorted(pairs, key=lambda p: (self.tries.get(f"{p[0]},{p[1]}", 0), lost[p[0]] - won[p[1]]))

    def step(self, group: int, kept: int, by: int) -> int:
        """The kept count so many rungs further, or the last there is."""
        rungs = self.space.rungs[group]
        return int(rungs[np.clip(np.searchsorted(rungs, kept) + by, 0, len(rungs) - 1)])

    def tell(self, candidates: Sequence[Candidate], outcomes: Sequence[Outcome]) -> Figures:
        before = self.best_worth
        figures = super().tell(candidates, outcomes)
        for candidate, outcome in zip(candidates, outcomes, strict=True):
            if candidate.note == PROBE:
                self.waiting -= 1
                self.learn_probe(candidate.masks, outcome.accuracy)
            elif candidate.note != "swap" and worth(outcome) > before:
                self.here = {}
        return {**figures, "probes_left": float(len(self.probes))}

    def learn_probe(self, masks: Masks, accuracy: float | None) -> None:
        """In place: what all groups lose where one is cut."""
        if accuracy is None or not isfinite(accuracy):
            return
        kept = self.space.kept(masks)
        cut = np.flatnonzero(kept < self.space.channels)
        group = int(cut[0]) if len(cut) else WHOLE
        self.accuracies.setdefault(group, {})[int(kept[group]) if len(cut) else 0] = float(accuracy)


def make(problem: Problem, options: Mapping[str, Any] | None = None) -> Greedy:
    return Greedy(problem, read_options(GreedyOptions, options))

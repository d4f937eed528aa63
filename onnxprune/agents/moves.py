"""Small changes of masks that keep to the target."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxprune.agents.space import Space
from onnxprune.masks import Masks


@dataclass(frozen=True)
class Kinds:
    """Which moves, and how large.

    Attributes:
        scalings: Chance that all keep ratios are scaled first, each by a factor of its own.
        deviation: Of the logarithms of these factors, at most.
        exchanges: Share of the other moves that exchange steps between groups; the rest swaps channels.
        share: Of a group's kept channels that a swap replaces, at most.
    """

    scalings: float
    deviation: float
    exchanges: float
    share: float


@dataclass(frozen=True)
class Moves:
    """Draws changes; what is given and what is taken stays at the target.

    Attributes:
        space: Where the masks lie.
        rng: Of every draw.
        sharpness: How much the prior counts in which channels are swapped: 0 not at all; at 3 the best of a
            group is drawn e^3 times as often as the worst.
    """

    space: Space
    rng: np.random.Generator
    sharpness: float = 3.0

    def changed(self, masks: Masks, *, moves: int, kinds: Kinds) -> Masks:
        """So many moves at once."""
        if self.rng.random() < kinds.scalings:
            masks = self.scaled(masks, deviation=kinds.deviation * self.rng.random())
        pairs = int(self.rng.binomial(moves, kinds.exchanges))
        if pairs:
            masks = self.exchange(masks, pairs=pairs)
        for _ in range(moves - pairs):
            masks = self.swap(masks, share=kinds.share * self.rng.random())
        return masks

    def scaled(self, masks: Masks, *, deviation: float) -> Masks:
        """Every keep ratio times a log-normal factor of its own, then all to the target."""
        ratios = self.space.ratios(masks)
        factors = np.exp(deviation * self.rng.standard_normal(len(ratios)))
        return self.space.masks(ratios * factors, self.space.ranks_of(masks))

    def exchange(self, masks: Masks, *, pairs: int = 1) -> Masks:
        """Groups give up an aligned step each, others take what that is worth; all drawn evenly.

        Inside the groups the channels change at random by the prior: bad ones leave, good ones come.
        """
        kept, rungs = self.space.kept(masks), self.space.rungs
        held, closed = [], []
        for _ in range(pairs):
            giver, taker = self.rng.integers(len(kept), size=2).tolist()
            if giver == taker:
                continue
            for group, by in ((giver, -1), (taker, 1)):
                at = np.searchsorted(rungs[group], kept[group]) + by
                kept[group] = rungs[group][np.clip(at, 0, len(rungs[group]) - 1)]
            held.append(taker)
            closed.append(giver)
        if not held:
            return masks
        return self.space.near(kept, self.jittered(masks), held=held, closed=closed)

    def swap(self, masks: Masks, *, share: float) -> Masks:
        """In one group a share of the kept channels (at least one) is replaced by removed ones."""
        order = self.space.problem.order
        open_groups = [name for name in order.names if not masks[name].all()]
        if not open_groups:
            return masks
        name = open_groups[int(self.rng.integers(len(open_groups)))]
        prior = order.split(self.space.prior)[name]
        return {**masks, name: self.swapped(masks[name], prior, share)}

    def swapped(self, bits: NDArray[np.bool_], prior: NDArray[np.float64], share: float) -> NDArray[np.bool_]:
        """Of one group: (channels,) keep bits and places by the prior."""
        inside, outside = np.flatnonzero(bits), np.flatnonzero(~bits)
        count = min(len(outside), len(inside), max(1, int(self.rng.binomial(len(inside), share))))
        leave = inside[self.drawn(self.sharpness * prior[inside], count)]
        come = outside[self.drawn(-self.sharpness * prior[outside], count)]
        result = bits.copy()
        result[leave], result[come] = False, True
        return result

    def drawn(self, logits: NDArray[np.float64], count: int) -> NDArray[np.int64]:
        """Indices without replacement, by the logits of their chances (Gumbel, top k)."""
        return np.argsort(-(logits + self.rng.gumbel(size=len(logits))), kind="stable")[:count]

    def jittered(self, masks: Masks) -> NDArray[np.float64]:
        """(C,) ranks: kept channels before the others; within both by the prior with noise."""
        logits = -self.sharpness * self.space.prior + self.rng.gumbel(size=len(self.space.prior))
        return self.space.ranked(-logits) + ~self.space.row(masks)

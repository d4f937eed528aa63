"""Swaps in the best masks so far: candidates that a policy which draws all channels anew never meets.

Late in a search what is left to gain is in single channels. The critic tells swaps of them apart better than
chance, so that of a few hundred the best few are worth an evaluation.
"""

from dataclasses import dataclass

import numpy as np

from onnxprune.agents.gat_ppo.elites import Elites
from onnxprune.agents.moves import Moves
from onnxprune.agents.space import Space
from onnxprune.agents.types import Problem, State
from onnxprune.masks import Masks

MOST_SWAPS = 2  # in one neighbour
SHARPNESS = 3.0  # see `Moves`
SHARE = 0.1  # of a group's kept channels that a swap replaces, at most; one at least


@dataclass(frozen=True)
class Neighbours:
    """Draws them. Swaps leave the kept counts as they are, and so every cost.

    Attributes:
        moves: How masks are changed.
    """

    moves: Moves

    @staticmethod
    def of(problem: Problem, *, by_prior: bool) -> "Neighbours":
        """Of a problem; the prior may say which channels are swapped more often."""
        rng = np.random.default_rng(problem.seed)
        return Neighbours(Moves(Space.of(problem), rng, sharpness=SHARPNESS if by_prior else 0.0))

    @property
    def rng(self) -> np.random.Generator:
        return self.moves.rng

    def near(self, elites: Elites, count: int, *, unit: float) -> list[Masks]:
        """So many masks, the better ones of the best masks more often; none while there are no best ones.

        Args:
            elites: The best masks so far.
            count: How many.
            unit: What makes shares of the accuracies.
        """
        if not elites.found or not count:
            return []
        best = [elites.order.split(bits) for bits in elites.rows() > 0]
        weights = elites.weights(unit).astype(np.float64)
        drawn = self.rng.choice(len(best), size=count, p=weights / weights.sum())
        return [self.swapped(best[index]) for index in drawn.tolist()]

    def swapped(self, masks: Masks) -> Masks:
        """One or two swaps, small ones more often."""
        for _ in range(int(self.rng.integers(1, MOST_SWAPS + 1))):
            masks = self.moves.swap(masks, share=SHARE * self.rng.random())
        return masks

    def state(self) -> State:
        """All that `restore` needs."""
        return dict(self.rng.bit_generator.state)

    def restore(self, state: State) -> None:
        """Go on from such a state, in place."""
        self.rng.bit_generator.state = state

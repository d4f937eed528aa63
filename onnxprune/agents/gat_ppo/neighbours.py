"""Candidates beside those of the policy, for the critic to judge: small moves, and random counts.

Late in a search what is left to gain is in single channels, and in a step from one of many groups to another;
a policy that draws all channels anew never meets the moves that gain it. Early in a search a policy may turn
away from the best counts, because it met them once and with badly chosen channels. The critic tells better
than chance which of a few hundred are worth an evaluation.
"""

from dataclasses import dataclass

import numpy as np

from onnxprune.agents.gat_ppo.elites import Elites
from onnxprune.agents.moves import Kinds, Moves
from onnxprune.agents.space import Space
from onnxprune.agents.types import Problem, State
from onnxprune.masks import Masks

MOST_MOVES = 2  # in one neighbour
SHARPNESS = 3.0  # see `Moves`
KINDS = Kinds(scalings=0.0, deviation=0.0, exchanges=0.3, share=0.1)


@dataclass(frozen=True)
class Neighbours:
    """Draws them.

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
        return [self.changed(masks) for masks in self.drawn(elites, count, unit)]

    def scattered(self, elites: Elites, count: int, *, unit: float) -> list[Masks]:
        """So many masks of random keep ratios, in each group the channels of one of the best masks first.

        Args:
            elites: The best masks so far; without any there are none.
            count: How many.
            unit: What makes shares of the accuracies.
        """
        space = self.moves.space
        least = space.floor
        return [
            space.masks(least + (1 - least) * self.rng.random(len(least)), space.ranks_of(masks))
            for masks in self.drawn(elites, count, unit)
        ]

    def drawn(self, elites: Elites, count: int, unit: float) -> list[Masks]:
        """So many of them, with repeats, the better ones more often; none where there are none."""
        if not elites.found:
            return []
        best = [elites.order.split(bits) for bits in elites.rows() > 0]
        weights = elites.weights(unit).astype(np.float64)
        indices = self.rng.choice(len(best), size=count, p=weights / weights.sum())
        return [best[index] for index in indices.tolist()]

    def changed(self, masks: Masks) -> Masks:
        """One or two moves: swaps of channels, small ones more often, and steps from group to group."""
        return self.moves.changed(masks, moves=int(self.rng.integers(1, MOST_MOVES + 1)), kinds=KINDS)

    def state(self) -> State:
        """All that `restore` needs."""
        return dict(self.rng.bit_generator.state)

    def restore(self, state: State) -> None:
        """Go on from such a state, in place."""
        self.rng.bit_generator.state = state

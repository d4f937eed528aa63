"""amc: walks over the groups, each keep ratio chosen by an actor that sees its extents and the budget."""

import numpy as np
from numpy.typing import NDArray

from onnxprune.agents.amc.features import static_features
from onnxprune.agents.amc.options import AmcOptions
from onnxprune.agents.amc.walls import PaperWall, Walls
from onnxprune.agents.ddpg.agent import Choose, DdpgAgent, Walk
from onnxprune.agents.ddpg.shares import masks_of
from onnxprune.agents.types import Figures, Problem
from onnxprune.cost import Costs
from onnxprune.masks import Masks

Singles = NDArray[np.float32]
Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
DEFAULT = AmcOptions()
TINY = 1e-3
BUDGET = 3  # features that change in an episode: reduced, rest, last action


class Amc(DdpgAgent):
    """One walk an episode; the walls see to it that masks meet the target.

    The paper's reconstruction after each layer is not done here: every candidate is repaired by least
    squares before it is scored.
    """

    options: AmcOptions

    def __init__(self, problem: Problem, options: AmcOptions = DEFAULT) -> None:
        super().__init__(problem, options)

    def build(self) -> int:
        """The features of the groups and the walls."""
        options = self.options
        self.features = static_features(self.space, options.features, self.quantity)
        self.exact = Walls(self.space, options.walls == "both" and options.reward == "accuracy")
        self.walls = (
            PaperWall(self.space, self.quantity, options.least_ratio)
            if options.walls == "paper"
            else self.exact
        )
        return self.features.shape[1] + BUDGET

    def walk(self, choose: Choose) -> Walk:
        """One group after the other, in the order of the graph."""
        kept = np.zeros(0, np.int64)
        states, actions = [], []
        for _ in self.space.channels:
            states.append(self.seen(kept))
            actions.append(choose(states[-1]))
            kept = np.append(kept, self.walls.count(kept, self.ratio(kept, actions[-1])))
        return Walk(self.filled(kept), np.stack(states), np.array(actions, np.float32))

    def filled(self, kept: Counts) -> Masks:
        """Masks of a walk; a step of an earlier group that the last one has left room for is kept too."""
        if self.exact.lower:
            return self.space.near(kept, self.space.prior)
        return masks_of(self.space, kept)

    def ratio(self, decided: Counts, action: float) -> float:
        """The keep ratio that an action asks for: u^((1 - a) / a) with u that of all groups alike."""
        if not self.options.even:
            return action
        return self.exact.even(decided) ** ((1 - action) / max(action, TINY))

    def unlearnt(self) -> float:
        """About 0.5, where that keeps all groups alike: far from it, walks are worse than random ratios."""
        least = self.options.least_action
        return float(self.rng.uniform(least, 1 - least)) if self.options.even else super().unlearnt()

    def seen(self, decided: Counts) -> Singles:
        """(S,) the state before the group after the `decided` (t,) ones."""
        place, channels = len(decided), self.space.channels
        now = np.concatenate([decided, channels[place:]])
        later = np.where(np.arange(len(channels)) > place, 0, now)
        costs = self.space.costs(np.stack([now, later]))
        reduced = 1 - self.shares(costs, self.quantity)[0]
        # the authors' code begins an episode with the rest of the weights, and goes on with that of the MACs
        of_rest = "params" if self.options.variant == "paper" and not place else self.quantity
        present, without = self.shares(costs, of_rest)
        last = decided[-1] / channels[place - 1] if place else 1.0
        return np.array([*self.features[place], reduced, present - without, last], np.float32)

    def shares(self, costs: Costs, quantity: str) -> Floats:
        """(B,) of the original."""
        return np.asarray(
            getattr(costs, quantity) / max(1, getattr(self.problem.whole, quantity)), np.float64
        )

    def learn(self) -> Figures:
        return self.ddpg.update(self.batch())

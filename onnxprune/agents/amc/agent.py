"""amc: walks over the groups, each keep ratio chosen by an actor that sees its extents and the budget."""

import numpy as np
from numpy.typing import NDArray

from onnxprune.agents.amc.features import static_features
from onnxprune.agents.amc.options import AmcOptions
from onnxprune.agents.amc.walls import PaperWall, Walls
from onnxprune.agents.ddpg.agent import Choose, DdpgAgent, Walk
from onnxprune.agents.ddpg.learner import Ddpg
from onnxprune.agents.ddpg.shares import all_kept, masks_of
from onnxprune.agents.types import Figures, Problem

Singles = NDArray[np.float32]
Counts = NDArray[np.int64]
DEFAULT = AmcOptions()
BUDGET = 3  # features that change in an episode: reduced, rest, last action


class Amc(DdpgAgent):
    """One walk an episode; the walls see to it that masks meet the target.

    The paper's reconstruction after each layer is not done here: every candidate is repaired by least
    squares before it is scored.
    """

    options: AmcOptions

    def __init__(self, problem: Problem, options: AmcOptions = DEFAULT) -> None:
        prior = "l1" if options.variant == "paper" else problem.prior
        super().__init__(problem, options, criterion=prior)

    def build(self) -> int:
        """The features of the groups and the walls."""
        options, paper = self.options, self.options.variant == "paper"
        self.features = static_features(self.problem, options.features, self.quantity)
        self.walls: Walls | PaperWall = (
            PaperWall(self.space, self.quantity, options.least_ratio)
            if paper
            else Walls(self.space, options.walls == "both" and options.reward == "accuracy")
        )
        return self.features.shape[1] + BUDGET

    def walk(self, choose: Choose) -> Walk:
        """One group after the other, in the order of the graph."""
        kept = np.zeros(0, np.int64)
        states, actions = [], []
        for channels in self.space.channels.tolist():
            states.append(self.seen(kept))
            action = choose(states[-1])
            kept = np.append(kept, self.walls.count(kept, action))
            actions.append(action if RAW else kept[-1] / channels)
        return Walk(masks_of(self.space, kept), np.stack(states), np.array(actions, np.float32))

    def seen(self, decided: Counts) -> Singles:
        """(S,) the state before the group after the `decided` (t,) ones."""
        place, channels = len(decided), self.space.channels
        now = np.concatenate([decided, channels[place:]])
        later = np.where(np.arange(len(channels)) > place, 0, now)
        costs = self.problem.cost_model.count_kept(all_kept(self.space, np.stack([now, later])))
        present, without = getattr(costs, self.quantity).tolist()
        whole = max(1, getattr(self.problem.whole, self.quantity))
        rest = (present - without) / whole
        last = decided[-1] / channels[place - 1] if place else 1.0
        budget = (1 - present / whole, rest, last)
        return np.array([*self.features[place], *budget], np.float32)

    def learn(self) -> Figures:
        return self.ddpg.update(self.batch())

RAW = False

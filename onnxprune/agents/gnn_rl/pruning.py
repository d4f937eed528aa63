"""From actions to keep ratios, step by step; costs in closed form, masks at the end.

    paper   p <- clip(p (1 - a), least, 1)                      a below 0 lets a group grow again
    fixed   p <- max(least, p sigmoid(logit(f) + s a))          only ever fewer

With equal ratios r at the target, f = r^(1 / K), so that a = 0 in each of K steps leads there in the last;
and s = (1 - r) / ((1 - f) sqrt(K)), so that the deviation of log p at the end hardly depends on K.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxprune.agents.gnn_rl.options import GnnRlOptions
from onnxprune.agents.space import Space
from onnxprune.agents.types import Floats
from onnxprune.masks import Masks

Counts = NDArray[np.int64]
CLOSE = 0.99  # equal ratios above this: the target asks for next to nothing


@dataclass(frozen=True)
class Pruning:
    """What an action does.

    Attributes:
        space: Where the masks lie.
        least: (G,) least keep ratios.
        options: Of the agent.
        base: logit(f).
        scale: s.
    """

    space: Space
    least: Floats
    options: GnnRlOptions
    base: float
    scale: float

    @staticmethod
    def of(space: Space, options: GnnRlOptions) -> "Pruning":
        equal = space.ratios(space.masks(np.ones(len(space.channels))))
        ratio = min(CLOSE, float(equal.mean()))
        factor = ratio ** (1 / options.steps)
        return Pruning(
            space,
            np.maximum(space.floor, options.least),
            options,
            float(np.log(factor / (1 - factor))),
            (1 - ratio) / ((1 - factor) * options.steps**0.5),
        )

    def step(self, ratios: Floats, action: Floats) -> Floats:
        """(G,) keep ratios after an action (G,)."""
        if self.options.paper:
            return np.clip(ratios * (1 - action), self.least, 1.0)
        factor = 1 / (1 + np.exp(-(self.base + self.scale * action)))
        return np.maximum(self.least, ratios * factor)

    def kept(self, ratios: Floats) -> Counts:
        """(G,) the allowed counts nearest to these ratios, of two the larger."""
        wanted = zip(self.space.rungs, (ratios * self.space.channels).tolist(), strict=True)
        return np.array([rungs[::-1][np.abs(rungs[::-1] - count).argmin()] for rungs, count in wanted])

    def met(self, kept: Counts) -> bool:
        """Whether counts (G,) meet the target: counted, not evaluated."""
        problem = self.space.problem
        return problem.target.met_by(problem.cost_model.count(self.best(kept)), original=problem.whole)

    def best(self, kept: Counts) -> Masks:
        """The prior's best of each group, so many."""
        counts = np.repeat(kept, self.space.channels)
        places = self.space.prior * np.repeat(self.space.channels, self.space.channels)
        return self.space.problem.order.split(places < counts)

    def exact(self, ratios: Floats) -> Masks:
        """Masks whose groups keep shares in proportion to these (G,), at the target from both sides."""
        return self.space.masks(ratios)

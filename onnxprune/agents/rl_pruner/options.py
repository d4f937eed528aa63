"""What decides how rl-pruner prunes, explores and learns, and what of it the variants set."""

from dataclasses import dataclass, replace
from typing import Literal

from onnxprune.agents.options import PRIOR, require, require_choices, require_known_criterion

FALL = 0.1  # relative, in one step, after which the paper's variant takes the step again
MIXES = {"accuracy": (0.0, 0.0), "macs": (0.25, 0.0), "params": (0.0, 0.25)}  # alpha, beta


@dataclass(frozen=True)
class RlPrunerOptions:
    """Options of the agent; where 0 or auto is the default, the variant or the evaluations decide.

    Attributes:
        variant: "fixed" or "paper": how a step is spent (`spending`), the noise, what epsilon is for, and
            whether a step is taken again.
        steps: Pruning steps from the whole model to the target; 0: as many as there are stages in each.
        stages: Sampling stages of a step; 0: as many as the evaluations allow. What is left of them in the
            end belongs to the last step.
        samples: Actions drawn in a stage (N_S); fewer where there are not as many evaluations.
        depth: Steps that are looked ahead (N_T, 1: none). Each mask of the look-ahead is an evaluation.
        narrowing: Each depth draws this share of the actions of the one above.
        gamma: Discount of what is looked ahead to (equation 13).
        slots: Of the replay buffer; 0: as many as samples.
        nu: Standard deviation of the noise, at most; 0: 0.04 in shares of a step ("paper"); 3 in units of
            each group's own share ("fixed"), which all feel alike, and which leaves about half of the groups
            out of a step.
        rate: Share of the way to the chosen action that the policy goes (lambda, equation 18).
        clip: No share changes by more than this factor in one update (delta, equation 19).
        epsilon: Chance, at the start, of an action drawn from the buffer in place of the best.
        decay: "cosine", "linear" or "constant": how epsilon falls while it lasts.
        exploration: Share of the steps that epsilon lasts; then it is 0.
        explores: What epsilon draws: "update", the action that the policy moves to (the paper); "carry", the
            model that the next step sets out from (the authors' code); "auto": update.
        fall: Where the accuracy falls by more than this share in a step, the policy begins anew and the step
            is taken again, once; 0: 0.1 ("paper"), never ("fixed": without training in between accuracy
            falls with every policy). 1: never.
        reward: "accuracy", "macs" or "params": what is added to the accuracy (equation 17).
        alpha, beta: Weights of the saved share of MACs and of params; 0: 0.25 of what `reward` names.
        criterion: Which channels of a group go first: a key of `CRITERIA`, or "prior", that of the search;
            "": taylor ("paper"), prior ("fixed").
    """

    variant: Literal["fixed", "paper"] = "fixed"
    steps: int = 0
    stages: int = 0
    samples: int = 10
    depth: int = 1
    narrowing: float = 0.5
    gamma: float = 0.9
    slots: int = 0
    nu: float = 0.0
    rate: float = 0.1
    clip: float = 0.2
    epsilon: float = 0.4
    decay: Literal["cosine", "linear", "constant"] = "cosine"
    exploration: float = 0.1
    explores: Literal["auto", "update", "carry"] = "auto"
    fall: float = 0.0
    reward: Literal["accuracy", "macs", "params"] = "accuracy"
    alpha: float = 0.0
    beta: float = 0.0
    criterion: str = ""

    def __post_init__(self) -> None:
        """Raises: ValueError: a value that is unknown or out of its range."""
        require_choices(self)
        require(min(self.samples, self.depth) >= 1, "samples and depth are at least 1")
        require(min(self.steps, self.stages, self.slots) >= 0, "steps, stages and slots are not below 0")
        require(0 < self.narrowing <= 1 and 0 < self.rate <= 1, "narrowing and rate lie in (0, 1]")
        shares = (self.gamma, self.epsilon, self.exploration, self.fall)
        require(min(shares) >= 0 and max(shares) <= 1, "gamma, epsilon, exploration and fall are shares of 1")
        require(0 < self.clip < 1, "clip lies between 0 and 1")
        require(min(self.nu, self.alpha, self.beta) >= 0, "nu, alpha and beta are not below 0")
        require_known_criterion(self.criterion or PRIOR)

    def settled(self) -> "RlPrunerOptions":
        """The same with all that the variant and the kind of reward decide filled in."""
        paper = self.variant == "paper"
        alpha, beta = MIXES[self.reward]
        return replace(
            self,
            slots=self.slots or self.samples,
            nu=self.nu or (0.04 if paper else 3.0),
            explores="update" if self.explores == "auto" else self.explores,
            fall=self.fall or (FALL if paper else 1.0),
            alpha=self.alpha or alpha,
            beta=self.beta or beta,
            criterion=self.criterion or ("taylor" if paper else PRIOR),
        )

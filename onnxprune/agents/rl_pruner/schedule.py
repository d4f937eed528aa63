"""How the evaluations are divided among steps, stages and samples, and how exploration decays."""

from dataclasses import dataclass
from math import cos, pi, prod, sqrt

from onnxprune.agents.rl_pruner.options import RlPrunerOptions
from onnxprune.errors import UsageError


@dataclass(frozen=True)
class Schedule:
    """What the evaluations of a search suffice for: steps * stages * size of a stage of them, at most.

    Attributes:
        evaluations: Of the search.
        steps: From the whole model to the target.
        stages: Of a step at most; 0: as many as its share of the evaluations allows.
        widths: Actions drawn at each depth of a stage: of the base, of each of its children, ...
    """

    evaluations: int
    steps: int
    stages: int
    widths: tuple[int, ...]

    @staticmethod
    def of(options: RlPrunerOptions, evaluations: int) -> "Schedule":
        """The schedule that options ask for, or the evaluations suggest.

        Without `steps` there are about as many steps as stages in each.

        Raises:
            UsageError: E202, the evaluations do not suffice for what is asked for.
        """
        widths = widths_of(options, evaluations)
        stages = evaluations // size_of(widths)  # in all
        steps = options.steps or max(1, stages // options.stages if options.stages else int(sqrt(stages)))
        asked = steps * max(1, options.stages)
        if asked > stages:
            needed = asked * size_of(widths)
            raise UsageError(
                "E202",
                f"steps x stages x masks of a stage: {steps} x {max(1, options.stages)} x {size_of(widths)} "
                f"need {needed} evaluations, there are {evaluations}",
                hint=f"--evaluations {needed}, or fewer steps, stages, samples or depth",
            )
        return Schedule(evaluations, steps, options.stages, widths)

    @property
    def size(self) -> int:
        """Masks of a stage."""
        return size_of(self.widths)

    def quota(self, step: int, told: int) -> int:
        """Evaluations for a step, from 0 on, that begins after so many: an even share of what is left."""
        return (self.evaluations - told) // max(1, self.steps - step)


def widths_of(options: RlPrunerOptions, evaluations: int) -> tuple[int, ...]:
    """Actions at each depth; fewer of the first where a stage would need more than all evaluations.

    Raises:
        UsageError: E202, not even one action with its look-ahead can be evaluated.
    """
    for samples in range(options.samples, 0, -1):
        widths = tuple(max(1, int(samples * options.narrowing**level)) for level in range(options.depth))
        if size_of(widths) <= max(1, evaluations):
            return widths
    raise UsageError(
        "E202",
        f"a look-ahead of depth {options.depth} needs {options.depth} evaluations, there are {evaluations}",
        hint="more --evaluations, or less depth",
    )


def size_of(widths: tuple[int, ...]) -> int:
    """Masks of a tree: a + a b + a b c + ..."""
    return sum(prod(widths[: level + 1]) for level in range(len(widths)))


def epsilon_at(options: RlPrunerOptions, step: int, steps: int) -> float:
    """Chance of exploring in a step, from 0 on.

    It decays over the first `exploration` of the steps and is 0 afterwards, also where it is constant.

    >>> [round(epsilon_at(RlPrunerOptions(exploration=0.5), step, 8), 3) for step in range(5)]
    [0.4, 0.341, 0.2, 0.059, 0.0]
    """
    lasts = options.exploration * steps
    if step >= lasts:
        return 0.0
    done = step / lasts
    kept = {"constant": 1.0, "linear": 1 - done, "cosine": (1 + cos(pi * done)) / 2}
    return options.epsilon * kept[options.decay]

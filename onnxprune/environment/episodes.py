"""One walk from the whole model to masks: which channels are decided when, and what becomes of the bits.

episode = Episode(task, EpisodeOptions("rounds", rounds=3))
while not episode.done:
    bits = sample(episode.bits, episode.turn)
    episode.act(bits, preferences)
masks = episode.masks()

one-shot     one step decides all channels
rounds       K steps; each decides anew over what is left and only removes (AGMC's multi-stage idea, Yu et
             al., 2021), projected onto a target on the way: every bound at F0 (B / F0)^(k / K)
group-wise   one group a step, in topological order; projected when all are decided
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from onnxprune.environment.decoding import check, first, in_order, in_ratios, projected, rounded_up
from onnxprune.environment.task import Task
from onnxprune.errors import UsageError
from onnxprune.masks import Masks

Bits = NDArray[np.bool_]
Floats = NDArray[np.float64]
Kind = Literal["one-shot", "rounds", "group-wise"]
Constraint = Literal["project", "lagrangian", "penalty"]
Order = Literal["bits", "ratios"]


@dataclass(frozen=True)
class EpisodeOptions:
    """How an agent walks.

    Attributes:
        kind: "one-shot", "rounds" or "group-wise".
        rounds: Steps of "rounds".
        constraint: "project": masks meet every bound, whatever was sampled. "lagrangian", "penalty": they are
            what was sampled, made valid by rounding up, and the reward sees to the bounds.
        order: Between groups, where they are projected: "bits" or "ratios"; see decoding.py.
        fill: After all sampled-kept channels, take sampled-dropped ones while the bounds allow. Without,
            masks stop at the sampled-kept channels, rounded up to allowed counts. For "project" only.
    """

    kind: Kind = "one-shot"
    rounds: int = 3
    constraint: Constraint = "project"
    fill: bool = True
    order: Order = "bits"

    def __post_init__(self) -> None:
        """Raises: UsageError: E201, a value that is unknown or out of its range."""
        for name, kinds in (("kind", Kind), ("constraint", Constraint), ("order", Order)):
            value = getattr(self, name)
            if value not in get_args(kinds):
                raise UsageError(
                    "E201",
                    f"episode {name} {value!r} is unknown",
                    hint=f"there are {', '.join(get_args(kinds))}",
                )
        if self.rounds < 1:
            raise UsageError("E201", f"an episode of {self.rounds} rounds: want at least 1")


class Episode:
    """One walk; `act` changes it in place.

    Args:
        task: What is decided, and the bounds.
        options: How.
    """

    def __init__(self, task: Task, options: EpisodeOptions | None = None) -> None:
        self.task = task
        self.options = options or EpisodeOptions()
        self.step = 0
        count = len(task.order)
        self.bits: Bits = np.ones(count, bool)  # (C,) as they stand; True where undecided
        self._sampled: Bits = np.ones(count, bool)
        self._preferences: Floats | None = None

    @property
    def steps(self) -> int:
        """Of the whole walk."""
        kinds = {"one-shot": 1, "rounds": self.options.rounds, "group-wise": len(self.task.order.names)}
        return kinds[self.options.kind]

    @property
    def done(self) -> bool:
        return self.step >= self.steps

    @property
    def turn(self) -> Bits:
        """(C,) the channels that the next step decides; none where the walk is done."""
        if self.done:
            return np.zeros(len(self.bits), bool)
        if self.options.kind == "group-wise":
            return np.asarray(self.task.order.group_of == self.step, bool)
        return self.bits.copy()

    def act(self, bits: Bits, preferences: Floats | None = None) -> None:
        """Decide the channels whose turn it is; bits of others are not looked at.

        Args:
            bits: (C,) True keeps.
            preferences: (C,) which go last among those sampled alike, such as logits; larger is kept longer.

        Raises:
            UsageError: E207, bits or preferences that do not fit the channels, or the walk is done.
        """
        if self.done:
            raise UsageError("E207", f"the episode is done after {self.steps} steps", hint="begin a new one")
        check(self.task, bits, preferences)
        turn = self.turn
        alive = self.bits if self.options.kind == "rounds" else np.ones(len(self.bits), bool)
        self._sampled = np.where(turn, np.asarray(bits, bool), self._sampled & alive)
        if preferences is not None:
            before = np.zeros(len(bits)) if self._preferences is None else self._preferences
            self._preferences = np.where(turn, preferences, before)
        self.step += 1
        self.bits = self.task.order.join(self._decode(alive))

    def _decode(self, alive: Bits) -> Masks:
        """Masks from all that was sampled so far."""
        task, options = self.task, self.options
        values = in_order(task, self._sampled, self._preferences, alive)
        least = rounded_up(task, self._sampled)
        midway = options.kind == "group-wise" and not self.done
        if options.constraint != "project" or midway:
            return first(task, values, least)
        target = task.partway(self.step, self.steps) if options.kind == "rounds" else task.target
        most = least if not options.fill else np.add.reduceat(alive.astype(np.int64), task.order.starts[:-1])
        if options.order == "ratios":
            values = in_ratios(task, values)
        return projected(task, values, target=target, most=most)

    def masks(self) -> Masks:
        """Masks of the bits as they stand: always of allowed counts; within the bounds where projected."""
        return self.task.order.split(self.bits)

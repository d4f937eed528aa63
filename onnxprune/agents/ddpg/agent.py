"""An agent whose episode walks over the groups and gives each a keep ratio, trained by DDPG."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray

from onnxprune.agents.ddpg.exploration import course, truncated_normal
from onnxprune.agents.ddpg.learner import Batch, Ddpg
from onnxprune.agents.ddpg.memory import Memory, Past
from onnxprune.agents.ddpg.options import DdpgOptions
from onnxprune.agents.ddpg.rewards import MovingAverage, leading, ranked_gains, reward_of
from onnxprune.agents.space import Space
from onnxprune.agents.types import Agent, Candidate, Figures, Outcome, Problem, State, ordered_by
from onnxprune.errors import UsageError
from onnxprune.masks import Masks, masks_hash

Singles = NDArray[np.float32]
Choose = Callable[[Singles], float]  # state (S,) -> keep ratio
HELD = 100  # episodes
WIDER = 1.2  # factor of the noise from one try of an episode to the next


@dataclass(frozen=True)
class Walk:
    """A finished walk: its masks, and as in `Past` the states (T, S) and actions (T,)."""

    masks: Masks
    states: Singles
    actions: Singles


class DdpgAgent(Agent):
    """Walks, remembers, and takes one step of learning for each transition that it stores.

    The policy is the same for all episodes of a batch; learning is in `tell`. Episodes of the warm-up are
    stored, but nothing is learnt before they are over.

    Raises:
        UsageError: E202, the warm-up leaves nothing to learn from.
    """

    def __init__(self, problem: Problem, options: DdpgOptions) -> None:
        super().__init__(problem)
        require_learning(options, problem.evaluations)
        self.options = options
        self.space = Space.of(ordered_by(options.criterion, problem))
        self.quantity = leading(problem)
        self.course = course(
            problem.evaluations,
            warm_up=options.warm_up,
            deviation=options.noise,
            decay=options.noise_decay,
            end=options.noise_end,
        )
        self.rng = np.random.default_rng(problem.seed)
        self.average = MovingAverage(options.average_rate)
        self.memory = Memory(self.steps, options.memory or HELD * self.steps)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(problem.seed)
            self.ddpg = Ddpg(self.build(), options)
        self.walks: list[Walk] = []
        self.met: set[str] = set()  # hashes of masks
        self.told = 0

    @property
    def steps(self) -> int:
        """Of an episode."""
        return len(self.space.channels)

    @abstractmethod
    def build(self) -> int:
        """Numbers in a state; what else has weights is made here."""

    @abstractmethod
    def walk(self, choose: Choose) -> Walk:
        """One episode."""

    @abstractmethod
    def learn(self) -> Figures:
        """One update, in place."""

    def ask(self, count: int) -> list[Candidate]:
        """So many episodes under the policy as it is."""
        self.walks = []
        notes = []
        for episode in range(self.told, self.told + count):
            deviation = self.course.at(episode)
            self.walks.append(self.new_walk(deviation))
            notes.append("warm-up" if deviation is None else "sampled")
        return [Candidate(walk.masks, note) for walk, note in zip(self.walks, notes, strict=True)]

    def new_walk(self, deviation: float | None) -> Walk:
        """An episode; where it ends in masks that were met before, another with wider noise, a few times.

        Evaluations are what is scarce: known masks would cost one and tell nothing. Where all are known, the
        first walk counts.
        """
        tries = range(1 if deviation == 0 else self.options.tries)
        walks = (self.walk(self.explorer(deviation and deviation * WIDER**number)) for number in tries)
        first = next(walks)
        chosen = next((w for w in chain([first], walks) if masks_hash(w.masks) not in self.met), first)
        self.met.add(masks_hash(chosen.masks))
        return chosen

    def explorer(self, deviation: float | None) -> Choose:
        """Actions of the warm-up, or about those of the policy."""
        if deviation is None:
            return lambda _state: self.unlearnt()
        return lambda state: truncated_normal(self.ddpg.act(state), deviation, self.rng)

    def unlearnt(self) -> float:
        """An action of the warm-up."""
        return float(self.rng.uniform(self.options.least_ratio, 1))

    def tell(self, candidates: Sequence[Candidate], outcomes: Sequence[Outcome]) -> Figures:
        """Store the episodes, then learn as many times as transitions were stored after the warm-up."""
        stored, rewards = 0, []
        for walk, _, outcome in zip(self.walks, candidates, outcomes, strict=True):
            reward = reward_of(outcome, self.options.reward, self.quantity)
            self.told += 1
            if reward is not None:
                self.memory.add(Past(walk.states, walk.actions, reward))
                stored += self.steps if self.told > self.course.warm_up else 0
                rewards.append(reward)
        self.walks = []
        figures = {"reward": float(np.mean(rewards))} if rewards else {}
        for _ in range(stored * self.options.updates):
            figures |= self.learn()
        return figures | {"noise": self.course.at(self.told) or 0.0}

    def gains(self, rewards: Singles) -> Singles:
        """(N,) rewards less what is usual."""
        if self.options.gains == "average":
            return self.average.gains(rewards)
        return ranked_gains(rewards, self.memory.rewards)

    def batch(self) -> Batch:
        """Transitions of the memory."""
        drawn = self.memory.draw(self.options.batch, self.rng)
        fields = (drawn.states, drawn.actions, self.gains(drawn.rewards), drawn.following, drawn.going)
        return Batch(*map(torch.from_numpy, fields))

    def final(self) -> list[Candidate]:
        """The walk without noise."""
        return [Candidate(self.walk(self.ddpg.act).masks, "greedy")]

    def state(self) -> State:
        return deepcopy(
            {
                "ddpg": self.ddpg.state(),
                "memory": self.memory.state(),
                "average": self.average.value,
                "rng": self.rng.bit_generator.state,
                "met": sorted(self.met),
                "told": self.told,
            }
        )

    def restore(self, state: State) -> None:
        """Go on from `state()`, in place."""
        copied = deepcopy(state)
        self.ddpg.restore(copied["ddpg"])
        self.memory.restore(copied["memory"])
        self.average.value = copied["average"]
        self.rng.bit_generator.state = copied["rng"]
        self.met = set(copied["met"])
        self.told = int(copied["told"])


def require_learning(options: DdpgOptions, evaluations: int) -> None:
    """Raises: UsageError: E202, the warm-up, given as a number of episodes, is all that there is."""
    if options.warm_up >= max(1, evaluations):
        raise UsageError(
            "E202",
            f"warm_up {options.warm_up:g}: there are {evaluations} evaluations, and none to learn from",
            hint=f"--evaluations {int(options.warm_up) + 1} or more, or a shorter warm_up",
        )

"""gnn-rl: prunes all groups at once, step by step, by a policy that looks at the graph of what is left."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import fields
from math import isfinite

import torch

from onnxprune.agents.gnn_rl.options import GnnRlOptions
from onnxprune.agents.gnn_rl.policy import Policy
from onnxprune.agents.gnn_rl.pruning import Pruning
from onnxprune.agents.gnn_rl.rollout import Episode, roll_out
from onnxprune.agents.gnn_rl.update import Memory, update
from onnxprune.agents.gnn_rl.wiring import wiring_of
from onnxprune.agents.space import Space
from onnxprune.agents.types import Agent, Candidate, Figures, Outcome, Problem, State
from onnxprune.masks import masks_hash
from onnxprune.observation import observe
from onnxprune.observation.families import FAMILIES

MISSED = -100.0  # reward of an episode that does not meet the target in its steps ("paper"), or the worst
DEFAULT = GnnRlOptions()
Drawn = tuple[Episode, Candidate]


class GnnRl(Agent):
    """Episodes of a few steps, each ended by one evaluation; PPO on all steps since the last update."""

    def __init__(self, problem: Problem, options: GnnRlOptions = DEFAULT) -> None:
        super().__init__(problem)
        self.options = options
        self.pruning = Pruning.of(Space.of(problem), options)
        wiring = wiring_of(observe(problem.groups, problem.cost_model), problem.groups, len(FAMILIES))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(problem.seed)
            self.policy = Policy(wiring, options, torch.Generator().manual_seed(problem.seed))
        self.optimizer = torch.optim.Adam(self.policy.parameters(), lr=options.rate)
        self.memory = Memory.empty(len(wiring.channels))
        self.seen: set[str] = set()  # hashes of masks
        self.told = 0
        self.missed = 0
        self.worst = 0.0  # of all rewards; those of metrics that are no shares may lie below what is missed
        self.pending: list[Episode] = []

    def ask(self, count: int) -> list[Candidate]:
        """So many episodes."""
        drawn = self.reaching(count) if self.options.paper else self.new(count)
        self.pending = [episode for episode, _ in drawn]
        return [candidate for _, candidate in drawn]

    def new(self, count: int) -> list[Drawn]:
        """Episodes whose masks were not met before; after `tries` of each the rest is filled with known ones.

        Evaluations are what is scarce: known masks would cost one and tell nothing.
        """
        new: list[Drawn] = []
        known: list[Drawn] = []
        for _ in range(self.options.tries):
            for episode in roll_out(self.policy, self.pruning, count=count - len(new)):
                candidate = self.candidate(episode)
                name = masks_hash(candidate.masks)
                (known if name in self.seen else new).append((episode, candidate))
                self.seen.add(name)
            if len(new) == count:
                break
        return new + known[: count - len(new)]

    def reaching(self, count: int) -> list[Drawn]:
        """Episodes that meet the target; those that miss it are learnt from and tried anew, at no evaluation.

        After `tries` of each the rest is filled with episodes that missed.
        """
        reached: list[Episode] = []
        missed: list[Episode] = []
        for _ in range(self.options.tries):
            missed = []
            for episode in roll_out(self.policy, self.pruning, count=count - len(reached)):
                (reached if episode.met else missed).append(episode)
            for episode in missed:
                self.remember(episode, min(MISSED, self.worst))
            self.missed += len(missed)
            if not missed:
                break
        return [(episode, self.candidate(episode)) for episode in reached + missed]

    def candidate(self, episode: Episode, note: str = "sampled") -> Candidate:
        """Masks exactly at the target; as published those of its last step, unless it missed."""
        if not self.options.paper:
            return Candidate(self.pruning.exact(episode.ratios), note)
        if episode.met:
            return Candidate(self.pruning.best(episode.kept), note)
        return Candidate(self.pruning.exact(episode.ratios), f"{note}, missed")

    def tell(self, candidates: Sequence[Candidate], outcomes: Sequence[Outcome]) -> Figures:
        """Remember the episodes, and learn once there are enough steps; figures of the update."""
        self.told += len(outcomes)
        rewards = []
        for episode, _, outcome in zip(self.pending, candidates, outcomes, strict=True):
            if outcome.accuracy is None or not isfinite(outcome.accuracy):
                continue  # tells nothing
            rewards.append(100 * (outcome.accuracy - 1))
            self.worst = min(self.worst, rewards[-1])
            if episode.met or not self.options.paper:  # else it is remembered already
                self.remember(episode, rewards[-1])
        self.pending = []
        figures = {"missed": float(self.missed), "deviation": self.policy.deviation}
        if rewards:
            figures["reward"] = sum(rewards) / len(rewards)
        if len(self.memory) >= self.options.steps_between(self.problem.evaluations):
            figures |= update(self.policy, self.optimizer, self.memory, self.options)
            self.memory = Memory.empty(self.memory.kept.shape[1])
            self.policy.deviation = self.options.deviation(self.told / max(1, self.problem.evaluations))
        return figures

    def remember(self, episode: Episode, reward: float) -> None:
        """Put its steps into the memory, in place."""
        self.memory = self.memory.with_episode(episode.steps, reward, discount=self.options.discount)

    def final(self) -> list[Candidate]:
        """An episode of the likeliest actions."""
        self.policy.eval()
        (episode,) = roll_out(self.policy, self.pruning, count=1, likeliest=True)
        self.policy.train()
        return [self.candidate(episode, "greedy")]

    def state(self) -> State:
        """All of it; tensors among numbers."""
        return deepcopy(
            {
                "policy": self.policy.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "generator": self.policy.generator.get_state(),
                "memory": [getattr(self.memory, f.name) for f in fields(Memory)],
                "deviation": self.policy.deviation,
                "seen": sorted(self.seen),
                "told": self.told,
                "missed": self.missed,
                "worst": self.worst,
            }
        )

    def restore(self, state: State) -> None:
        """Go on from `state()`, in place."""
        state = deepcopy(state)
        self.policy.load_state_dict(state["policy"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.policy.generator.set_state(state["generator"])
        self.memory = Memory(*state["memory"])
        self.policy.deviation = float(state["deviation"])
        self.seen = set(state["seen"])
        self.told, self.missed = int(state["told"]), int(state["missed"])
        self.worst = float(state["worst"])
        self.pending = []

"""rl-pruner: from the whole model to the target in steps; each is searched in stages of drawn actions."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from math import inf, isfinite
from typing import ClassVar

import numpy as np

from onnxprune.agents.controls import Control
from onnxprune.agents.rl_pruner.options import RlPrunerOptions
from onnxprune.agents.rl_pruner.policy import drawn, normalised, updated
from onnxprune.agents.rl_pruner.schedule import Schedule, epsilon_at
from onnxprune.agents.rl_pruner.spending import ByChannels, ByCost, Standing
from onnxprune.agents.rl_pruner.tree import ROOT, Buffer, Entry, Node, q_values
from onnxprune.agents.space import Counts
from onnxprune.agents.types import Candidate, Figures, Floats, Outcome, Problem, State
from onnxprune.masks import Masks, masks_hash
from onnxprune.target.projection import best

VAIN = 20  # stages in a row without masks that are new end a step, and in the last the search
WIDER = 1.2  # the noise grows with each of them


class RlPruner(Control):
    """Passes of steps: one, or another with the policy so far where the last step has no new masks any more.

    All masks of a last step meet the target; those before it are on their way.

    The masks of a stage do not depend on what others of it are worth, so they are asked for together. Masks
    that were evaluated before are not asked for again, what they were worth is remembered.
    """

    KEPT: ClassVar[tuple[str, ...]] = (
        *("policy", "kept", "owed", "passed", "step", "begun", "stage", "vain", "best_q"),
        *("before", "again", "accuracies", "pending"),
    )

    def __init__(self, problem: Problem, options: RlPrunerOptions, schedule: Schedule) -> None:
        super().__init__(problem)
        self.options = options
        self.schedule = schedule
        kind = ByChannels if options.variant == "paper" else ByCost
        self.spending = kind(self.space, schedule.steps)
        self.first = self.spending.first_policy()
        self.policy = self.first
        self.begin()
        self.accuracies: dict[str, float] = {}  # by hash of masks; -inf where scoring failed or was given up
        self.pending: list[int] = []  # nodes that are still to be asked for
        self.nodes: list[Node] = []  # of the stage

    def begin(self) -> None:
        """Set out from the whole model, in place; the policy stays."""
        self.passed = self.told  # outcomes before the pass
        self.before = -inf  # accuracy of the base
        self.step = -1
        self.set_out(self.spending.whole())

    def set_out(self, base: Standing, *, again: bool = False) -> None:
        """Begin the next step, in place, or the same again; the last where nothing is left for others."""
        if not again:
            self.step = self.schedule.steps - 1 if self.spending.arrived(base) else self.step + 1
        self.again = again  # whether it is taken the second time
        self.kept, self.owed = base.kept, base.owed
        self.begun = self.told  # outcomes before the step
        self.stage = 0  # of the step
        self.vain = 0
        self.best_q = -inf  # of the step
        self.buffer = Buffer(self.options.slots)

    @property
    def base(self) -> Standing:
        """What the step sets out from."""
        return Standing(self.kept, self.owed)

    @property
    def last(self) -> bool:
        return self.step >= self.schedule.steps - 1

    @property
    def epsilon(self) -> float:
        return epsilon_at(self.options, self.step, self.schedule.steps)

    def proposals(self) -> Iterator[Candidate]:
        while True:
            while self.pending:
                node = self.nodes[self.pending.pop(0)]
                yield Candidate(self.masks_of(node.kept), self.note(node))
            if any(node.key not in self.accuracies for node in self.nodes):
                return  # what comes next depends on them
            if self.nodes:
                self.close_stage()
            if self.last and self.vain >= VAIN:
                if self.told == self.passed:
                    return  # nor had the whole pass any
                self.begin()
            self.open_stage()

    def masks_of(self, kept: Counts) -> Masks:
        """Each group keeps so many of its first channels by the prior."""
        priors = self.space.problem.order.split(-self.space.prior)
        return {name: best(prior, int(n)) for (name, prior), n in zip(priors.items(), kept, strict=True)}

    def note(self, node: Node) -> str:
        at = self.step + node.level
        arrived = at >= self.schedule.steps or self.spending.arrived(Standing(node.kept, node.owed))
        return "target" if arrived else f"step {at} of {self.schedule.steps}"

    def open_stage(self) -> None:
        """Draw the tree of a stage, in place."""
        self.nodes = []
        self.grow(ROOT, self.base)
        first = {node.key: index for index, node in reversed(list(enumerate(self.nodes)))}
        self.pending = sorted(index for key, index in first.items() if key not in self.accuracies)
        self.vain = 0 if self.pending else self.vain + 1

    def grow(self, parent: int, standing: Standing) -> None:
        """Draw the children of a node, and theirs, in place."""
        level = self.nodes[parent].level if parent != ROOT else 0
        step = self.step + level
        for _ in range(self.schedule.widths[level]):
            action = self.drawn(standing)
            child = self.spending.child(standing, action, step)
            key = masks_hash(self.masks_of(child.kept))
            self.nodes.append(Node(parent, level + 1, action, child.kept, child.owed, key))
            deeper = level + 1 < len(self.schedule.widths)
            if deeper and not self.spending.arrived(child):
                self.grow(len(self.nodes) - 1, child)

    def drawn(self, standing: Standing) -> Floats:
        """(G,) an action; stages in vain add to the noise."""
        more = WIDER**self.vain - 1
        own = self.policy + more * self.first
        unit = own if self.options.variant == "fixed" else np.full(len(own), 1 + more)
        able = self.spending.able(standing)
        return drawn(self.policy, self.rng, deviations=self.options.nu * unit, able=able)

    def close_stage(self) -> None:
        """Learn from the stage, in place, and go on to the next step where this is over."""
        gamma, depth = self.options.gamma, self.options.depth
        values = q_values(self.nodes, self.reward, gamma=gamma, depth=depth)
        entries = [Entry(q, node) for q, node in zip(values, self.nodes, strict=True) if node.level == 1]
        for entry in entries:
            self.buffer.add(entry)
        if (found := max(entry.q for entry in entries)) > self.best_q:
            self.best_q = found
            self.learn()
        self.stage += 1
        self.nodes = []
        if not self.last and self.over():
            self.close_step()

    def reward(self, node: Node) -> float:
        """Equation 17: accuracy + alpha (1 - F / F0) + beta (1 - P / P0); F are MACs, P params."""
        accuracy, whole = self.accuracies[node.key], self.problem.whole
        if not (self.options.alpha or self.options.beta):
            return accuracy
        costs = self.space.costs(node.kept[None])
        saved_macs = 1 - int(costs.macs[0]) / max(1, whole.macs)
        saved_params = 1 - int(costs.params[0]) / max(1, whole.params)
        return accuracy + self.options.alpha * saved_macs + self.options.beta * saved_params

    def learn(self) -> None:
        """Move the policy to the best action of the buffer, or to one that epsilon draws; in place."""
        exploring = self.epsilon if self.options.explores == "update" else 0.0
        action = self.buffer.chosen(exploring, self.rng).node.action
        self.policy = updated(self.policy, action, rate=self.options.rate, clip=self.options.clip)

    def over(self) -> bool:
        """Whether a step has had its stages, or has no evaluations for one more."""
        counted = self.schedule.stages and self.stage >= self.schedule.stages
        spent = self.told - self.begun + self.schedule.size > self.schedule.quota(self.step, self.begun)
        return bool(counted or spent or self.vain >= VAIN)

    def close_step(self) -> None:
        """Carry a model on, in place; once take the step again where it fell too deep."""
        exploring = self.epsilon if self.options.explores == "carry" else 0.0
        found = self.buffer.chosen(exploring, self.rng).node if self.buffer.entries else None
        accuracy = self.before if found is None else self.accuracies[found.key]
        if self.fell(accuracy) and not self.again:
            self.policy = self.first
            self.set_out(self.base, again=True)
            return
        self.before = accuracy
        self.set_out(self.unexplored() if found is None else Standing(found.kept, found.owed))

    def fell(self, accuracy: float) -> bool:
        """Whether a step has cost too large a share of the accuracy before it."""
        known = isfinite(self.before) and self.options.fall < 1
        return known and accuracy < self.before - self.options.fall * abs(self.before)

    def unexplored(self) -> Standing:
        """Where the policy itself leads."""
        return self.followed(self.base, self.step)

    def followed(self, standing: Standing, step: int) -> Standing:
        action = normalised(self.policy, self.spending.able(standing))
        return self.spending.child(standing, action, step)

    def tell(self, candidates: Sequence[Candidate], outcomes: Sequence[Outcome]) -> Figures:
        figures = super().tell(candidates, outcomes)
        for candidate, outcome in zip(candidates, outcomes, strict=True):
            told = outcome.accuracy
            usable = told is not None and isfinite(told) and not outcome.given_up
            self.accuracies[masks_hash(candidate.masks)] = (
                float(told) if usable and told is not None else -inf
            )
        shares = self.policy[self.policy > 0]
        entropy = -float((shares * np.log(shares)).sum())
        return {**figures, "step": float(self.step + 1), "epsilon": self.epsilon, "entropy": entropy}

    def final(self) -> list[Candidate]:
        """Where the policy leads from the base to the target."""
        standing = self.base
        for step in range(self.step, self.schedule.steps):
            standing = self.followed(standing, step)
        return [Candidate(self.masks_of(standing.kept), "policy")]

    def state(self) -> State:
        entries = [{"q": entry.q, "node": vars(entry.node)} for entry in self.buffer.entries]
        nodes = [vars(node) for node in self.nodes]
        return super().state() | deepcopy({"nodes": nodes, "buffer": entries})

    def restore(self, state: State) -> None:
        super().restore(state)
        copied = deepcopy({"nodes": state["nodes"], "buffer": state["buffer"]})
        self.nodes = [Node(**node) for node in copied["nodes"]]
        entries = [Entry(entry["q"], Node(**entry["node"])) for entry in copied["buffer"]]
        self.buffer = Buffer(self.options.slots, entries)

"""gat-ppo: proposes masks by a policy that looks at the whole graph, and learns from their accuracy."""

from collections.abc import Sequence
from copy import deepcopy
from math import isfinite
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onnxprune.agents.gat_ppo.beginning import (
    OPENING,
    allocated,
    blank,
    deviations,
    look,
    opening,
    optimizer_of,
)
from onnxprune.agents.gat_ppo.critic import Critic, distinct_best
from onnxprune.agents.gat_ppo.elites import Elites, boundary_logits
from onnxprune.agents.gat_ppo.graph import hetero_data, wiring_of
from onnxprune.agents.gat_ppo.neighbours import Neighbours
from onnxprune.agents.gat_ppo.options import GatPpoOptions
from onnxprune.agents.gat_ppo.policy import Network, Policy
from onnxprune.agents.gat_ppo.rollout import Walk, quantities, roll_out, states_of
from onnxprune.agents.gat_ppo.transfer import carried, weights_of
from onnxprune.agents.gat_ppo.update import Batch, Elite, advantages, standardised, update
from onnxprune.agents.policy_file import load_weights
from onnxprune.agents.types import Agent, Candidate, Figures, Outcome, Problem, State
from onnxprune.environment import Episode, EpisodeOptions, Judge, RewardOptions, Task
from onnxprune.masks import Masks, masks_hash

Floats = NDArray[np.float64]
DEFAULT = GatPpoOptions()
SAMPLED, SCATTERED, NEIGHBOUR = "sampled", "random ratios", "neighbour"
LEAST_KNOWN = 16  # outcomes, before the critic is asked
FAVOURITES = 16  # masks of random keep ratios: more of them would be evaluated for being uncertain alone
WIDENINGS, WIDER = 6, 1.5  # of the noise, where all that was drawn is known
USUAL_SPREAD = 0.05  # interquartile range of the first accuracies, where these are shares


class GatPpo(Agent):
    """A policy over keep bits, trained by PPO on batches of episodes.

    It sets out from equal shares of all groups, in the order of the prior criterion. The best allocation of
    the prior would be a narrower place to start: what a few hundred samples like best there is often chance,
    and the policy does not leave it. With `warm_start` the first batch is what every allocation makes of the
    prior; they are remembered like episodes.
    """

    def __init__(self, problem: Problem, options: GatPpoOptions = DEFAULT) -> None:
        super().__init__(problem)
        self.options = options
        self.task = Task.of(problem.cost_model, target=problem.target, constraints=problem.constraints)
        policy = Path(options.init_policy)  # read before any criterion is asked for
        weights = weights_of(policy, blank(problem), options) if options.init_policy else None
        self.observation = look(problem)
        wiring = wiring_of(hetero_data(self.observation))
        sizes = wiring.channels.shape[1], wiring.nodes.shape[1], wiring.edge_attr.shape[1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(problem.seed)
            self.network = Network(sizes, 2 * len(quantities(problem)), options)
            self.policy = Policy(self.network, wiring, deviations(self.task, options))
        if weights is not None:
            load_weights({"network": self.network}, weights, policy)
        self.optimizer = optimizer_of(self.policy, options)
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.generator = torch.Generator().manual_seed(problem.seed)
        self.unit: float | None = None  # what makes shares of the accuracies, once enough are known
        self.judge = self.judge_in(1.0)
        self.elites = Elites(problem.order, options.elites)  # of the policy's own, to be imitated
        self.best = Elites(problem.order, options.elites)  # of all, to be changed a little
        self.critic = Critic(problem.order, options.memory, problem.explained)
        self.seen: set[str] = set()  # hashes of what was told
        self.told = 0
        self.opening = opening(problem) if options.warm_start and options.prior_weight else []
        self.walk: Walk | None = None
        self.chosen: list[int] = []  # what is evaluated: episodes of the walk, behind them others
        self.neighbours = Neighbours.of(problem, by_prior=options.prior_weight > 0)
        self.set_out(allocated(problem, "uniform"))

    def judge_in(self, unit: float) -> Judge:
        """A new one, for accuracies in such units."""
        return Judge(self.options.constraint, RewardOptions(self.options.reward, scale=100 / unit))

    def settle_unit(self) -> None:
        """Find the unit of the accuracies from the first that were told, once for all, in place.

        Accuracies that are no shares, such as minus a mean squared error, may be of any size.
        """
        if self.unit is None and len(self.critic) >= len(OPENING) // 2 and self.critic.spread:
            told = self.critic.accuracies
            shares = told.min() >= 0 and told.max() <= 1
            self.unit = 1.0 if shares else self.critic.spread / USUAL_SPREAD
            known, self.judge = self.judge.state(), self.judge_in(self.unit)
            self.judge.restore(known)

    def set_out(self, masks: Masks) -> None:
        """Make the policy's likeliest masks these, in place."""
        weight = self.options.prior_weight
        logits = boundary_logits(masks, self.problem.prior_scores(), weight=weight)
        self.policy.prior.copy_(torch.from_numpy(self.problem.order.join(logits)))

    def episode(self) -> Episode:
        """A new one."""
        options = self.options
        return Episode(
            self.task,
            EpisodeOptions(options.episode, options.rounds, options.constraint, order=options.order),
        )

    def ask(self, count: int) -> list[Candidate]:
        """What is left of the opening, else so many episodes."""
        if self.opening:
            return self.opening[:count]
        self.policy.noise = self.falling(self.options.noise_floor)
        for _ in range(self.options.dreams):
            self.dream()
        return self.proposed(count)

    def proposed(self, count: int) -> list[Candidate]:
        """What to evaluate; known masks again only where wider noise gives no others."""
        for _ in range(WIDENINGS):
            pool = self.pool(count)
            if chosen := self.choose(pool, count):
                break
            self.policy.noise *= WIDER
        self.chosen = chosen or list(range(min(count, len(pool))))
        return [pool[index] for index in self.chosen]

    def pool(self, count: int) -> list[Candidate]:
        """What may be evaluated: the episodes of a new walk, and where the critic can tell, others."""
        self.walk = self.walked(max(count, self.imagined))
        found = [Candidate(episode.masks(), SAMPLED) for episode in self.walk.episodes]
        if self.imagined:
            many, unit = self.options.neighbours, self.unit or 1.0
            found += [Candidate(masks, SCATTERED) for masks in self.scattered()]
            found += [
                Candidate(masks, NEIGHBOUR) for masks in self.neighbours.near(self.best, many, unit=unit)
            ]
        return found

    def scattered(self) -> list[Masks]:
        """The critic's favourites among masks of random keep ratios; none once all are neighbours."""
        many = self.options.scattered if self.near_share < 1 else 0
        masks = self.neighbours.scattered(self.best, many, unit=self.unit or 1.0)
        fit = self.critic.fit()
        if not masks or fit is None:
            return masks[:FAVOURITES]
        worth = self.critic.mean(fit, self.rows(masks))
        return [masks[index] for index in np.argsort(-worth, kind="stable")[:FAVOURITES]]

    def rows(self, masks: Sequence[Masks]) -> NDArray[np.bool_]:
        """(N, C) keep bits, as the critic takes them."""
        return np.stack([self.problem.order.join(one) for one in masks])

    @property
    def imagined(self) -> int:
        """How many episodes the critic judges at a time; 0 while it knows too little."""
        ready = self.options.episode == "one-shot" and len(self.critic) >= LEAST_KNOWN
        return self.options.imagined if ready else 0

    def walked(self, count: int) -> Walk:
        """So many episodes."""
        return roll_out(self.policy, self.problem, self.episode, self.active(count), self.generator)

    def choose(self, pool: Sequence[Candidate], count: int) -> list[int]:
        """Which to evaluate: new ones, the critic's favourites among them where it knows enough.

        Neighbours are all of a batch from half of the search on, and before that no larger a part than twice
        what has gone by: the policy needs its time to find how much each group keeps.
        """
        keys = [masks_hash(candidate.masks) for candidate in pool]
        first = {key: index for index, key in reversed(list(enumerate(keys)))}
        new = np.array([first[key] == index and key not in self.seen for index, key in enumerate(keys)])
        fit = self.critic.fit() if self.imagined else None
        if fit is None:
            return [int(index) for index in np.flatnonzero(new)[:count]]
        normals = torch.randn(count, len(keys), generator=self.generator, dtype=torch.float64).numpy()
        draws = self.critic.draws(fit, self.rows([candidate.masks for candidate in pool]), normals)
        near = np.array([candidate.note == NEIGHBOUR for candidate in pool])
        own = distinct_best(draws, new & ~near, count - round(count * self.near_share))
        new[own] = False
        return own + distinct_best(draws[len(own) :], new, count - len(own))

    def dream(self) -> None:
        """Learn from episodes that the critic alone judges, in place."""
        if self.imagined and (fit := self.critic.fit()):
            walk = self.walked(self.imagined)
            worth = self.critic.mean(fit, bits_of(walk))
            self.learn(walk, self.imagine(walk, worth))

    def imagine(self, walk: Walk, worth: Floats) -> list[float]:
        """Rewards of expected accuracies; the past that rewards compare with stays what was real."""
        known, rewards = self.judge.state(), []
        for episode, accuracy in zip(walk.episodes, worth.tolist(), strict=True):
            rewards.append(self.judge.reward(accuracy, self.task.violation(episode.masks())))
            self.judge.restore(known)
        return rewards

    def tell(self, candidates: Sequence[Candidate], outcomes: Sequence[Outcome]) -> Figures:
        """Learn from them; figures of the update."""
        self.told += len(outcomes)
        rewards = [self.judge.reward(outcome.accuracy, outcome.violation) for outcome in outcomes]
        for candidate, outcome in zip(candidates, outcomes, strict=True):
            self.seen.add(masks_hash(candidate.masks))
            if outcome.accuracy is not None and isfinite(outcome.accuracy):
                self.critic.add(self.problem.order.join(candidate.masks), outcome.accuracy, outcome.rows)
                if outcome.feasible and not outcome.given_up:
                    self.best.add(candidate.masks, outcome.accuracy)
                    if candidate.note != NEIGHBOUR:
                        self.elites.add(candidate.masks, outcome.accuracy)
        self.settle_unit()
        figures = {"reward": float(np.mean(rewards))}
        if self.opening:
            self.opening = self.opening[len(candidates) :]
            return figures
        assert self.walk is not None
        figures |= self.learn(self.walk, self.all_rewards(self.walk, rewards))
        self.walk = None
        return figures

    def all_rewards(self, walk: Walk, rewards: Sequence[float]) -> list[float]:
        """Of all episodes of a walk: told where they were evaluated, else what the critic expects."""
        count, told = len(walk.episodes), dict(zip(self.chosen, rewards, strict=True))
        if all(index in told for index in range(count)):
            return [told[index] for index in range(count)]
        fit = self.critic.fit() if self.options.imagined else None
        expected = [float(np.mean(rewards))] * count
        if fit is not None:
            expected = self.imagine(walk, self.critic.mean(fit, bits_of(walk)))
        return [told.get(index, expected[index]) for index in range(count)]

    def learn(self, walk: Walk, rewards: Sequence[float]) -> Figures:
        """A few epochs of PPO, in place."""
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * self.falling(self.options.rate_floor)
        found, returns = advantages(walk.values, torch.tensor(rewards), self.options.gae_lambda)
        batch = Batch(
            walk.states,
            walk.state.flatten(),
            walk.turn.flatten(0, 1).float(),
            walk.actions,
            walk.shifts,
            walk.bits,
            standardised(found.flatten()),
            returns.flatten(),
        )
        entropy = self.options.entropy * self.falling(0.0)
        return update(
            self.policy, self.optimizer, batch, self.elite(), options=self.options, entropy_weight=entropy
        )

    def active(self, count: int) -> Tensor:
        """(E, G) where so many episodes explore; in one group at least."""
        groups = self.policy.wiring.groups
        share = self.falling(min(1.0, self.options.focus / groups))
        draws = torch.rand(count, groups, generator=self.generator)
        return (draws < share) | (draws == draws.amin(1, keepdim=True))

    def falling(self, floor: float) -> float:
        """From 1 at the first evaluation to `floor` at the last."""
        return floor + (1 - floor) * (1 - self.elapsed)

    @property
    def near_share(self) -> float:
        """Of a batch, that neighbours may be; all of it from half of the search on."""
        return min(1.0, 2 * self.elapsed)

    @property
    def elapsed(self) -> float:
        """What has gone by of the search, as a share of its evaluations."""
        return min(1.0, self.told / max(1, self.problem.evaluations))

    def elite(self) -> Elite | None:
        """The best masks so far; None where none are imitated."""
        if not self.elites.found or not self.options.imitation or self.options.episode != "one-shot":
            return None
        weights = self.elites.weights(self.unit or 1.0)
        return Elite(torch.from_numpy(self.elites.rows()), torch.from_numpy(weights))

    def final(self) -> list[Candidate]:
        """The likeliest bits, step by step."""
        episode = self.episode()
        while not episode.done:
            with torch.no_grad():
                outlook = self.policy(states_of([episode], self.problem))
                logits = self.policy.shifted(outlook, outlook.mean)[0]
            episode.act(logits.numpy() > 0, logits.double().numpy())
        return [Candidate(episode.masks(), "greedy")]

    def state(self) -> State:
        """All of it; tensors among numbers and strings."""
        return deepcopy(
            {
                "policy": self.policy.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "generator": self.generator.get_state(),
                "neighbours": self.neighbours.state(),
                "unit": self.unit,
                "judge": self.judge.state(),
                "elites": self.elites.state(),
                "best": self.best.state(),
                "critic": self.critic.state(),
                "seen": sorted(self.seen),
                "told": self.told,
                "opening": len(self.opening),
            }
        )

    def carried(self) -> State:
        """The network without what belongs to this model alone."""
        return carried(self.network, self.observation, self.options)

    def restore(self, state: State) -> None:
        """Go on from `state()`, in place."""
        state = deepcopy(state)
        self.policy.load_state_dict(state["policy"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.neighbours.restore(state["neighbours"])
        self.unit = state["unit"]
        self.judge = self.judge_in(self.unit or 1.0)
        self.judge.restore(state["judge"])
        self.elites.restore(state["elites"])
        self.best.restore(state["best"])
        self.critic.restore(state["critic"])
        self.seen = set(state["seen"])
        self.told = int(state["told"])
        self.opening = self.opening[len(self.opening) - int(state["opening"]) :]


def bits_of(walk: Walk) -> NDArray[np.bool_]:
    """(E, C) of the masks of all episodes."""
    return np.stack([episode.bits for episode in walk.episodes])

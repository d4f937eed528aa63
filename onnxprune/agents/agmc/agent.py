"""agmc: walks over the groups by states that an encoder of the graph and an LSTM make, trained by DDPG."""

from copy import deepcopy
from math import ceil
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from onnxprune.agents.agmc.embedding import Decoder, Encoder, Recall, StepDecoder, Wired
from onnxprune.agents.agmc.graph import MapGraph, map_graph, random_graph
from onnxprune.agents.agmc.options import AgmcOptions
from onnxprune.agents.agmc.rescaling import algorithm_1, bisected, linear_costs, nearest_rungs
from onnxprune.agents.agmc.transfer import Networks, carried, weights_of
from onnxprune.agents.ddpg.agent import Choose, DdpgAgent, Walk
from onnxprune.agents.ddpg.learner import Batch
from onnxprune.agents.ddpg.shares import masks_of, within
from onnxprune.agents.policy_file import load_weights
from onnxprune.agents.types import Figures, Problem, State

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
DEFAULT = AgmcOptions()


class Agmc(DdpgAgent):
    """An episode walks over the groups once for each stage, and is rescaled to the stage's target.

    Where encoder and decoder learn, the memory holds actions alone: states are computed anew from them with
    each update, so that the losses of actor and critic reach both.
    """

    options: AgmcOptions

    def __init__(self, problem: Problem, options: AgmcOptions = DEFAULT) -> None:
        policy = Path(options.init_policy)  # read before any criterion is asked for
        saved = weights_of(policy, graph_of(problem, options), options) if options.init_policy else None
        super().__init__(problem, options)
        if saved is not None:
            load_weights(self.networks, saved, policy)
        if options.freeze_encoder:
            self.encoder.requires_grad_(requires_grad=False)
        if options.freeze_agent:
            self.ddpg.freeze()
        weights = [*self.encoder.parameters(), *self.decoder.parameters()]
        trained = [weight for weight in weights if weight.requires_grad]
        self.optimizer = torch.optim.Adam(trained, lr=options.embedding_rate)

    def build(self) -> int:
        """The graph, encoder and decoder."""
        options, random = self.options, self.options.features == "random"
        self.graph = graph_of(self.problem, options)
        self.wired = Wired.of(self.graph, both_ways=not random)
        sizes = self.graph.features.shape[1], options.width, options.embedding
        self.encoder = Encoder(*sizes, layers=options.layers, typed=not random)
        kind = Decoder if options.recall == "episode" else StepDecoder
        self.decoder = kind(options.embedding)
        self.costs = linear_costs(self.space, self.quantity)
        return options.embedding

    @property
    def networks(self) -> Networks:
        """All that can be carried to another model."""
        return {"encoder": self.encoder, "decoder": self.decoder, **self.ddpg.networks}

    @property
    def steps(self) -> int:
        return self.options.stages * len(self.space.channels)

    @property
    def joint(self) -> bool:
        return self.options.learning == "joint"

    def embedded(self) -> tuple[Tensor, Tensor]:
        """Vectors of the vertices (V, d), and those of the groups step by step (T, d)."""
        vertices = self.encoder(self.wired)
        return vertices, (self.wired.makers @ vertices).repeat(self.options.stages, 1)

    def walk(self, choose: Choose) -> Walk:
        """Stage by stage, group by group in the order of the graph."""
        with torch.no_grad():
            vertices, groups = self.embedded()
            recall = self.decoder.begin(vertices, 1)
        kept = self.space.channels
        states: list[Singles] = []
        actions = [1.0]  # before the first
        for stage in range(self.options.stages):
            ratios = []
            for _ in self.space.channels:
                state, recall = self.next_state(groups[len(states)], actions[-1], recall)
                states.append(state)
                actions.append(choose(state))
                ratios.append(actions[-1])
            kept = self.rescaled(kept, np.array(ratios), stage)
        held = np.zeros((self.steps, 0), np.float32) if self.joint else np.stack(states)
        return Walk(masks_of(self.space, kept), held, np.array(actions[1:], np.float32))

    def next_state(self, group: Tensor, previous: float, recall: Recall) -> tuple[Singles, Recall]:
        """(d,) the state before the step of a group (d,), and what is remembered after it."""
        with torch.no_grad():
            states, recall = self.decoder(group[None], torch.tensor([[previous]]), recall)
        return states[0, 0].numpy(), recall

    def rescaled(self, kept: Counts, ratios: Floats, stage: int) -> Counts:
        """(G,) counts that a walk leaves of those that were kept before it, at the target of its stage."""
        options, channels = self.options, self.space.channels
        removed = np.minimum(options.most, 1 - kept / channels * ratios)
        target = self.problem.partway(stage + 1, options.stages)
        if options.rescaling == "bisection":
            if options.reward == "cost":  # less than the bounds allow counts too
                asked = np.minimum(kept, nearest_rungs(self.space, 1 - removed))
                if within(self.space, asked[None], target=target)[0]:
                    return asked
            return np.minimum(kept, bisected(self.space, removed, target, options.most))
        whole = self.problem.whole
        limit = target.limits(whole).get(self.quantity, getattr(whole, self.quantity))
        wanted = 1 - limit / max(1, getattr(whole, self.quantity))
        share = 1 - algorithm_1(removed, self.costs, wanted, options.most)
        return np.minimum(kept, nearest_rungs(self.space, share))

    def learn(self) -> Figures:
        """One update, in place."""
        if not self.joint:
            return self.ddpg.update(self.batch())
        self.optimizer.zero_grad()
        figures = self.ddpg.update(self.recomputed())
        self.optimizer.step()
        return figures

    def recomputed(self) -> Batch:
        """Whole episodes of the memory, their states computed from their actions."""
        count = ceil(self.options.batch / self.steps)
        episodes = self.memory.draw_episodes(count, self.rng)
        rewards = np.array([episode.reward for episode in episodes], np.float32)
        actions = torch.from_numpy(np.stack([episode.actions for episode in episodes]))
        states = self.states(actions)
        gains = torch.from_numpy(self.gains(rewards))[:, None].expand_as(actions)
        going = torch.ones_like(actions)
        going[:, -1] = 0
        following = states.detach().roll(-1, 1)  # that of a last step is of no account
        return Batch(
            states.flatten(0, 1), actions.flatten(), gains.flatten(), following.flatten(0, 1), going.flatten()
        )

    def states(self, actions: Tensor) -> Tensor:
        """(N, T, d) the states before each step of episodes with these actions (N, T)."""
        vertices, groups = self.embedded()
        previous = torch.cat([torch.ones(len(actions), 1), actions[:, :-1]], 1)
        states, _ = self.decoder(groups, previous, self.decoder.begin(vertices, len(actions)))
        return states

    def carried(self) -> State:
        """The networks; nothing in them belongs to this model alone."""
        return carried(self.networks, self.graph, self.options)

    def state(self) -> State:
        own = {
            "encoder": self.encoder.state_dict(),
            "decoder": self.decoder.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        return super().state() | deepcopy(own)

    def restore(self, state: State) -> None:
        super().restore(state)
        for name in ("encoder", "decoder", "optimizer"):
            getattr(self, name).load_state_dict(deepcopy(state[name]))


def graph_of(problem: Problem, options: AgmcOptions) -> MapGraph:
    """The graph that the encoder reads."""
    return random_graph(problem) if options.features == "random" else map_graph(problem)

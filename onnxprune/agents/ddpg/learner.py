"""Deep deterministic policy gradients (Lillicrap et al., ICLR 2016) as AMC and AGMC use them."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from onnxprune.agents.ddpg.networks import Actor, Critic, follow
from onnxprune.agents.ddpg.options import DdpgOptions
from onnxprune.agents.types import State


@dataclass(frozen=True)
class Batch:
    """N transitions; gradients flow into whatever the states were computed from.

    Attributes:
        states: (N, S).
        actions: (N,).
        gains: (N,) rewards less what is usual.
        following: (N, S) next states, without gradients.
        going: (N,) 1, or 0 after the last step of an episode.
    """

    states: Tensor
    actions: Tensor
    gains: Tensor
    following: Tensor
    going: Tensor


class Ddpg:
    """An actor, a critic, and the copies of both that follow slowly.

    One update takes a step of Adam on each of the losses

        critic   mean of (Q(s, a) - y)^2   with y = r - b + discount * Q'(s', mu'(s'))
        actor    mean of -Q(s, mu(s))

    (He et al., AMC, equations 2 and 3, with b what is usual), then moves the copies. Where states were
    computed by a network, both losses leave their gradients there; that of the actor reaches it through the
    action alone: a state shall tell what to do, and not look promising.
    """

    def __init__(self, state: int, options: DdpgOptions) -> None:
        self.options = options
        self.actor, self.critic = Actor(state, options.hidden), Critic(state, options.hidden)
        self.slow_actor, self.slow_critic = Actor(state, options.hidden), Critic(state, options.hidden)
        self.follow(1.0)
        for slow in (self.slow_actor, self.slow_critic):
            slow.requires_grad_(requires_grad=False)
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), lr=options.actor_rate)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=options.critic_rate)

    def act(self, state: NDArray[np.float32]) -> float:
        """The action of a state (S,)."""
        with torch.no_grad():
            return float(self.actor(torch.from_numpy(state)[None])[0])

    def wanted(self, batch: Batch) -> Tensor:
        """(N,) what the values should have been: y."""
        with torch.no_grad():
            ahead = self.slow_critic(batch.following, self.slow_actor(batch.following))
            return batch.gains + self.options.discount * batch.going * ahead

    def update(self, batch: Batch) -> dict[str, float]:
        """One step on a batch, in place; its losses."""
        self.critic_optimizer.zero_grad()
        loss = (self.critic(batch.states, batch.actions) - self.wanted(batch)).square().mean()
        loss.backward(retain_graph=batch.states.requires_grad)
        self.critic_optimizer.step()

        self.actor_optimizer.zero_grad()
        self.critic.requires_grad_(requires_grad=False)
        gain = self.critic(batch.states.detach(), self.actor(batch.states)).mean()
        (-gain).backward()
        self.critic.requires_grad_(requires_grad=True)
        self.actor_optimizer.step()

        self.follow(self.options.soft)
        return {"critic_loss": loss.item(), "actor_value": gain.item()}

    def follow(self, rate: float) -> None:
        """Move the slow copies, in place."""
        follow(self.slow_actor, self.actor, rate)
        follow(self.slow_critic, self.critic, rate)

    def freeze(self) -> None:
        """From now on actor and critic stay as they are, in place; updates still hand on their gradients."""
        for optimizer in (self.actor_optimizer, self.critic_optimizer):
            for group in optimizer.param_groups:
                group["lr"] = 0.0

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {name: getattr(self, name) for name in ("actor", "critic", "slow_actor", "slow_critic")}

    def state(self) -> State:
        return {name: getattr(self, name).state_dict() for name in PARTS}

    def restore(self, state: State) -> None:
        """Go on from such a state, in place."""
        for name in PARTS:
            getattr(self, name).load_state_dict(state[name])


PARTS = ("actor", "critic", "slow_actor", "slow_critic", "actor_optimizer", "critic_optimizer")

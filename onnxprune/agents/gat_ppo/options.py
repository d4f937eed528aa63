"""What decides how gat-ppo looks, explores and learns."""

from dataclasses import dataclass
from typing import Literal

from onnxprune.agents.options import require, require_choices


@dataclass(frozen=True)
class GatPpoOptions:
    """Options of the agent; the defaults are for 512 evaluations.

    Attributes:
        encoder: "gat", or "mlp": every channel by itself, without messages (an ablation).
        hidden: Width of every vertex.
        heads: Of attention; they share the width.
        layers: Rounds of messages.
        prior_weight: Of the prior criterion's standardised scores in the logits; 0: no prior at all.
        warm_start: Begin with every allocation of the prior, so that the search ends with none worse.
        group_noise: Standard deviation, at the start, of the share of a group that is kept more or less:
            exploration of how many channels a group keeps, which independent bits hardly move.
        step_noise: The same at least, in aligned steps of the group: less would not move an aligned count.
        focus: An episode explores in some groups, drawn anew for each; the others take what is likeliest.
            All groups at the first evaluation, about so many at the last: few changes at a time show better
            what each is worth.
        noise_floor: Share of the exploration (of that deviation, and of the bits' temperature) that is left
            at the last evaluation; it falls linearly.
        imagined: Episodes that are drawn for every batch and judged by the critic (see critic.py): its
            favourites are evaluated, and the policy learns from all; 0: every episode is evaluated.
            In one-shot episodes only.
        scattered: Masks of random keep ratios for every batch of the first half of the search; the critic's
            favourites are judged beside these episodes. A policy that has met good counts with bad channels
            does not come back to them by itself.
        neighbours: Small moves of the best masks so far (swaps of channels, steps from group to group),
            judged beside these episodes. The policy does not learn from them, and keeps the time to find how
            much each group keeps: of a batch they are at most twice the part that has gone by of the search.
        dreams: Updates on imagined episodes alone, before every batch.
        memory: Outcomes that the critic remembers.
        ratio: "bit": the probability ratio of every bit is clipped by itself; "joint": their product.
        clip: Of the bits' ratios (Schulman et al., 2017, equation 7).
        group_clip: Of the shifts' ratios. There are few shifts and each moves many channels, so that a batch
            tells more of them, and a step may be longer: evolution strategies go a whole deviation.
        epochs: Of updates on one batch of episodes, at most.
        kl_stop, group_kl_stop: Mean KL divergence a bit, or a shift, at which they end early.
        network_rate: Learning rate of encoder and heads (Adam).
        group_rate, channel_rate: Of the biases of this model's groups (of shares) and channels (of logits),
            which no other model has.
        rate_floor: Share of the rates that is left at the last evaluation; they fall linearly.
        entropy: Weight of the bits' entropy at the start; it falls to 0.
        value_weight: Of the value's error in the loss.
        imitation: Weight of the likelihood of the best masks so far in the loss; 0: none (Oh et al.,
            Self-Imitation Learning, ICML 2018, with the best few instead of a replay buffer).
        elites: How many masks are imitated.
        max_grad_norm: Gradients are clipped to it.
        gae_lambda: Of advantages in episodes of several steps (Schulman et al., 2016); discount 1.
        episode: "one-shot", "rounds" or "group-wise".
        rounds: Of an episode of rounds.
        order: How sampled bits become masks within the bounds: "ratios" scales the shares of all groups
            alike, "bits" keeps what was sampled in one order of all channels.
        reward: A kind of self-competition: "percentile", "record", "r2" or "ema".
        constraint: "project", "lagrangian" or "penalty".
        freeze_encoder: Only the heads and the instance's biases learn.
        init_policy: A file that an earlier search, perhaps of another model, has left; the network sets out
            with its weights.
    """

    encoder: Literal["gat", "mlp"] = "gat"
    hidden: int = 64
    heads: int = 4
    layers: int = 3
    prior_weight: float = 1.5
    warm_start: bool = True
    group_noise: float = 0.3
    step_noise: float = 0.5
    focus: float = 4.0
    noise_floor: float = 0.3
    imagined: int = 128
    scattered: int = 256
    neighbours: int = 192
    dreams: int = 1
    memory: int = 1024
    ratio: Literal["bit", "joint"] = "bit"
    clip: float = 0.2
    group_clip: float = 0.6
    epochs: int = 4
    kl_stop: float = 0.02
    group_kl_stop: float = 0.2
    network_rate: float = 1e-3
    group_rate: float = 2e-2
    channel_rate: float = 5e-2
    rate_floor: float = 0.1
    entropy: float = 1e-3
    value_weight: float = 0.5
    imitation: float = 0.5
    elites: int = 8
    max_grad_norm: float = 0.5
    gae_lambda: float = 0.95
    episode: Literal["one-shot", "rounds", "group-wise"] = "one-shot"
    rounds: int = 3
    order: Literal["ratios", "bits"] = "ratios"
    reward: Literal["percentile", "record", "r2", "ema"] = "percentile"
    constraint: Literal["project", "lagrangian", "penalty"] = "project"
    freeze_encoder: bool = False
    init_policy: str = ""

    def __post_init__(self) -> None:
        """Raises: ValueError: a value that is unknown or out of its range."""
        require_choices(self)
        require(self.heads > 0, "heads is at least 1")
        require(self.hidden > 0 and self.hidden % self.heads == 0, "hidden must be a multiple of heads")
        require(min(self.layers, self.epochs, self.rounds) >= 1, "layers, epochs and rounds are at least 1")
        require(
            min(self.imagined, self.scattered, self.neighbours, self.dreams) >= 0,
            "imagined, scattered, neighbours and dreams are not below 0",
        )
        require(self.memory >= 2, "memory is at least 2")
        require(0 < self.noise_floor <= 1, "noise_floor lies between 0 and 1")
        require(self.focus > 0, "focus is above 0")
        require(0 < self.clip < 1, "clip lies between 0 and 1")
        require(
            0 <= self.rate_floor <= 1 and 0 <= self.gae_lambda <= 1, "rate_floor and gae_lambda are shares"
        )
        weights = (
            self.prior_weight,
            self.group_noise,
            self.step_noise,
            self.entropy,
            self.value_weight,
            self.imitation,
        )
        require(
            min(weights) >= 0 and self.elites >= 1, "weights and noise are not below 0, elites not below 1"
        )
        rates = (
            self.network_rate,
            self.group_rate,
            self.channel_rate,
            self.kl_stop,
            self.group_kl_stop,
            self.group_clip,
            self.max_grad_norm,
        )
        require(min(rates) > 0, "rates, kl_stop and max_grad_norm are above 0")

"""The policy: a probability for every channel to stay, and a value of the state.

    group shift  s_g ~ N(mu_g, sigma_g)                             a share of the group more, or less
    keep bit     b_c ~ Bernoulli(sigmoid(z_c + r_g(c) s_g(c)))      which of its channels

r_g is how far the logits of the group reach from its first channel to its last, so that a shift of 0.1 keeps
about a tenth of the channels more however sharp the logits have become.

Independent bits alone hardly move the size of a group (its standard deviation grows with the root of its
channels only), so a shift of all logits of a group is drawn first. Both are actions: both have a probability
ratio. Logits are the sum of the prior's, which are given, of what the network makes of the graph, and of
biases that belong to this model alone.
"""

from dataclasses import dataclass
from math import log

import torch
from torch import Tensor, nn
from torch.nn import functional

from onnxprune.agents.gat_ppo.encoder import Encoder, Separate
from onnxprune.agents.gat_ppo.graph import Wiring
from onnxprune.agents.gat_ppo.options import GatPpoOptions

DYNAMIC = 2  # features of a channel that change in an episode: its bit, and whether it is decided now
HALF_LOG_2PI = 0.9189385332046727
LEAST_REACH = 1.0


@dataclass(frozen=True)
class States:
    """What the policy sees of U states.

    Attributes:
        dynamic: (U, C, 2) current bits, and what is decided now.
        bounds: (U, T) of each quantity the bound and the present cost, as shares of the original.
    """

    dynamic: Tensor
    bounds: Tensor


@dataclass(frozen=True)
class Actions:
    """What was drawn in S steps: shifts (S, G) and bits (S, C)."""

    shifts: Tensor
    bits: Tensor


@dataclass(frozen=True)
class Outlook:
    """What the policy makes of U states.

    Attributes:
        logits: (U, C) without the groups' shifts.
        reach: (U, G) of the logits of each group.
        mean, log_std: (U, G), (G,) of the shifts.
        noise: Temperature of the bits.
        value: (U,) expected return.
    """

    logits: Tensor
    reach: Tensor
    mean: Tensor
    log_std: Tensor
    noise: float
    value: Tensor

    def at(self, states: Tensor) -> "Outlook":
        """The outlook of each step, from the index (S,) of its state."""
        return Outlook(
            self.logits[states],
            self.reach[states],
            self.mean[states],
            self.log_std,
            self.noise,
            self.value[states],
        )


class Network(nn.Module):
    """What is learnt of graphs in general; it fits every model, and can be carried from one to another."""

    def __init__(self, wiring_sizes: tuple[int, int, int], bounds: int, options: GatPpoOptions) -> None:
        super().__init__()
        channel, node, edge = wiring_sizes
        hidden, sizes = options.hidden, (channel + DYNAMIC, node)
        self.encoder: nn.Module = (
            Encoder(sizes, edge, hidden=hidden, heads=options.heads, layers=options.layers)
            if options.encoder == "gat"
            else Separate(sizes, hidden=hidden, layers=options.layers)
        )
        self.keep = head(4 * hidden + bounds, hidden)
        self.group = head(3 * hidden + bounds, hidden)
        self.value = head(2 * hidden + bounds, 2 * hidden, hidden)

    def forward(self, states: States, wiring: Wiring) -> tuple[Tensor, Tensor, Tensor]:
        """States -> logits (U, C), means of the shifts (U, G), values (U,)."""
        copies, channels = states.dynamic.shape[:2]
        features = torch.cat([wiring.channels.expand(copies, -1, -1), states.dynamic], 2)
        h = self.encoder(features, wiring.nodes.expand(copies, -1, -1), wiring)
        own = h[:, :channels]
        pooled = torch.cat([own.mean(1), own.amax(1), states.bounds], 1)
        wide = pooled[:, None].expand(-1, channels, -1)
        logits = self.keep(torch.cat([own, h[:, wiring.producer], wide], 2))[..., 0]
        groups = wiring.groups
        sums = torch.zeros(copies, groups, own.shape[2], dtype=own.dtype, device=own.device)
        sums = sums.index_add(1, wiring.group_of, own)
        of_group = sums / torch.bincount(wiring.group_of, minlength=groups)[None, :, None]
        mean = self.group(torch.cat([of_group, pooled[:, None].expand(-1, groups, -1)], 2))[..., 0]
        return logits, mean, self.value(pooled)[:, 0]


def head(size: int, *hidden: int) -> nn.Sequential:
    """A perceptron to one number that begins at 0."""
    parts: list[nn.Module] = []
    for width in hidden:
        parts += [nn.Linear(size, width), nn.ELU()]
        size = width
    last = nn.Linear(size, 1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*parts, last)


def reach_of(logits: Tensor, wiring: Wiring) -> Tensor:
    """(U, C) -> (U, G): the range of evenly spaced logits with the spread that these have."""
    groups = wiring.groups
    count = torch.bincount(wiring.group_of, minlength=groups).to(logits.dtype)
    zeros = torch.zeros(len(logits), groups, dtype=logits.dtype)
    mean = zeros.index_add(1, wiring.group_of, logits) / count
    apart = (logits - mean[:, wiring.group_of]).square()
    variance = zeros.index_add(1, wiring.group_of, apart) / count
    return (12 * variance).sqrt().clamp(min=LEAST_REACH)


class Policy(nn.Module):
    """The network on one model, with the prior's logits and this model's own biases.

    Attributes:
        prior: (C,) logits to set out from.
        group_bias, channel_bias, log_std: (G,), (C,), (G,) learnt for this model alone.
        noise: How much of the exploration is left: scales the shifts' deviations and the bits' temperature.
    """

    prior: Tensor

    def __init__(self, network: Network, wiring: Wiring, deviations: Tensor) -> None:
        super().__init__()
        self.network, self.wiring, self.noise = network, wiring, 1.0
        self.register_buffer("prior", torch.zeros(len(wiring.channels)))
        self.group_bias = nn.Parameter(torch.zeros(wiring.groups))
        self.channel_bias = nn.Parameter(torch.zeros(len(wiring.channels)))
        self.log_std = nn.Parameter(deviations.log())

    def forward(self, states: States) -> Outlook:
        logits, mean, value = self.network(states, self.wiring)
        logits = logits + self.prior + self.channel_bias
        log_std = self.log_std + log(self.noise)
        reach = reach_of(logits.detach(), self.wiring)
        return Outlook(logits, reach, mean + self.group_bias, log_std, self.noise, value)

    def shifted(self, outlook: Outlook, shifts: Tensor) -> Tensor:
        """(S, C) logits with the shifts (S, G) of their groups."""
        return outlook.logits + (shifts * outlook.reach)[:, self.wiring.group_of]

    def draw(self, outlook: Outlook, active: Tensor, generator: torch.Generator) -> Actions:
        """One action for each step; groups that are not active (S, G) take what is likeliest."""
        noise = torch.randn(outlook.mean.shape, generator=generator) * active
        shifts = outlook.mean + noise * outlook.log_std.exp()
        logits = self.shifted(outlook, shifts)
        draws = torch.rand(logits.shape, generator=generator) < torch.sigmoid(logits / outlook.noise)
        bits = torch.where(active[:, self.wiring.group_of], draws, logits > 0)
        return Actions(shifts, bits.to(logits.dtype))

    def log_probabilities(self, outlook: Outlook, actions: Actions) -> tuple[Tensor, Tensor]:
        """Of every shift (S, G), and of every bit given its shift (S, C)."""
        scaled = (actions.shifts - outlook.mean) / outlook.log_std.exp()
        of_shifts = -0.5 * scaled.square() - outlook.log_std - HALF_LOG_2PI
        logits = self.shifted(outlook, actions.shifts) / outlook.noise
        of_bits = -functional.binary_cross_entropy_with_logits(logits, actions.bits, reduction="none")
        return of_shifts, of_bits

    def likelihood(self, outlook: Outlook, bits: Tensor) -> Tensor:
        """(S, C) log probability of bits where the shifts are at their means."""
        logits = self.shifted(outlook, outlook.mean)
        return -functional.binary_cross_entropy_with_logits(logits, bits, reduction="none")

    def entropy(self, outlook: Outlook, shifts: Tensor) -> Tensor:
        """Mean entropy of the bits, given their shifts."""
        logits = self.shifted(outlook, shifts) / outlook.noise
        chance = torch.sigmoid(logits)
        return (functional.softplus(logits) - chance * logits).mean()

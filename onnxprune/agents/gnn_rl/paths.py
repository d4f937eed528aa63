"""Level 1: a graph of parallel paths for each contraction, in closed form.

A contraction over C channels is C paths between a source and a sink; where channels do not mix (grouped
convolutions) each path has a filter of its own behind the channel.

        .-> channel 1 -.                  .-> channel 1 -> filter 1 -.
    source    ...       > sink        source         ...              > sink
        '-> channel C -'                  '-> channel C -> filter C -'

One layer of graph convolution (Kipf and Welling, ICLR 2017, equation 2; edges as the data flows, d_i = edges
into i and one for itself) and the mean of its vertices:

    h_i = tanh(sum over j -> i and j = i of  W x_j / sqrt(d_i d_j) + b),    d = 1, 2, (2,) C + 1

The paths are alike, so that one stands for all C. The sums are

    source    x_s                                              1 of them in the mean
    channel   x_s / sqrt 2 + x_c / 2                           C
    filter    x_c / 2 + x_f / 2                                C, or none
    sink      C x_f / sqrt(2 (C + 1)) + x_t / (C + 1)          1     (x_c for x_f without filters)

times W, so that the graph of 4,096 channels costs as much as that of one.
"""

from math import sqrt

import torch
from torch import Tensor, nn

from onnxprune.agents.gnn_rl.wiring import Wiring

ROLES = ("source", "channel", "filter", "sink")
HIDDEN = 50
EMBEDDING = 20


class Paths(nn.Module):
    """Features of the four roles -> an embedding of each contraction."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Linear(size, HIDDEN, bias=False)
        self.bias = nn.Parameter(torch.zeros(HIDDEN))
        self.embedding = nn.Linear(HIDDEN, EMBEDDING)

    def forward(self, roles: Tensor, paths: Tensor, wiring: Wiring) -> Tensor:
        """(B, O, 4, size), number of paths (B, O) -> (B, O, 20)."""
        return self.embedding(pooled(self.weight(roles), paths, wiring.grouped, self.bias))


def pooled(weighted: Tensor, paths: Tensor, grouped: Tensor, bias: Tensor) -> Tensor:
    """W x of the roles (B, O, 4, H), paths (B, O), grouped (O,) -> mean of the vertices (B, O, H)."""
    source, channel, own, sink = weighted.unbind(2)
    count, filters = paths[..., None], grouped[:, None]
    last = torch.where(filters, own, channel)
    sums = (
        source,
        source / sqrt(2) + channel / 2,
        (channel + own) / 2,
        last * count / (2 * (count + 1)).sqrt() + sink / (count + 1),
    )
    first, second, third, fourth = (torch.tanh(part + bias) for part in sums)
    total = first + count * (second + third * filters) + fourth
    return total / (2 + count * (1 + filters.to(count.dtype)))

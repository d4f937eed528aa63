"""The coupled sites of a module's weights as index tensors, and sums over them.

A channel of a group is made of slices of several weights. `Sites` numbers the channels of all prunable groups
through and holds, for each slice, where it lies and whose it is; a sum over channels is then one reduction an
axis and one segment sum, however many channels there are:

    x -> Conv(W1) -> BatchNormalization(s, b) -> Relu -> Conv(W2)

    axes       (W1, 0)  (s, 0)  (b, 0)  (W2, 1)     each with as many indices as there are channels
    positions  0 .. c   c .. 2c  ...                in the axes laid end to end
    channels   0 .. c   0 .. c   ...
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from onnxprune.converters import OnnxModule
from onnxprune.converters.batch_norm import PARTS
from onnxprune.groups import Group, Groups, Member
from onnxprune.onnx_file import Graph
from onnxprune.operators.slots import NORMALISATION_SCALE

TRAINED_PARTS = PARTS[:2]  # scale and bias of a BatchNormalization that was put back for training
Choose = Callable[[Group], tuple[Member, ...]]


@dataclass(frozen=True)
class Sites:
    """Slices of weights by channel; channels of all groups are numbered through.

    Attributes:
        axes: (tensor, axis), a tensor's axes side by side.
        positions: (slices,) in the concatenated axes.
        channels: (slices,) the channel of each.
        group: (channels,) the number of its group.
        names: Of the groups.
    """

    axes: tuple[tuple[str, int], ...]
    positions: Tensor
    channels: Tensor
    group: Tensor
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.group)

    def sums(self, module: nn.Module, elementwise: Callable[[Tensor], Tensor]) -> Tensor:
        """(channels,) the sum of `elementwise(w)` over all slices of each channel, differentiable."""
        parts = [
            part for name, axes in self.by_tensor() for part in axis_sums(module, name, axes, elementwise)
        ]
        slices = torch.cat(parts).index_select(0, self.positions)
        return slices.new_zeros(len(self)).index_add(0, self.channels, slices)

    def by_tensor(self) -> Iterator[tuple[str, list[int]]]:
        """Each tensor with its axes."""
        axes: dict[str, list[int]] = defaultdict(list)
        for name, axis in self.axes:
            axes[name].append(axis)
        return iter(axes.items())

    @torch.no_grad()
    def erase(self, module: nn.Module, chosen: Tensor) -> None:
        """Set all slices of the chosen channels to zero, in place.

        Args:
            module: Whose weights.
            chosen: bool (channels,).
        """
        weights = [weight_of(module, name) for name, _ in self.axes]
        extents = [weight.shape[axis] for weight, (_, axis) in zip(weights, self.axes, strict=True)]
        erased = torch.zeros(sum(extents), dtype=torch.bool, device=self.positions.device)
        erased[self.positions[chosen.to(self.positions.device)[self.channels]]] = True
        for weight, (_, axis), bits in zip(weights, self.axes, erased.split(extents), strict=True):
            weight.masked_fill_(along(bits.to(weight.device), axis, weight.dim()), 0)

    def to(self, device: torch.device) -> "Sites":
        moved = {name: getattr(self, name).to(device) for name in ("positions", "channels", "group")}
        return replace(self, **moved)


def axis_sums(
    module: nn.Module, name: str, axes: list[int], elementwise: Callable[[Tensor], Tensor]
) -> Iterator[Tensor]:
    """For each axis of a weight the sums over its slices: (extent,)."""
    values = elementwise(weight_of(module, name))
    for axis in axes:
        others = [a for a in range(values.dim()) if a != axis]
        yield values.sum(others) if others else values


def weight_of(module: nn.Module, name: str) -> Tensor:
    """The live weight of an initializer."""
    assert isinstance(module, OnnxModule)
    weight: Tensor = module.tensor(name)
    return weight


def along(values: Tensor, axis: int, rank: int) -> Tensor:
    """A vector shaped to broadcast along an axis."""
    return values.reshape([-1 if a == axis else 1 for a in range(rank)])


def sites_of(groups: Groups, module: OnnxModule, choose: Choose) -> Sites:
    """The slices of these members, of all groups that may lose channels, as far as they are trained.

    Args:
        groups: Of the model that the module was made of.
        module: Its parameters by initializer name.
        choose: Which members of a group.
    """
    found: dict[tuple[str, int], list[tuple[NDArray[np.int64], NDArray[np.int64]]]] = defaultdict(list)
    first = 0
    for group in groups.prunable:
        for member in choose(group):
            width = member.positions.shape[1]
            channels = np.repeat(np.arange(first, first + group.channels), width)
            found[member.tensor, member.axis].append((member.positions.ravel(), channels))
        first += group.channels
    axes = tuple(sorted(found))
    extents = [module.tensor(name).shape[axis] for name, axis in axes]
    starts = np.cumsum([0, *extents])[:-1]
    every = [
        (start + at, channel) for start, axis in zip(starts, axes, strict=True) for at, channel in found[axis]
    ]
    nothing = [np.zeros(0, np.int64)]
    positions = np.concatenate([at for at, _ in every] or nothing)
    channels = np.concatenate([channel for _, channel in every] or nothing)
    group_of = np.repeat(np.arange(len(groups.prunable)), [g.channels for g in groups.prunable])
    at, whose, group_at = (torch.from_numpy(array) for array in (positions, channels, group_of))
    return Sites(axes, at, whose, group_at, tuple(group.name for group in groups.prunable))


def trained_members(groups: Groups, module: OnnxModule) -> Choose:
    """Gives the members of a group that training changes, those of BatchNormalization put back included."""
    trained = {name: weight.shape for name, weight in module.weights() if weight.requires_grad}
    norms = put_back(groups.graph, module)

    def choose(group: Group) -> tuple[Member, ...]:
        own = [
            member
            for member in group.members
            if member.tensor in trained
            and trained[member.tensor] == groups.graph.initializers[member.tensor].shape
        ]
        filters = [m for m in group.members if m.axis == 0 and m.role == "out" and m.tensor in norms]
        added = [
            Member(norms[m.tensor] + part, 0, m.positions, "other") for m in filters for part in TRAINED_PARTS
        ]
        return (*own, *added)

    return choose


def put_back(graph: Graph, module: OnnxModule) -> dict[str, str]:
    """By weight of a convolution: its output value, where a BatchNormalization was put behind it."""
    held = module.initializers
    convolutions = [node for node in graph.nodes if node.op_type == "Conv"]
    return {n.inputs[1]: n.outputs[0] for n in convolutions if n.outputs[0] + PARTS[0] in held}


def producers(members: tuple[Member, ...]) -> tuple[Member, ...]:
    """The weights that make the channels; where nothing does, those that use them, else all."""
    for role in ("out", "in"):
        found = tuple(member for member in members if member.role == role)
        if found:
            return found
    return members


def scales(graph: Graph, members: tuple[Member, ...]) -> tuple[Member, ...]:
    """Those members that are the factor of a normalisation by statistics."""
    return tuple(m for m in members if m.tensor.endswith(PARTS[0]) or is_scale(graph, m.tensor))


def is_scale(graph: Graph, name: str) -> bool:
    readers = [(graph.nodes[edge.node], edge.slot) for edge in graph.consumers.get(name, ())]
    return any(NORMALISATION_SCALE.get((node.domain, node.op_type)) == slot for node, slot in readers)


def lowest(scores: Tensor, group: Tensor, keep: float) -> Tensor:
    """Bool (channels,): in each group the share 1 - `keep` with the lowest scores, never the whole group.

        lowest([3, 1, 2, 9], group=[0, 0, 0, 1], keep=0.5)  # [False, True, False, False]

    Of equal scores the first goes first. The same on every device.
    """
    where, scores, group = scores.device, scores.detach().cpu(), group.cpu()
    order = torch.sort(scores, stable=True).indices
    order = order[torch.sort(group[order], stable=True).indices]
    counts = torch.bincount(group)
    leave = torch.minimum(((1 - keep) * counts.double() + 1e-9).long(), counts - 1)
    starts = counts.cumsum(0) - counts
    rank = torch.arange(len(group)) - starts[group[order]]
    chosen = torch.zeros(len(group), dtype=torch.bool)
    chosen[order] = rank < leave[group[order]]
    return chosen.to(where)

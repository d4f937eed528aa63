"""Criteria that ask how the loss answers, by gradients on calibration samples through the torch round trip.

Labels of classes make the loss a cross-entropy; without them it is how far the model's outputs move
(`onnxprune.converters.sensitivity` says how). BatchNormalization keeps its statistics. Rows run one by one,
or in the batch that a model fixes: every square is that of a sample, or of the mean over such a batch.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from onnxprune.calibration.dequantised import Floats, quantisation
from onnxprune.calibration.feeds import fixed_batch, portions
from onnxprune.criteria.magnitude import scales
from onnxprune.criteria.options import Options, Scores, required
from onnxprune.criteria.weights import channel_sums, learned
from onnxprune.errors import DataError, UnsupportedError
from onnxprune.groups import Groups, Member
from onnxprune.onnx_file import Graph

if TYPE_CHECKING:
    from onnxprune.converters.sensitivity import Answer, Probe

Arrays = dict[str, Floats]  # by initializer
Members = dict[str, tuple[Member, ...]]  # by group
LABELS = "\0labels"  # ride along with the inputs; no value of a model is called so


def taylor(groups: Groups, options: Options) -> Scores:
    """Sum of |w * dL/dw| over all coupled sites, L the mean loss: what the loss changes, to first order.

    Molchanov et al., Importance Estimation for Neural Network Pruning, CVPR 2019, section 3.1 (its square
    root), over the coupled sites of DepGraph (Fang et al., CVPR 2023).
    """
    members, products = first_order(groups, options, "taylor")
    return summed(groups, members, {name: np.abs(product) for name, product in products.items()})


def taylor_sum(groups: Groups, options: Options) -> Scores:
    """|sum of w * dL/dw| over all coupled sites: the change, to first order, when they vanish together.

    Molchanov et al. 2019, equation 8 without the square. Terms of unlike sign cancel, as they do in the loss.
    """
    members, products = first_order(groups, options, "taylor-sum")
    return {name: np.abs(values) for name, values in summed(groups, members, products).items()}


def hessian(groups: Groups, options: Options) -> Scores:
    """Sum of w^2 * E[g^2] over all coupled sites, g the gradient of one sample.

    LeCun et al., Optimal Brain Damage, NIPS 1989, equation 4 without its half, with the diagonal of the
    Hessian as that of the Fisher information (Theis et al., arXiv 1801.05787, equation 7).
    """
    probing = Probing(groups, options, "hessian")
    members = {group.name: learned(groups, group) for group in groups.prunable}
    probe = probing.probe(weights=tensors_of(members), drawn=True)
    means = probing.means(probe, lambda answer: {n: np.square(g) for n, g in answer.weights.items()})
    products = {name: np.square(numbers(groups.graph, name)) * mean for name, mean in means.items()}
    return summed(groups, members, products)


def bn_gate(groups: Groups, options: Options) -> Scores:
    """Mean over samples of (gamma * dL/dgamma + beta * dL/dbeta)^2, behind each BatchNormalization.

    Molchanov et al. 2019, section 4.1: the square of the derivative by a gate of 1 on a channel. It is taken
    at the value itself, sum of y * dL/dy, which is the same number; so where export has folded the
    normalisation into a convolution, the gate stands behind the convolution and gives what it gave. A channel
    that passes several gates takes their mean.
    """
    probing = Probing(groups, options, "bn-gate")
    gates = gates_of(groups)
    probe = probing.probe(gates=[gate.value for gate in gates], drawn=True)

    def squares(answer: "Answer") -> Arrays:
        found = [(gate, answer.gates[gate.value]) for gate in gates if gate.value in answer.gates]
        return {f"{gate.group}\0{gate.value}": np.square(gate.sums(value)) for gate, value in found}

    by_group: dict[str, list[Floats]] = defaultdict(list)
    for key, values in probing.means(probe, squares).items():
        by_group[key.partition("\0")[0]].append(values)
    return {name: np.mean(values, axis=0) for name, values in by_group.items()}


@dataclass(frozen=True)
class Probing:
    """What gradients are asked of, and for whom."""

    groups: Groups
    options: Options
    name: str

    def probe(
        self, *, weights: Collection[str] = (), gates: Sequence[str] = (), drawn: bool = False
    ) -> "Probe":
        """The model that is asked.

        Raises:
            DataError: E501, there are no calibration samples.
            UnsupportedError: E406, the model cannot be trained.
        """
        required(self.options, self.name)
        from onnxprune.converters.sensitivity import Probe  # noqa: PLC0415 - imports torch

        seed, graph = self.options.seed, self.groups.graph
        probe = Probe(graph, weights=weights, gates=gates, drawn=drawn, seed=seed)
        if not gates and not probe.weights:
            raise UnsupportedError(
                "E406",
                f"{self.name}: no prunable channel of {graph.path.name} has weights that can be trained",
                hint="use a criterion without gradients, such as wanda",
            )
        return probe

    def means(self, probe: "Probe", looked_at: Callable[["Answer"], Arrays]) -> Arrays:
        """Means over all runs.

        Raises:
            DataError: E503, the samples do not fit the model; E504, there are none; E502, a gradient is NaN.
        """
        totals: Arrays = {}
        count = 0
        for inputs, labels in self.runs():
            count += 1
            for name, values in looked_at(probe(inputs, labels)).items():
                totals[name] = totals.get(name, 0.0) + values.astype(np.float64)
        if not count:
            fixed = fixed_batch(self.groups.graph)
            rows = f" that fill the model's batch of {fixed}" if fixed else ""
            raise DataError("E504", f"there are no calibration inputs{rows}")
        if not all(np.isfinite(total).all() for total in totals.values()):
            raise DataError("E502", f"{self.name}: gradients of {self.groups.graph.path.name} are not finite")
        return {name: total / count for name, total in totals.items()}

    def runs(self) -> Iterator[tuple[dict[str, NDArray[Any]], NDArray[Any] | None]]:
        """Inputs and labels of each run."""
        feeds = (
            batch.inputs if batch.labels is None else {**batch.inputs, LABELS: batch.labels}
            for batch in required(self.options, self.name)
        )
        for portion in portions(self.groups.graph, feeds, 1):
            inputs = dict(portion)
            labels = inputs.pop(LABELS, None)
            yield inputs, labels


def first_order(groups: Groups, options: Options, name: str) -> tuple[Members, Arrays]:
    """The coupled sites of each group, and w * dL/dw of their tensors, L the mean loss over all runs."""
    probing = Probing(groups, options, name)
    members = {group.name: learned(groups, group) for group in groups.prunable}
    probe = probing.probe(weights=tensors_of(members))
    means = probing.means(probe, lambda answer: answer.weights)
    return members, {tensor: numbers(groups.graph, tensor) * mean for tensor, mean in means.items()}


def summed(groups: Groups, members: Members, products: Arrays) -> Scores:
    """Sums over the slices of each channel, of those tensors that there are products of."""
    scores: Scores = {}
    for name, own in members.items():
        known = [member for member in own if member.tensor in products]
        if known:
            sums = {(m.tensor, m.axis): along(products[m.tensor], m.axis) for m in known}
            scores[name] = channel_sums(known, sums, groups[name].channels)
    return scores


def along(values: Floats, axis: int) -> Floats:
    """Sums over all other axes: (extent,)."""
    found: Floats = values.sum(axis=tuple(a for a in range(values.ndim) if a != axis))
    return found


def numbers(graph: Graph, name: str) -> Floats:
    """A weight as what its gradient is multiplied with: integers count from their zero point.

    The scale that they are multiplied with afterwards is in the gradient already.
    """
    stored = graph.initializers[name]
    zero, _ = quantisation(graph, stored)
    values = stored.array().astype(np.float64)
    return values if zero is None else values - zero


def tensors_of(members: Members) -> set[str]:
    return {member.tensor for own in members.values() for member in own}


@dataclass(frozen=True)
class Gate:
    """A factor of 1 on the channels of a group, at one value.

    Attributes:
        group, channels: Whose channels, and how many.
        value, axis: Where.
        at, channel: (n,) indices on the axis, and the channel of each.
    """

    group: str
    channels: int
    value: str
    axis: int
    at: NDArray[np.int64]
    channel: NDArray[np.int64]

    def sums(self, product: NDArray[Any]) -> Floats:
        """(channels,) the derivative by each factor, from value * gradient."""
        by_index = along(product.astype(np.float64), self.axis)
        return np.bincount(self.channel, by_index[self.at], minlength=self.channels).astype(np.float64)


def gates_of(groups: Groups) -> list[Gate]:
    """Behind each normalisation that a group runs through; where there is none, behind what makes it."""
    graph, made = groups.graph, makers(groups)
    gates = []
    for number, group in enumerate(groups):
        if group.frozen is None:
            norms = {e.node for m in scales(groups, group) for e in graph.consumers.get(m.tensor, ())}
            values = [v for node in sorted(norms or made[number]) for v in graph.nodes[node].outputs if v]
            gates += [gate for value in values if (gate := gate_at(groups, number, value)) is not None]
    return gates


def makers(groups: Groups) -> dict[int, set[int]]:
    """By number of a group: the nodes in which its channels come into being."""
    found: dict[int, set[int]] = defaultdict(set)
    for node in groups.graph.nodes:
        for labels in groups.produced_at.get(node.name, ()):
            for number in np.unique(groups.components.group[labels]).tolist():
                found[number].add(node.index)
    return found


def gate_at(groups: Groups, number: int, value: str) -> Gate | None:
    """The gate on the first axis of a value that a group runs over."""
    for axis, labels in enumerate(groups.axis_labels(value)):
        if labels is None:
            continue
        at = np.flatnonzero(groups.components.group[labels] == number)
        if len(at):
            group, channel = groups.items[number], groups.components.channel[labels[at]]
            return Gate(group.name, group.channels, value, axis, at, channel)
    return None

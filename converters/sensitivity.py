"""How a loss answers to the weights of a model and to gates on values inside it, one run after the other.

    probe = Probe(graph, weights=["conv1.weight"], gates=["/bn1/BatchNormalization_output_0"])
    for inputs, labels in rows:
        answer = probe(inputs, labels)  # d loss / d w by weight, v * d loss / d v by value v

Labels of classes make the loss a cross-entropy. Without them the natural loss is how far the outputs move
from what they are, |f - f0|^2 / |f0|^2 a run, scores being taken before a softmax; but its gradient is zero
where it is asked for, at the model itself. What stands for it depends on what becomes of the gradients:

    squared and averaged    the outputs along a drawn direction, <v, f> / |f0| with v ~ N(0, 1). The mean
                            square of its gradient J^T v / |f0| is the diagonal of J^T J / |f0|^2, half the
                            Hessian of that distance. Martens, JMLR 21 (2020), sections 8 and 9.2.
    averaged, then judged   |f|^2 / 2 |f0|^2: how much of the outputs hangs on a weight. (Along drawn
                            directions nothing would be left on average.)

The divergence of softmaxes would be the other distance. Where a model is sure of nearly every sample, as of
those that it was trained on, that hangs on the few others, and orders channels worse.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from onnxprune.converters.outputs import is_classifier, view_of
from onnxprune.converters.round_trip import to_torch
from onnxprune.converters.types import tensor_of
from onnxprune.errors import DataError, UnsupportedError
from onnxprune.onnx_file import Graph

Array = NDArray[Any]
TINY = 1e-12


@dataclass(frozen=True)
class Answer:
    """Of one run.

    Attributes:
        weights: d loss / d w, by initializer name, in its shape.
        gates: v * d loss / d v elementwise, by value name; the derivative by a factor of 1 on each element.
            Values that the loss does not depend on are left out.
    """

    weights: dict[str, Array]
    gates: dict[str, Array]


class Probe:
    """A model that tells how its loss answers; it stays as it is.

    Args:
        graph: The model.
        weights: Initializers to ask for; those that training would not change are left out.
        gates: Values to ask for.
        drawn: Without labels, look at the outputs along drawn directions.
        seed: Of these.

    Raises:
        UnsupportedError: E406, an operator that cannot be trained, or no floating-point output.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        weights: Collection[str] = (),
        gates: Sequence[str] = (),
        drawn: bool = False,
        seed: int = 0,
    ) -> None:
        self.graph = graph
        self.module = to_torch(graph, master=True).eval()
        self.classes = is_classifier(graph, labelled=True)
        self.view = view_of(graph, classes=self.classes)
        self.weights = {n: w for n, w in self.module.weights() if n in weights and self.is_whole(n, w)}
        self.gates = tuple(gates)
        self.rng = np.random.default_rng(seed) if drawn else None

    def is_whole(self, name: str, weight: nn.Parameter) -> bool:
        return tuple(weight.shape) == self.graph.initializers[name].shape

    def __call__(self, inputs: Mapping[str, Array], labels: Array | None = None) -> Answer:
        """The answer of one run to the mean of the loss over its rows.

        Args:
            inputs: By name; as many rows as the model takes at once.
            labels: One whole number a row; others are no classes and do not count.

        Raises:
            DataError: E503, the inputs do not fit the model; E507, a label that is none of its classes.
            UnsupportedError: E406, the loss cannot be differentiated.
        """
        outputs, tapped = self.forward(inputs)
        loss = self.loss(outputs, labels)
        seen = {name: tapped[name] for name in self.gates if name in tapped and tapped[name].requires_grad}
        gradients = self.differentiated(loss, [*self.weights.values(), *seen.values()])
        own, others = gradients[: len(self.weights)], gradients[len(self.weights) :]
        return Answer(
            {n: as_array(g, like=w) for (n, w), g in zip(self.weights.items(), own, strict=True)},
            {n: as_array(v * g) for (n, v), g in zip(seen.items(), others, strict=True) if g is not None},
        )

    def forward(self, inputs: Mapping[str, Array]) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
        """What the loss looks at, and the values that were asked for."""
        wanted = (*self.view.taps, *self.gates)
        try:
            found = self.module(*(tensor_of(inputs[name]) for name in self.module.input_names), taps=wanted)
        except (RuntimeError, ValueError, IndexError, TypeError, KeyError) as error:
            cause = "\n".join([str(error), *getattr(error, "__notes__", ())])
            raise DataError("E503", "the model does not take the calibration inputs", cause=cause) from error
        outputs, tapped = found if wanted else (found, {})
        every = outputs if isinstance(outputs, tuple) else (outputs,)
        main = (
            (tapped[self.view.scores],) if self.view.scores else tuple(every[at] for at in self.view.outputs)
        )
        return tuple(value.float() for value in main), tapped

    def loss(self, outputs: tuple[Tensor, ...], labels: Array | None) -> Tensor:
        first = outputs[0]
        if self.classes and labels is not None and labels.dtype.kind in "iub" and labels.size == len(first):
            return functional.cross_entropy(first, self.checked(labels, first.shape[1]))
        return torch.stack([self.moved(value) for value in outputs]).sum()

    def checked(self, labels: Array, classes: int) -> Tensor:
        """Raises: DataError: E507, a label that is none of the classes."""
        if labels.min() < 0 or labels.max() >= classes:
            raise DataError(
                "E507",
                f"labels {labels.min()} to {labels.max()} for a model of {classes} classes",
                hint="labels count from 0; leave them out, and the model's own outputs stand for them",
            )
        return torch.from_numpy(labels.reshape(-1).astype(np.int64))

    def moved(self, value: Tensor) -> Tensor:
        """Half the square of an output relative to its own; or its part along a drawn direction."""
        norm = value.detach().norm().clamp_min(TINY)
        if self.rng is None:
            return (value / norm).square().sum() / 2
        direction = torch.from_numpy(self.rng.standard_normal(tuple(value.shape)))
        return (value * direction.to(value.dtype)).sum() / norm

    def differentiated(self, loss: Tensor, places: list[Tensor]) -> Sequence[Tensor | None]:
        """Gradients of the loss; None where it does not depend on a place.

        Raises:
            UnsupportedError: E406, some operator has no gradient.
        """
        if not places or not loss.requires_grad:
            return [None] * len(places)
        try:
            return torch.autograd.grad(loss, places, allow_unused=True)
        except RuntimeError as error:
            name = self.graph.path.name
            raise UnsupportedError(
                "E406", f"the loss of {name} cannot be differentiated", cause=str(error)
            ) from error


def as_array(gradient: Tensor | None, *, like: Tensor | None = None) -> Array:
    """A gradient as numpy has it; zeros where there is none."""
    if gradient is None:
        assert like is not None
        return np.zeros(tuple(like.shape), np.float32)
    found: Array = gradient.detach().numpy()
    return found

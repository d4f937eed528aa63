"""Which values of a model a loss looks at."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from onnxprune.errors import UnsupportedError, UsageError
from onnxprune.onnx_file import Graph
from onnxprune.onnx_file.graph import Node

FLOATS = (np.dtype("float16"), np.dtype("float32"), np.dtype("float64"))
SCORES_OF_CLASSES = ("Softmax", "LogSoftmax")
PASSED = ("Identity", "Dropout", "Cast")


@dataclass(frozen=True)
class View:
    """What is read from one run of a module.

    Attributes:
        scores: The value in front of a Softmax that ends the model; "" where the outputs are taken.
        outputs: Positions of the floating-point outputs.
        features: Values compared with the other model's, in its order.
    """

    scores: str
    outputs: tuple[int, ...]
    features: tuple[str, ...] = ()

    @property
    def taps(self) -> tuple[str, ...]:
        return (*((self.scores,) if self.scores else ()), *self.features)


@dataclass(frozen=True)
class Seen:
    """Values of one forward pass, each with the batch axis first."""

    outputs: tuple[Tensor, ...]
    features: tuple[Tensor, ...] = ()


Forward = Callable[[Sequence[Tensor]], Seen]


def view_of(graph: Graph, *, classes: bool, features: tuple[str, ...] = ()) -> View:
    """What to read from a module of `graph`.

    Raises:
        UnsupportedError: E406, no output is floating-point.
    """
    outputs = float_outputs(graph)
    if not outputs:
        raise UnsupportedError("E406", f"{graph.path.name} has no floating-point output to learn from")
    return View(softmax_input(graph) if classes else "", outputs, features)


def float_outputs(graph: Graph) -> tuple[int, ...]:
    return tuple(at for at, value in enumerate(graph.outputs) if value.dtype in FLOATS)


def is_classifier(graph: Graph, *, labelled: bool) -> bool:
    """Whether the only floating-point output has one score a class.

    It must have rank 2 and at least two columns; then labels or a Softmax say so, or ten columns suggest it.
    """
    outputs = float_outputs(graph)
    if len(outputs) != 1:
        return False
    shape = graph.shapes.get(graph.outputs[outputs[0]].name, ())
    if len(shape) != 2 or shape[1] < 2:
        return False
    return labelled or bool(softmax_input(graph)) or shape[1] >= 10


def require_scores(graph: Graph) -> None:
    """Raises: UsageError: E201, the first floating-point output has not one score a class."""
    name = graph.outputs[(float_outputs(graph) or (0,))[0]].name
    shape = graph.shapes.get(name, ())
    if len(shape) != 2 or shape[1] < 2:
        raise UsageError(
            "E201",
            f"--loss kl needs scores of classes, output {name} of {graph.path.name} is {list(shape)}",
            hint="--loss mse or cosine; kl takes (N, classes)",
        )


def softmax_input(graph: Graph) -> str:
    """The value in front of the Softmax or LogSoftmax over classes that ends the model, "" without one."""
    producer = {name: node for node in graph.nodes for name in node.outputs if name}
    outputs = float_outputs(graph)
    node = producer.get(graph.outputs[outputs[0]].name) if outputs else None
    while node is not None and node.op_type in PASSED:
        node = producer.get(node.inputs[0])
    return node.inputs[0] if node is not None and is_over_classes(node, graph) else ""


def is_over_classes(node: Node, graph: Graph) -> bool:
    if node.op_type not in SCORES_OF_CLASSES or node.domain:
        return False
    shape = graph.shapes.get(node.inputs[0], ())
    axis = node.attr("axis", -1 if node.opset >= 13 else 1)
    return len(shape) == 2 and axis in (-1, 1)


def make_forward(module: Callable[..., Any], view: View) -> Forward:
    """Runs a module (or its compiled or parallel form) and picks what the loss needs."""

    def forward(inputs: Sequence[Tensor]) -> Seen:
        if view.taps:
            outputs, taps = module(*inputs, taps=view.taps)
        else:
            outputs, taps = module(*inputs), {}
        every = outputs if isinstance(outputs, tuple | list) else (outputs,)
        main = (taps[view.scores],) if view.scores else tuple(every[at] for at in view.outputs)
        return Seen(main, tuple(taps[name] for name in view.features))

    return forward

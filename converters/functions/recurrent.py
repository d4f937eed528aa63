"""Recurrent layers: torch's fused kernels where they compute the same, else step by step.

Weights keep ONNX's layout; their gates are put into torch's order in the forward pass, so that gradients land
where ONNX has the weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from onnxprune.converters.functions.mapping import is_mapped
from onnxprune.converters.functions.recurrent_steps import (
    States,
    Step,
    activations_of,
    gru_step,
    lstm_step,
    reverse,
    rnn_step,
    scan,
)
from onnxprune.converters.signature import Function

# for each of torch's gates, its place in ONNX
ORDERS = {"RNN": (0,), "GRU": (1, 0, 2), "LSTM": (0, 2, 3, 1)}  # r z n of z r h; i f g o of i o f c


@dataclass(frozen=True)
class Layer:
    """A layer with time in front: X (T, N, inputs), states (directions, N, hidden)."""

    X: Tensor
    W: Tensor  # (directions, gates * hidden, inputs)
    R: Tensor  # (directions, gates * hidden, hidden)
    B: Tensor | None  # (directions, 2 * gates * hidden)
    lengths: Tensor | None
    states: States
    backwards: tuple[bool, ...]

    def bias(self, direction: int) -> tuple[Tensor, Tensor] | None:
        """Of the inputs and of the state."""
        if self.B is None:
            return None
        first, second = self.B[direction].chunk(2)
        return first, second

    def projected(self, direction: int, bias: Tensor | None) -> Tensor:
        """What the inputs add to the gates, (T, N, gates * hidden)."""
        X = reverse(self.X, self.lengths) if self.backwards[direction] else self.X
        return F.linear(X, self.W[direction], bias)


def layer_of(
    inputs: Sequence[Tensor | None], initial: Sequence[Tensor | None], direction: str, layout: int
) -> Layer:
    """Inputs are X, W, R, B and sequence_lens."""
    X, W, R, B, lengths = inputs
    assert X is not None
    assert W is not None
    assert R is not None
    X = X.transpose(0, 1) if layout else X
    backwards = {"forward": (False,), "reverse": (True,)}.get(direction, (False, True))
    zeros = X.new_zeros(len(backwards), X.shape[1], R.shape[2])
    states = tuple(
        zeros if state is None else state.transpose(0, 1) if layout else state for state in initial
    )
    return Layer(X, W, R, B, lengths, states, backwards)


def arranged(Y: Tensor, states: Sequence[Tensor], layout: int) -> tuple[Tensor, ...]:
    """From Y (T, directions, N, hidden) to what the layout says."""
    if layout:
        return (Y.permute(2, 0, 1, 3), *(state.transpose(0, 1) for state in states))
    return (Y, *states)


# --- the two ways ----------------------------------------------------------------------------------------


def fused(layer: Layer, kind: str, kernel: Any) -> tuple[Tensor, list[Tensor]]:
    """By torch's kernel; a sequence's end is looked up in the outputs, so there is no last cell."""
    X = layer.X
    weights: list[Tensor] = []
    order, single = ORDERS[kind], layer.backwards == (True,)
    for direction in range(len(layer.backwards)):
        parts = [layer.W[direction], layer.R[direction], *(layer.bias(direction) or ())]
        weights.extend(torch.cat([part.chunk(len(order))[i] for i in order]) for part in parts)
    if layer.lengths is not None and not single and len(layer.backwards) > 1:
        return halves(layer, kind, kernel)
    X = reverse(X, layer.lengths) if single else X
    start = layer.states if kind == "LSTM" else layer.states[0]
    both = len(layer.backwards) > 1
    Y, *last = kernel(X, start, weights, layer.B is not None, 1, 0.0, False, both, False)
    Y = Y.unflatten(2, (len(layer.backwards), -1))  # (T, N, directions, hidden)
    if layer.lengths is not None:
        times = torch.arange(X.shape[0], device=X.device).unsqueeze(1)
        Y = torch.where((times < layer.lengths)[:, :, None, None], Y, 0.0)
        index = (layer.lengths.long() - 1).clamp(min=0)[None, :, None, None].expand(1, *Y.shape[1:])
        found = Y.gather(0, index).squeeze(0).transpose(0, 1)
        last = [torch.where((layer.lengths > 0)[None, :, None], found, layer.states[0])]
    Y = reverse(Y, layer.lengths) if single else Y
    return Y.transpose(1, 2), last


def halves(layer: Layer, kind: str, kernel: Any) -> tuple[Tensor, list[Tensor]]:
    """Both directions apart, as each sequence is turned around by itself."""
    results = []
    for direction, backwards in enumerate(layer.backwards):
        only = slice(direction, direction + 1)
        B = None if layer.B is None else layer.B[only]
        states = tuple(state[only] for state in layer.states)
        part = Layer(layer.X, layer.W[only], layer.R[only], B, layer.lengths, states, (backwards,))
        results.append(fused(part, kind, kernel))
    Y = torch.cat([Y for Y, _ in results], 1)
    return Y, [torch.cat(last) for last in zip(*(last for _, last in results), strict=True)]


def stepped(layer: Layer, biases: Sequence[Tensor | None], steps: Sequence[Step]) -> tuple[Tensor, Any]:
    """Step by step; `biases` of the inputs and `steps`, of each direction."""
    outputs, ends = [], []
    for direction, (bias, step) in enumerate(zip(biases, steps, strict=True)):
        states = tuple(state[direction] for state in layer.states)
        Y, last = scan(layer.projected(direction, bias), states, step, layer.lengths)
        outputs.append(reverse(Y, layer.lengths) if layer.backwards[direction] else Y)
        ends.append(last)
    return torch.stack(outputs, 1), [torch.stack(states) for states in zip(*ends, strict=True)]


def sums(layer: Layer) -> list[Tensor | None]:
    """Both biases together, of each direction."""
    pairs = [layer.bias(direction) for direction in range(len(layer.backwards))]
    return [None if pair is None else pair[0] + pair[1] for pair in pairs]


def are(activations: Sequence[str] | None, default: Sequence[str]) -> bool:
    """Whether activations are these in each direction."""
    names = [name.lower() for name in activations or default]
    return all(name == default[i % len(default)].lower() for i, name in enumerate(names))


def fits(layer: Layer, clip: float | None) -> bool:
    """Whether torch's kernels may be called: not under vmap, which has no rule for them."""
    return not clip and not is_mapped(layer.X, layer.W, layer.R) and layer.X.shape[0] > 0


# --- operators -------------------------------------------------------------------------------------------


def rnn(
    X: Tensor,
    W: Tensor,
    R: Tensor,
    B: Tensor | None = None,
    sequence_lens: Tensor | None = None,
    initial_h: Tensor | None = None,
    *,
    activation_alpha: list[float] | None = None,
    activation_beta: list[float] | None = None,
    activations: list[str] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    layout: int = 0,
    _outputs: int,
) -> Any:
    layer = layer_of((X, W, R, B, sequence_lens), (initial_h,), direction, layout)
    kernels = [kernel for name, kernel in RNN_KERNELS.items() if are(activations or ["Tanh"], [name])]
    if kernels and fits(layer, clip):
        Y, last = fused(layer, "RNN", kernels[0])
    else:
        names = activations or ["Tanh"] * len(layer.backwards)
        functions = activations_of(names, activation_alpha, activation_beta, [clip] * len(names))
        steps = [rnn_step(R[i], f) for i, f in enumerate(functions[: len(layer.backwards)])]
        Y, last = stepped(layer, sums(layer), steps)
    return arranged(Y, last, layout)[:_outputs]


RNN_KERNELS: dict[str, Any] = {"Tanh": torch.rnn_tanh, "Relu": torch.rnn_relu}


def gru(
    X: Tensor,
    W: Tensor,
    R: Tensor,
    B: Tensor | None = None,
    sequence_lens: Tensor | None = None,
    initial_h: Tensor | None = None,
    *,
    activation_alpha: list[float] | None = None,
    activation_beta: list[float] | None = None,
    activations: list[str] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    layout: int = 0,
    linear_before_reset: int = 0,
    _outputs: int,
) -> Any:
    layer = layer_of((X, W, R, B, sequence_lens), (initial_h,), direction, layout)
    default = ["Sigmoid", "Tanh"]
    if linear_before_reset and are(activations, default) and fits(layer, clip):
        Y, last = fused(layer, "GRU", torch.gru)
        return arranged(Y, last, layout)[:_outputs]
    names = activations or default * len(layer.backwards)
    functions = activations_of(names, activation_alpha, activation_beta, [clip] * len(names))
    pairs = [gru_biases(layer.bias(i), R.shape[2]) for i in range(len(layer.backwards))]
    steps = [
        gru_step(R[i], own, *functions[2 * i : 2 * i + 2], linear_first=bool(linear_before_reset))
        for i, (_, own) in enumerate(pairs)
    ]
    biases = [bias for bias, _ in pairs]
    Y, last = stepped(layer, biases, steps)
    return arranged(Y, last, layout)[:_outputs]


def gru_biases(pair: tuple[Tensor, Tensor] | None, hidden: int) -> tuple[Tensor | None, Tensor | None]:
    """What goes with the inputs, and the recurrent bias of h, which the reset gate may scale."""
    if pair is None:
        return None, None
    first, second = pair
    return first + F.pad(second[: 2 * hidden], (0, hidden)), second[2 * hidden :]


def lstm(
    X: Tensor,
    W: Tensor,
    R: Tensor,
    B: Tensor | None = None,
    sequence_lens: Tensor | None = None,
    initial_h: Tensor | None = None,
    initial_c: Tensor | None = None,
    P: Tensor | None = None,
    *,
    activation_alpha: list[float] | None = None,
    activation_beta: list[float] | None = None,
    activations: list[str] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    input_forget: int = 0,
    layout: int = 0,
    _outputs: int,
) -> Any:
    layer = layer_of((X, W, R, B, sequence_lens), (initial_h, initial_c), direction, layout)
    default = ["Sigmoid", "Tanh", "Tanh"]
    usual = are(activations, default) and P is None and not input_forget
    if usual and fits(layer, clip) and (sequence_lens is None or _outputs < 3):
        Y, last = fused(layer, "LSTM", torch.lstm)
        return arranged(Y, last, layout)[:_outputs]
    names = activations or default * len(layer.backwards)
    # as in ONNX Runtime, what leaves the cell is not clipped
    clips = [clip, clip, None] * len(layer.backwards)
    functions = activations_of(names, activation_alpha, activation_beta, clips)
    steps = [
        lstm_step(
            R[i],
            None if P is None else P[i],
            functions[3 * i : 3 * i + 3],
            input_forget=bool(input_forget),
        )
        for i in range(len(layer.backwards))
    ]
    Y, last = stepped(layer, sums(layer), steps)
    return arranged(Y, last, layout)[:_outputs]


OPERATORS: dict[str, dict[int, Function]] = {"GRU": {7: gru}, "LSTM": {7: lstm}, "RNN": {7: rnn}}

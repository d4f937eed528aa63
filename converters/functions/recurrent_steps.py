"""Recurrent layers step by step, for what torch's fused kernels do not compute."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

Activation = Callable[[Tensor], Tensor]
States = tuple[Tensor, ...]  # of one direction, (N, hidden) each; the first is what is put out
Step = Callable[[Tensor, States], States]

# --- activations -----------------------------------------------------------------------------------------

PLAIN: dict[str, Activation] = {
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "softplus": F.softplus,
    "softsign": F.softsign,
    "tanh": torch.tanh,
}
WITH_ALPHA: dict[str, tuple[Callable[[Tensor, float], Tensor], float]] = {
    "elu": (F.elu, 1.0),
    "leakyrelu": (F.leaky_relu, 0.01),
    "thresholdedrelu": (lambda x, alpha: torch.where(x > alpha, x, 0.0), 1.0),
}
WITH_BOTH: dict[str, tuple[Callable[[Tensor, float, float], Tensor], float, float]] = {
    "affine": (lambda x, alpha, beta: alpha * x + beta, 1.0, 0.0),
    "hardsigmoid": (lambda x, alpha, beta: (alpha * x + beta).clamp(0, 1), 0.2, 0.5),
    "scaledtanh": (lambda x, alpha, beta: alpha * torch.tanh(beta * x), 1.0, 1.0),
}


def activations_of(
    names: Sequence[str],
    alphas: Sequence[float] | None,
    betas: Sequence[float] | None,
    clips: Sequence[float | None],
) -> list[Activation]:
    """The functions; each takes of the numbers as many as it has, in order."""
    alpha, beta = iter(alphas or ()), iter(betas or ())
    return [
        clipped(activation(name.lower(), alpha, beta), clip) for name, clip in zip(names, clips, strict=False)
    ]


def activation(name: str, alphas: Iterator[float], betas: Iterator[float]) -> Activation:
    if name in PLAIN:
        return PLAIN[name]
    if name in WITH_ALPHA:
        sloped, default = WITH_ALPHA[name]
        alpha = next(alphas, default)
        return lambda x: sloped(x, alpha)
    shaped, default, other = WITH_BOTH[name]
    alpha, beta = next(alphas, default), next(betas, other)
    return lambda x: shaped(x, alpha, beta)


def clipped(function: Activation, clip: float | None) -> Activation:
    return function if not clip else lambda x: function(x.clamp(-clip, clip))


# --- cells -----------------------------------------------------------------------------------------------


def rnn_step(R: Tensor, f: Activation) -> Step:
    def step(x: Tensor, states: States) -> States:
        return (f(x + states[0] @ R.T),)

    return step


def gru_step(R: Tensor, bias: Tensor | None, f: Activation, g: Activation, *, linear_first: bool) -> Step:
    """Gates z, r, h; `bias` is the recurrent one of h."""
    hidden = R.shape[1]
    R_zr, R_h = R[: 2 * hidden], R[2 * hidden :]

    def step(x: Tensor, states: States) -> States:
        (H,) = states
        z, r = f(x[:, : 2 * hidden] + H @ R_zr.T).chunk(2, 1)
        inner = r * F.linear(H, R_h, bias) if linear_first else F.linear(r * H, R_h, bias)
        h = g(x[:, 2 * hidden :] + inner)
        return ((1 - z) * h + z * H,)

    return step


def lstm_step(
    R: Tensor, peepholes: Tensor | None, functions: Sequence[Activation], *, input_forget: bool
) -> Step:
    """Gates i, o, f, c."""
    f, g, h = functions
    P_i, P_o, P_f = peepholes.chunk(3) if peepholes is not None else (None, None, None)

    def peeped(gate: Tensor, P: Tensor | None, C: Tensor) -> Tensor:
        return f(gate if P is None else gate + P * C)

    def step(x: Tensor, states: States) -> States:
        H, C = states
        i, o, forget, c = (x + H @ R.T).chunk(4, 1)
        i = peeped(i, P_i, C)
        kept = 1 - i if input_forget else peeped(forget, P_f, C)
        C = kept * C + i * g(c)
        return peeped(o, P_o, C) * h(C), C

    return step


# --- time ------------------------------------------------------------------------------------------------


def scan(projected: Tensor, states: States, step: Step, lengths: Tensor | None) -> tuple[Tensor, States]:
    """Outputs (T, N, hidden) and the last states; behind a sequence's end are zeros."""
    outputs = []
    for t, x in enumerate(projected):
        new = step(x, states)
        if lengths is None:
            outputs.append(new[0])
            states = new
            continue
        going = (lengths > t).unsqueeze(1)
        outputs.append(torch.where(going, new[0], 0.0))
        states = tuple(torch.where(going, a, b) for a, b in zip(new, states, strict=True))
    return torch.stack(outputs), states


def reverse(X: Tensor, lengths: Tensor | None) -> Tensor:
    """Each sequence backwards, (T, N, ...); what is behind its end stays there."""
    if lengths is None:
        return X.flip(0)
    times = torch.arange(X.shape[0], device=X.device).unsqueeze(1)
    index = torch.where(times < lengths, lengths - 1 - times, times)
    return X.gather(0, index.reshape(*index.shape, *[1] * (X.dim() - 2)).expand(X.shape))

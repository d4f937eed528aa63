"""BatchNormalization that export folded into convolutions: put back for training, folded again afterwards.

    x -> Conv(W, b) -> y   becomes   x -> Conv(W, b) -> y* -> BatchNormalization -> y

with running mean m and variance v of y* on calibration inputs, scale sqrt(v + eps) and bias m: the function
is the same at the start. Folding back gives W g and (b - m) g + bias, g = scale / sqrt(v + eps), so the file
keeps the nodes it had.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from onnxprune.converters.functions.normalization import batch_normalization
from onnxprune.converters.module import OnnxModule
from onnxprune.converters.signature import signature_of
from onnxprune.converters.steps import Plan, Source, Step

EPSILON = 1e-5
KEPT = 0.9  # share of the running statistics that a batch leaves
BEFORE = "·before"
PARTS = ("·scale", "·bias", "·mean", "·var")
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
Moments = tuple[Tensor, Tensor]  # mean and variance, float64 (channels,)


@dataclass(frozen=True)
class Folded:
    """A convolution that can carry a BatchNormalization: its output, weight and bias, by name."""

    value: str
    weight: str
    bias: str


def folded_convolutions(module: OnnxModule) -> tuple[Folded, ...]:
    """Convolutions with a weight and a bias of their own whose output other weights read, in order.

    Left out are those that a BatchNormalization follows already, and prediction heads.
    """
    plan = module._plan
    uses = Counter(s.name for step in plan.steps for s in step.sources)
    normalised = {step.sources[0].name for step in plan.steps if step.op_type == "BatchNormalization"}
    inner = upstream_of_weights(plan)
    trained = dict(module.weights())
    found = []
    for step in plan.steps:
        if step.op_type != "Conv" or len(step.sources) < 3 or step.outputs[0] in normalised:
            continue
        weight, bias = (source.name for source in step.sources[1:3])
        own = all(name in trained and uses[name] == 1 for name in (weight, bias))
        if own and step.outputs[0] in inner:
            found.append(Folded(step.outputs[0], weight, bias))
    return tuple(found)


def upstream_of_weights(plan: Plan) -> set[str]:
    """Values that a convolution or a matrix product further on depends on."""
    found: set[str] = set()
    for step in reversed(plan.steps):
        if step.op_type in WEIGHTED or found.intersection(step.outputs):
            found.update(source.name for source in step.sources)
    return found


def insert_batch_norm(module: OnnxModule, batches: Iterable[Sequence[Tensor]]) -> tuple[Folded, ...]:
    """Put a BatchNormalization behind each convolution that can carry one, in place.

    Args:
        module: Computes the same as before, in eval mode.
        batches: Calibration inputs, as the module takes them, from which the statistics come.

    Returns:
        Where they were put; none where there is nothing to put them behind, or no batch.
    """
    found = folded_convolutions(module)
    moments = measure_moments(module, [f.value for f in found], batches) if found else {}
    if not moments:
        return ()
    for folded in found:
        mean, variance = moments[folded.value]
        bias = module.tensor(folded.bias)
        like = [t.to(bias.dtype) for t in ((variance + EPSILON).sqrt(), mean, mean, variance)]
        for part, tensor in zip(PARTS, like, strict=True):
            trained = part in PARTS[:2]
            module.hold(folded.value + part, nn.Parameter(tensor.clone()) if trained else tensor.clone())
        bias.requires_grad_(False)  # the statistics take away whatever it adds
    module._plan = with_norms(module._plan, {f.value for f in found})
    return found


def measure_moments(
    module: OnnxModule, values: Sequence[str], batches: Iterable[Sequence[Tensor]]
) -> dict[str, Moments]:
    """Mean and variance per channel of each value, over all batches; nothing without a batch."""
    sums: dict[str, list[Tensor]] = {}
    counts: Counter[str] = Counter()
    was_training = module.training
    module.eval()
    with torch.no_grad():
        for inputs in batches:
            _, tapped = module(*inputs, taps=values)
            for name in values:
                rows = tapped[name].double().transpose(0, 1).flatten(1)  # (channels, N * extents)
                new = [rows.sum(1), rows.square().sum(1)]
                sums[name] = [a + b for a, b in zip(sums[name], new, strict=True)] if name in sums else new
                counts[name] += rows.shape[1]
    module.train(was_training)
    means = {name: total / counts[name] for name, (total, _) in sums.items()}
    return {n: (means[n], (sums[n][1] / counts[n] - means[n] ** 2).clamp(min=0)) for n in means}


def with_norms(plan: Plan, values: set[str]) -> Plan:
    """The plan with a BatchNormalization before each of these values."""
    steps: list[Step] = []
    for step in plan.steps:
        if step.op_type == "Conv" and step.outputs[0] in values:
            value = step.outputs[0]
            drops = tuple(name for name in step.drops if name != value)
            steps.append(replace(step, outputs=(value + BEFORE,), drops=drops))
            steps.append(norm_step(value, dropped=value in step.drops))
        else:
            steps.append(step)
    return replace(plan, steps=tuple(steps))


def norm_step(value: str, *, dropped: bool) -> Step:
    sources = (Source(value + BEFORE), *(Source(value + part) for part in PARTS))
    keywords = {"epsilon": EPSILON, "momentum": KEPT}
    asks = signature_of(batch_normalization).asks
    drops = (value + BEFORE, value) if dropped else (value + BEFORE,)
    return Step(batch_normalization, sources, keywords, asks, (value,), value, "BatchNormalization", drops)


def fold_batch_norm(module: OnnxModule, inserted: Sequence[Folded]) -> None:
    """Undo `insert_batch_norm`, in place: what was trained goes into the convolutions' weights and biases."""
    with torch.no_grad():
        for folded in inserted:
            scale, shift, mean, var = (module.tensor(folded.value + part).double() for part in PARTS)
            weight, bias = module.tensor(folded.weight), module.tensor(folded.bias)
            gain = scale / (var + EPSILON).sqrt()  # (channels,)
            weight.copy_(weight.double() * gain.reshape(-1, *[1] * (weight.dim() - 1)))
            bias.copy_((bias.double() - mean) * gain + shift)
            bias.requires_grad_(True)
            for part in PARTS:
                module.release(folded.value + part)
    values = {folded.value for folded in inserted}
    module._plan = without_norms(module._plan, values)


def without_norms(plan: Plan, values: set[str]) -> Plan:
    steps: list[Step] = []
    for step in plan.steps:
        if step.op_type == "BatchNormalization" and step.outputs[0] in values:
            dropped = tuple(name for name in step.drops if name in values)
            steps[-1] = replace(steps[-1], outputs=step.outputs, drops=steps[-1].drops + dropped)
        else:
            steps.append(step)
    return replace(plan, steps=tuple(steps))

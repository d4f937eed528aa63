"""How good a module is on the search part, higher is better."""

from dataclasses import dataclass

import torch
from torch import Tensor

from onnxprune.converters.outputs import Forward, Seen
from onnxprune.distillation.data import Rows
from onnxprune.distillation.losses import relative_mse

SIZE = 500


@torch.no_grad()
def outputs_of(forward: Forward, rows: Rows, device: torch.device, *, size: int = SIZE) -> Seen:
    """Outputs and features of all rows, in memory."""
    parts = []
    for start in range(0, len(rows), size):
        seen = forward([value[start : start + size].to(device) for value in rows.inputs])
        parts.append(seen)
    return Seen(joined([part.outputs for part in parts]), joined([part.features for part in parts]))


def joined(parts: list[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    return tuple(torch.cat(values) for values in zip(*parts, strict=True))


@dataclass(frozen=True)
class Judge:
    """Scores a module on the search part.

    Attributes:
        rows: The search part.
        teacher: The teacher's outputs for it.
        metric: top1 against the labels, agreement of top1 with the teacher, or fit (1 - relative error).
        device: Where the module lives.
    """

    rows: Rows
    teacher: Seen
    metric: str
    device: torch.device

    def score(self, forward: Forward) -> float:
        return self.of(outputs_of(forward, self.rows, self.device))

    def of(self, seen: Seen) -> float:
        if self.metric == "fit":
            pairs = zip(seen.outputs, self.teacher.outputs, strict=True)
            errors = [float(relative_mse(ours, theirs)) for ours, theirs in pairs]
            return 1 - sum(errors) / len(errors)
        answers = seen.outputs[0].argmax(1)
        wanted = self.rows.labels if self.metric == "top1" else self.teacher.outputs[0].argmax(1)
        assert wanted is not None
        return float((answers == wanted.to(answers.device)).double().mean())


def choose_metric(*, classes: bool, labelled: bool) -> str:
    if not classes:
        return "fit"
    return "top1" if labelled else "agreement"

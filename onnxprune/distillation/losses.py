"""What the student is asked for: the teacher's outputs, and the labels where there are some."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from onnxprune.converters.outputs import Seen

TINY = 1e-12


@dataclass(frozen=True)
class Targets:
    """Labels of a batch, and of what is mixed into it.

    Attributes:
        labels: int64 (N,), or None without labels.
        others: Labels of the rows mixed in; None without mixup.
        share: Share of the first row in each mixture (N,).
    """

    labels: Tensor | None = None
    others: Tensor | None = None
    share: Tensor | None = None


@dataclass(frozen=True)
class Objective:
    """The loss, a weighted sum of its terms.

    Attributes:
        kind: kl, mse or cosine.
        alpha: Share of the teacher's term.
        temperature: Of kl.
        match_weight: Factor on the features' term.
    """

    kind: str
    alpha: float
    temperature: float
    match_weight: float = 1.0

    def __call__(self, student: Seen, teacher: Seen, targets: Targets) -> Tensor:
        """The mean loss of a batch, in float32."""
        loss = self.from_teacher(student.outputs, teacher.outputs)
        if targets.labels is not None and self.alpha < 1:
            own = cross_entropy(student.outputs[0].float(), targets)
            loss = self.alpha * loss + (1 - self.alpha) * own
        for ours, theirs in zip(student.features, teacher.features, strict=True):
            loss = loss + self.match_weight / len(student.features) * relative_mse(ours, theirs)
        return loss

    def from_teacher(self, student: tuple[Tensor, ...], teacher: tuple[Tensor, ...]) -> Tensor:
        if self.kind == "kl":
            return soft_divergence(student[0], teacher[0], self.temperature)
        term = relative_mse if self.kind == "mse" else cosine_distance
        pairs = zip(student, teacher, strict=True)
        return torch.stack([term(ours, theirs) for ours, theirs in pairs]).mean()


def soft_divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 KL(softmax(teacher / T) || softmax(student / T)), mean over rows.

    Args:
        student, teacher: Class scores before softmax (N, classes).
        temperature: T.

    Reference: Hinton et al. 2015 (arXiv 1503.02531), section 2; T^2 keeps the gradient's size.
    """
    ours = functional.log_softmax(student.float() / temperature, dim=-1)
    theirs = functional.log_softmax(teacher.float() / temperature, dim=-1)
    return functional.kl_div(ours, theirs, reduction="batchmean", log_target=True) * temperature**2


def cross_entropy(scores: Tensor, targets: Targets) -> Tensor:
    """Mean over rows; of both labels by their shares where rows are mixtures."""
    assert targets.labels is not None
    if targets.others is None or targets.share is None:
        return functional.cross_entropy(scores, targets.labels)
    first = functional.cross_entropy(scores, targets.labels, reduction="none")
    second = functional.cross_entropy(scores, targets.others, reduction="none")
    return (targets.share * first + (1 - targets.share) * second).mean()


def relative_mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean square of the difference over that of the teacher: 1 for a student that gives zeros."""
    difference = (student.float() - teacher.float()).square().mean()
    return difference / teacher.float().square().mean().clamp_min(TINY)


def cosine_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """1 - cosine of each row, mean over rows."""
    ours, theirs = student.float().flatten(1), teacher.float().flatten(1)
    return 1 - functional.cosine_similarity(ours, theirs, dim=1).mean()

"""The teacher's side of each batch: run again for augmented inputs, looked up for plain ones."""

from dataclasses import dataclass

import torch

from onnxprune.converters.outputs import Forward, Seen
from onnxprune.distillation.augmentation import on
from onnxprune.distillation.data import Batch, Rows
from onnxprune.distillation.evaluation import outputs_of

MOST_CACHED = 2 << 30  # bytes


@dataclass
class Teacher:
    """Gives the teacher's outputs for a batch.

    Attributes:
        forward: Of the module in eval mode.
        cached: Its outputs for all rows of the fit part, where batches are not augmented.
    """

    forward: Forward
    cached: Seen | None = None

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Seen:
        if self.cached is None:
            return self.forward(batch.inputs)
        index = on(batch.rows, self.cached.outputs[0])
        outputs = tuple(value[index] for value in self.cached.outputs)
        return Seen(outputs, tuple(value[index] for value in self.cached.features))

    def remember(self, rows: Rows, device: torch.device, *, size: int) -> None:
        """Run all rows once, in place, where what comes out is small enough to keep."""
        first = Rows(tuple(value[:size] for value in rows.inputs), None)
        probe = outputs_of(self.forward, first, device, size=size)
        each = sum(value.nbytes for value in (*probe.outputs, *probe.features)) / len(first)
        if each * len(rows) <= MOST_CACHED:
            self.cached = outputs_of(self.forward, rows, device, size=size)

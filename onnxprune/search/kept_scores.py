"""Scores of criteria by the calibration samples: computed once, kept in a file beside the sums."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from onnxprune.calibration.feeds import Feed
from onnxprune.criteria import Scores, score
from onnxprune.data import Batch, Samples
from onnxprune.evaluation.files import UNREADABLE, key_of, mapped, one_at_a_time, write_arrays
from onnxprune.groups import Groups

LABELS = "labels of the samples"  # beside their inputs


@dataclass(frozen=True)
class Scorer:
    """Scores by the same samples.

    Attributes:
        groups: Of the original.
        samples: To calibrate on.
        batch: Samples of a batch.
        seed: For criteria that draw.
        folder: Where scores are kept; None: they are not.
        note: Called with the criterion before it is computed.
    """

    groups: Groups
    samples: Samples
    batch: int
    seed: int
    folder: Path | None
    note: Callable[[str], None]

    def scores(self, criterion: str) -> Scores:
        """By group name: those that are kept for this model and these samples, else computed.

        Raises:
            OnnxPruneError: As `score`.
            RuntimeProblem: E605, the disk is full.
        """
        if self.folder is None:
            return self.computed(criterion)
        path = self.folder / self.name(criterion)
        with one_at_a_time(self.folder):
            found = load(path)
            if found is None:
                found = self.computed(criterion)
                write_arrays(path, found)
        return found

    def computed(self, criterion: str) -> Scores:
        """By group name."""
        self.note(criterion)
        return score(self.groups, criterion, feeds=self.samples.batches(self.batch), seed=self.seed)

    def name(self, criterion: str) -> str:
        """Of the file, by all that the scores follow from."""
        return f"scores-{criterion}-{self.key[:16]}.npz"

    @cached_property
    def key(self) -> str:
        """sha256 of model, samples and seed; it takes a pass over both."""
        channels = [group.channels for group in self.groups.prunable]
        rows = map(with_labels, self.samples.batches(self.batch))
        return key_of(self.groups, rows, f"{channels} {self.seed}")


def with_labels(batch: Batch) -> Feed:
    """Inputs and labels: criteria that ask for gradients look at both."""
    return batch.inputs if batch.labels is None else {**batch.inputs, LABELS: batch.labels}


def load(path: Path) -> Scores | None:
    """None where there is no such file, or it is damaged."""
    try:
        return {name: np.array(array) for name, array in mapped(path).items()}
    except UNREADABLE:
        return None

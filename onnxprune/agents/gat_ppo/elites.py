"""The best masks so far, to be imitated."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from onnxprune.masks import ChannelOrder, Masks, masks_hash

LEAST_SPREAD = 0.005  # in the weights, of accuracies as shares


@dataclass
class Elites:
    """The best few distinct masks.

    Attributes:
        order: Of the channels.
        most: How many are kept.
        found: Accuracy and bits (C,) by hash, best first.
    """

    order: ChannelOrder
    most: int
    found: dict[str, tuple[float, NDArray[np.bool_]]] = field(default_factory=dict)

    def add(self, masks: Masks, accuracy: float) -> None:
        """Keep masks if they are among the best, in place."""
        bits = self.order.join(masks)
        held = {**self.found, masks_hash(masks): (accuracy, bits)}
        best = sorted(held.items(), key=lambda item: -item[1][0])
        self.found = dict(best[: self.most])

    def rows(self) -> NDArray[np.float32]:
        """(K, C) bits."""
        return np.stack([bits for _, bits in self.found.values()]).astype(np.float32)

    def weights(self, unit: float = 1.0) -> NDArray[np.float32]:
        """(K,) adding up to 1: softmax of the accuracies, in units of their spread.

        Args:
            unit: What makes shares of the accuracies.
        """
        accuracies = np.array([accuracy for accuracy, _ in self.found.values()]) / unit
        scaled = np.exp((accuracies - accuracies.max()) / max(float(accuracies.std()), LEAST_SPREAD))
        return (scaled / scaled.sum()).astype(np.float32)

    def state(self) -> list[tuple[str, float, list[bool]]]:
        return [(key, accuracy, bits.tolist()) for key, (accuracy, bits) in self.found.items()]

    def restore(self, state: list[tuple[str, float, list[bool]]]) -> None:
        """Go on from such a state, in place."""
        self.found = {key: (accuracy, np.array(bits, bool)) for key, accuracy, bits in state}


def boundary_logits(
    masks: Masks, scores: Mapping[str, NDArray[np.float64]], *, weight: float
) -> dict[str, NDArray[np.float64]]:
    """Logits under which the masks' counts are the likeliest, and channels stay in the order of the scores.

    In each group the logit falls linearly with the rank, through 0 between the last that stays and the
    first that goes; over a quarter of the group it falls by `weight`.
    """
    logits = {}
    for name, bits in masks.items():
        count = len(bits)
        rank = np.empty(count)
        rank[np.argsort(-scores[name], kind="stable")] = np.arange(count)
        logits[name] = 4 * weight * (int(bits.sum()) - 0.5 - rank) / count
    return logits
